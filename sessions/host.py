"""The asyncio host inside a q2 worker: claims sessions, renews leases, runs turns.

One host runs hundreds of mostly waiting turns as coroutines. All of its database work
happens in one thread of its own, in short transactions, never over I/O.
"""

from __future__ import annotations

import asyncio
import logging
import math
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from django.db import close_old_connections, connections

from agents.outage import DATABASE_OUTAGE
from sessions import bus, leases, lifecycle, log
from sessions.harness.contract import LeaseLost
from sessions.leases import Claim
from sessions.liveness import Liveness, place
from sessions.turns import Hands
from sessions.worker import Work

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""How often a host looks for work that no wake-up told it of."""
BEAT_SECONDS = 1.0
RENEW_SECONDS = leases.LEASE_SECONDS / 4
DRAIN_SECONDS = 8.0

Result = TypeVar("Result")


class Database:
    """The one thread in which a host talks to the database."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="host-db")

    async def __call__(
        self, work: Callable[..., Result], *args: Any, **kwargs: Any
    ) -> Result:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._run, work, args, kwargs)

    @staticmethod
    def _run(work: Callable[..., Result], args: Any, kwargs: Any) -> Result:
        try:
            return work(*args, **kwargs)
        except DATABASE_OUTAGE:
            close_old_connections()  # a broken one: the next call makes a new one
            raise

    def close(self) -> None:
        self._thread.submit(connections.close_all)
        self._thread.shutdown(wait=True)


class Host:
    """Claims runnable sessions up to its slots and works on them until told to drain."""

    def __init__(
        self, *, slots: int, hands: Hands, database: Database | None = None
    ) -> None:
        self.id = f"{leases.boot_id()}:{place()}:{uuid.uuid4().hex[:8]}"
        self.slots = slots
        self.hands = hands
        self.database = database or Database()
        self.publisher = bus.Publisher()
        self.work: dict[str, Work] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._look = asyncio.Event()
        self._draining = asyncio.Event()
        self._liveness = Liveness(self.id)
        self._trust = leases.Trust()

    async def run(self) -> None:
        """Work until drained; then hand every lease back."""
        await self.database(self._liveness.begin)
        try:
            async with self._helpers():
                await self._claim_until_drained()
                await self._end_turns()
        finally:
            for farewell in (self._hand_back, self.publisher.close, self.hands.close):
                await _tried(farewell)
            await self.database(self._liveness.end)
            self.database.close()

    async def _hand_back(self) -> None:
        await self.database(leases.hand_back, self.id)

    @asynccontextmanager
    async def _helpers(self) -> AsyncIterator[None]:
        """What goes on beside the turns for as long as there are any."""
        steps = (
            (self._beat, BEAT_SECONDS),
            (self._renew, RENEW_SECONDS),
            (self._listen, BEAT_SECONDS),
        )
        tasks = [asyncio.create_task(self._forever(*step)) for step in steps]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def drain(self) -> None:
        """Stop claiming and hand over what runs. Safe to call twice."""
        self._draining.set()
        self._look.set()

    async def _claim_until_drained(self) -> None:
        while not self._draining.is_set():
            self._look.clear()
            try:
                for claim in await self.database(self._claim):
                    self._begin(claim)
            except Exception:
                logger.exception("claiming failed; trying again")
            await _wait(self._look, POLL_SECONDS)

    def _claim(self) -> list[Claim]:
        """Claim a fair share: the first host to wake must not take everything."""
        free = self.slots - len(self.work)
        if free <= 0:
            return []
        now = leases.lease_clock()
        among = leases.claimable(now, by_time=self._trust.look(now))
        hosts = max(1, self._liveness.count())
        share = math.ceil(leases.waiting_count(among) / hosts)
        return leases.claim(self.id, min(free, share), among)

    def _begin(self, claim: Claim) -> None:
        work = Work(
            claim=claim,
            database=self.database,
            publisher=self.publisher,
            hands=self.hands,
        )
        if earlier := self.work.get(claim.session_id):
            earlier.give_up()  # its lease had run out while this host stood still
        self.work[claim.session_id] = work
        task = asyncio.create_task(self._run(work), name=claim.session_id)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, work: Work) -> None:
        try:
            await work.run()
        except (LeaseLost, log.Fenced, log.SessionGone) as gone:
            logger.info("turn given up: %s", gone)
        except asyncio.CancelledError as cut:
            if self._draining.is_set():
                logger.info("turn of %s handed over", work.session_id)
            else:  # not by us: somebody's bug, and no reason to hold the lease
                await self._let_go(work, cut)
        except Exception as error:
            logger.exception("turn of %s failed", work.session_id)
            await self._let_go(work, error)
        finally:
            if self.work.get(work.session_id) is work:
                del self.work[work.session_id]
            self._look.set()

    async def _let_go(self, work: Work, error: BaseException) -> None:
        """Have it tried again, as soon as the database hears of it."""
        while True:
            try:
                return await self.database(_put_off, work, error)
            except (log.Fenced, log.SessionGone):
                return None
            except DATABASE_OUTAGE:
                await asyncio.sleep(BEAT_SECONDS)

    async def _end_turns(self) -> None:
        """Cut every turn; what its tools do goes on, for the next host to collect."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=DRAIN_SECONDS)

    async def _forever(
        self, step: Callable[[], Awaitable[None]], seconds: float
    ) -> None:
        while True:
            try:
                await step()
            except Exception:
                logger.exception("%s failed; trying again", step.__name__)
            await asyncio.sleep(seconds)

    async def _beat(self) -> None:
        """Show that this host lives, and let go of what dead ones held."""
        await self.database(self._liveness.beat, len(self.work))
        if await self.database(self._expire_the_dead):
            self._look.set()
        for session_id in await self.database(log.interrupted, [*self.work]):
            if work := self.work.get(session_id):
                work.look()

    def _expire_the_dead(self) -> int:
        owners = leases.owners() - {self.id}
        return leases.expire(
            [owner for owner in owners if self._liveness.is_dead(owner)]
        )

    async def _renew(self) -> None:
        working = dict(self.work)  # what is claimed meanwhile is not asked for
        held = await self.database(leases.renew, self.id, [*working])
        for session_id, work in working.items():
            if held.get(session_id) != work.fence:
                work.give_up()

    async def _listen(self) -> None:
        """Wake-ups: something to claim, or something for a session held here."""
        async for session_id in bus.Listener():
            if session_id not in self.work:
                self._look.set()
            else:
                self.work[session_id].look()


def _put_off(work: Work, error: BaseException) -> None:
    """Without the database nothing is the turn's fault; what else it was is told."""
    if isinstance(error, DATABASE_OUTAGE):
        leases.put_off(work.session_id, fence=work.fence)
    else:
        fault = type(error).__name__
        lifecycle.set_back(work.session_id, fence=work.fence, fault=fault)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


async def _tried(farewell: Callable[[], Awaitable[None]]) -> None:
    try:
        await farewell()
    except Exception:
        logger.exception("%s failed while the host ended", farewell.__qualname__)
