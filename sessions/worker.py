"""One claim at work: every thread that has something to do, until the session is idle."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.spec import Origin
from sessions import bus, keeping, lifecycle, log, network
from sessions.database import Database
from sessions.events import Draft, Recovery, SandboxOpened
from sessions.leases import Claim
from sessions.lifecycle import Finished
from sessions.models import Status, Thread
from sessions.opened import Opened, load
from sessions.outputs import Outputs
from sessions.repositories import forget_clones
from sessions.shared_sandbox import SharedSandbox
from sessions.turn import HostedTurn
from sessions.turns import Hands, Turns

LOOK_SECONDS = 5.0
"""How often a session with several threads looks for what no wake-up told it of."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What a session has to do now."""

    threads: list[Thread]  # that work, the primary one last
    has_children: bool
    stops: set[str]  # that somebody wants stopped; an empty id is all of them
    session_hosts: tuple[str, ...]  # that it may reach beside its environment's


class Work:
    """One claim, worked on until the session is idle or the lease is gone."""

    def __init__(
        self,
        *,
        claim: Claim,
        database: Database,
        publisher: bus.Publisher,
        hands: Hands,
    ) -> None:
        self.claim = claim
        self.session_id = claim.session_id
        self.fence = claim.fence
        self._database = database
        self._publisher = publisher
        self._hands = hands
        self._turns: dict[str, Turns] = {}
        self._tasks: dict[str, asyncio.Task[Finished]] = {}
        self._beside: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        self._session_hosts: tuple[str, ...] = ()

    def look(self) -> None:
        """Something came for this session: input, an answer or a stop."""
        self._news.set()

    def give_up(self) -> None:
        """Stop writing: another host has this session."""
        for turns in self._turns.values():
            turns.give_up()

    async def run(self) -> None:
        opened, standing = await self._database(_opened, self.session_id)
        sandbox = SharedSandbox(opened, self._hands, self._described)
        self._outputs = Outputs(
            session=opened.session, fence=self.fence, database=self._database
        )
        self._session_hosts = opened.session_hosts
        try:
            if self.claim.taken_over:
                await self._tell_recovery(standing.threads, opened, sandbox)
            await self._attend(standing, opened, sandbox)
            while self._tasks:
                await self._any_news(standing)
                if Finished.SESSION_IDLE in self._what_ended():
                    return
                self._news.clear()
                standing = await self._database(_standing, self.session_id)
                await self._attend(standing, opened, sandbox)
                self._mount_changes()
        finally:
            await self._end_tasks()
            await self._outputs.close()
            await sandbox.close()

    async def _described(self, origin: Origin) -> SandboxOpened:
        return await self._database(_told_of, origin, self.session_id)

    async def _attend(
        self, standing: Standing, opened: Opened, sandbox: SharedSandbox
    ) -> None:
        """Begin with the threads that nobody works on yet; stop those to be stopped."""
        for thread in standing.threads:
            if thread.pk not in self._tasks:
                await self._end_wait(thread)
                self._begin(self._turns_of(thread, opened, sandbox))
        self._stop(standing.stops)
        if standing.session_hosts != self._session_hosts:
            self._session_hosts = standing.session_hosts
            self._do_beside(sandbox.renew_network(self._session_hosts))

    def _mount_changes(self) -> None:
        for turns in [*self._turns.values()][:1]:
            self._do_beside(turns.turn.mount_changes())

    def _do_beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Beside the turns: this may take long, and a stop must not wait for it."""
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    def _what_ended(self) -> list[Finished | None]:
        return [self._ended(thread_id) for thread_id in [*self._tasks]]

    def _ended(self, thread_id: str) -> Finished | None:
        """How a thread's turns ended, where they have; raises what they raised."""
        task = self._tasks[thread_id]
        if not task.done():
            return None
        del self._tasks[thread_id], self._turns[thread_id]
        return task.result()

    async def _end_wait(self, thread: Thread) -> None:
        """Another host left the thread to be tried again."""
        if thread.status == Status.RESCHEDULING:
            await self._database(
                lifecycle.go_on,
                self.session_id,
                fence=self.fence,
                thread_id=thread.pk,
            )

    def _turns_of(
        self, thread: Thread, opened: Opened, sandbox: SharedSandbox
    ) -> Turns:
        turn = HostedTurn(
            thread=thread,
            opened=opened,
            fence=self.fence,
            database=self._database,
            publisher=self._publisher,
            sandbox=sandbox,
            outputs=self._outputs,
            woke=self.look,
        )
        return Turns(
            turn=turn,
            fence=self.fence,
            database=self._database,
            hands=self._hands,
            begun_before=self.fence > 1,
        )

    def _begin(self, turns: Turns) -> None:
        thread_id = turns.turn.thread_id
        self._turns[thread_id] = turns
        task = asyncio.create_task(turns.run(), name=thread_id)
        self._tasks[thread_id] = task
        task.add_done_callback(lambda _: self._news.set())

    def _stop(self, stops: Collection[str]) -> None:
        """Cut the threads that somebody stops; of all, the primary one at the end.

        Its log has the stop, and whoever takes over from here is to find it there.
        """
        children = [id for id, each in self._turns.items() if each.turn.child_thread_id]
        of_all = (children or self._turns) if "" in stops else ()
        for thread_id, turns in self._turns.items():
            if thread_id in stops or thread_id in of_all:
                turns.interrupt()

    async def _any_news(self, standing: Standing) -> None:
        seconds = LOOK_SECONDS if standing.has_children else None
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            pass

    async def _end_tasks(self) -> None:
        tasks = [*self._tasks.values(), *self._beside]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _tell_recovery(
        self, threads: Sequence[Thread], opened: Opened, sandbox: SharedSandbox
    ) -> None:
        turns = [self._turns_of(thread, opened, sandbox).turn for thread in threads]
        cuts = [await turn.what_was_cut() for turn in turns]
        told = Recovery(
            cut="; ".join(cuts) or None, seconds_lost=self.claim.seconds_lost
        )
        await self._database(
            log.append, self.session_id, [Draft(payload=told)], fence=self.fence
        )


def _told_of(origin: Origin, session_id: str) -> SandboxOpened:
    """What the log says of a sandbox that was made; clones it lacks are made again."""
    told = keeping.opened(origin, session_id)
    if told.files == "lost":
        forget_clones(session_id)
    return told


def _opened(session_id: str) -> tuple[Opened, Standing]:
    standing = _standing(session_id)
    return load(session_id, standing.session_hosts), standing


def _standing(session_id: str) -> Standing:
    threads = lifecycle.threads_of(session_id)
    return Standing(
        threads=lifecycle.working(threads),
        has_children=len(threads) > 1,
        stops=log.stopped_threads(session_id),
        session_hosts=network.session_hosts(session_id),
    )
