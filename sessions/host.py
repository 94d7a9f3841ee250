"""The asyncio host inside a q2 worker: claims sessions, renews leases, runs turns.

One host runs hundreds of mostly waiting turns as coroutines. All of its database work
happens in one thread of its own, in short transactions, never over I/O.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from django.conf import settings
from django.db import close_old_connections, connections

from sessions import bus, lifecycle, log, queue
from sessions.harness.contract import LeaseLost
from sessions.lifecycle import Claim
from sessions.liveness import Liveness, place
from sessions.sandboxes import SiteHands
from sessions.worker import Hands, Work

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""How often a host looks for work that no wake-up told it of."""
BEAT_SECONDS = 1.0
RENEW_SECONDS = lifecycle.LEASE_SECONDS / 4
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
        close_old_connections()
        return work(*args, **kwargs)

    def close(self) -> None:
        self._thread.submit(connections.close_all)
        self._thread.shutdown(wait=True)


class Host:
    """Claims runnable sessions up to its slots and works on them until told to drain."""

    def __init__(self, *, slots: int, hands: Hands) -> None:
        self.id = f"{lifecycle.boot_id()}:{place()}:{uuid.uuid4().hex[:8]}"
        self.slots = slots
        self.hands = hands
        self.database = Database()
        self.publisher = bus.Publisher()
        self.work: dict[str, Work] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._look = asyncio.Event()
        self._draining = asyncio.Event()
        self._liveness = Liveness(self.id)

    async def run(self) -> None:
        """Work until drained; then hand every lease back."""
        await self.database(self._liveness.begin)
        try:
            async with self._helpers():
                await self._claim_until_drained()
                await self._end_turns()
        finally:
            await self.database(lifecycle.hand_back, self.id)
            await self.publisher.close()
            await self.hands.close()
            await self.database(self._liveness.end)
            self.database.close()

    @asynccontextmanager
    async def _helpers(self) -> AsyncIterator[None]:
        """What goes on beside the turns for as long as there are any."""
        steps = (self._beat, self._renew, self._listen)
        tasks = [asyncio.create_task(self._forever(step)) for step in steps]
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
        hosts = max(1, self._liveness.count())
        share = math.ceil(lifecycle.waiting_count() / hosts)
        return lifecycle.claim(self.id, min(free, share))

    def _begin(self, claim: Claim) -> None:
        work = Work(
            claim=claim,
            database=self.database,
            publisher=self.publisher,
            hands=self.hands,
        )
        self.work[claim.session_id] = work
        task = asyncio.create_task(self._run(work), name=claim.session_id)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, work: Work) -> None:
        try:
            await work.run()
        except (LeaseLost, log.Fenced, log.SessionGone) as gone:
            logger.info("turn given up: %s", gone)
        except asyncio.CancelledError:
            logger.info("turn of %s handed over", work.session_id)
        except Exception:
            logger.exception("turn of %s failed", work.session_id)
            await self.database(lifecycle.retry_later, work.session_id, work.fence)
        finally:
            if self.work.get(work.session_id) is work:
                del self.work[work.session_id]
            self._look.set()

    async def _end_turns(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=DRAIN_SECONDS)

    async def _forever(self, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await step()
            except asyncio.CancelledError:
                raise
            except Exception:
                logger.exception("%s failed; trying again", step.__name__)
                await asyncio.sleep(BEAT_SECONDS)

    async def _beat(self) -> None:
        """Show that this host lives, and let go of what dead ones held."""
        await self.database(self._liveness.beat, len(self.work))
        if await self.database(self._expire_the_dead):
            self._look.set()
        for session_id in await self.database(log.interrupted, [*self.work]):
            self._interrupt(session_id)
        await asyncio.sleep(BEAT_SECONDS)

    def _expire_the_dead(self) -> int:
        owners = lifecycle.owners() - {self.id}
        return lifecycle.expire(
            [owner for owner in owners if self._liveness.is_dead(owner)]
        )

    async def _renew(self) -> None:
        held = await self.database(lifecycle.renew, self.id, [*self.work])
        for session_id, work in list(self.work.items()):
            if held.get(session_id) != work.fence:
                work.give_up()
        await asyncio.sleep(RENEW_SECONDS)

    async def _listen(self) -> None:
        """Wake-ups: something to claim, or somebody stops a session held here."""
        async for session_id in bus.Listener():
            if session_id not in self.work:
                self._look.set()
            elif await self.database(log.has_interrupt, session_id):
                self._interrupt(session_id)

    def _interrupt(self, session_id: str) -> None:
        if work := self.work.get(session_id):
            work.interrupt()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        pass


class HostThread:
    """A host and its loop in a thread of a q2 worker process."""

    def __init__(self) -> None:
        self._host: Host | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin in this process: loop and clients are made after the fork."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._main, name="host", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Drain, and wait until every lease is handed back."""
        if self._host and self._loop and self._thread:
            self._loop.call_soon_threadsafe(self._host.drain)
            self._thread.join(DRAIN_SECONDS + 4)

    def _main(self) -> None:
        assert self._loop is not None
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._run())

    async def _run(self) -> None:
        self._host = Host(slots=settings.AGENTSITE.slots, hands=SiteHands())
        await self._host.run()


def host_turns() -> None:
    """Have each worker process of this cluster run a host, until it is asked to end."""
    thread = HostThread()
    queue.on_worker_start(thread.start)
    queue.on_worker_end(thread.stop)
