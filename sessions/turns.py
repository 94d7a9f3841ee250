"""Turn after turn of one thread, until it is idle or the lease is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from sessions import lifecycle
from sessions.database import Database
from sessions.harness.contract import END_TURN, Ending, Harness, LeaseLost
from sessions.harness.loop import close_interrupted
from sessions.harness.model import Model
from sessions.harness.standing import is_interrupted
from sessions.lifecycle import Finished
from sessions.shared_sandbox import Sandboxes
from sessions.turn import HostedTurn

OVER = frozenset({Finished.THREAD_IDLE, Finished.SESSION_IDLE})


class Hands(Sandboxes, Protocol):
    """What a host offers every turn: sandboxes, models and harnesses."""

    def model(self, agent: Mapping[str, object]) -> Model: ...

    def harness(self, agent: Mapping[str, object]) -> Harness: ...

    async def close(self) -> None: ...


class Turns:
    """One thread at work."""

    def __init__(
        self,
        *,
        turn: HostedTurn,
        fence: int,
        database: Database,
        hands: Hands,
        begun_before: bool,
    ) -> None:
        self.turn = turn
        self._begun_before = begun_before
        self._fence = fence
        self._database = database
        self._hands = hands
        self._step: asyncio.Task[Ending] | asyncio.Task[None] | None = None
        self._interrupted = False
        self._given_up = False

    def interrupt(self) -> None:
        """Cut what runs now; the turn then ends idle.

        Once is enough: a second cut would hit what the first one left to be tidied up.
        """
        if not self._interrupted:
            self._interrupted = True
            self._cut()

    def give_up(self) -> None:
        """Stop writing: another host has this session."""
        self._given_up = True
        self._cut()

    def _cut(self) -> None:
        if self._step is not None:
            self._step.cancel()

    async def run(self) -> Finished:
        while (finished := await self._one_turn()) not in OVER:
            # A stop that came while the last turn ended was taken in with it.
            self._interrupted = False
        return finished

    async def _one_turn(self) -> Finished:
        """Run to the end or the interrupt."""
        try:
            ending = await self._until_interrupted()
        except _Cut:
            await self.turn.stop_tools()
            await self.turn.take_in_interrupts()
            await close_interrupted(self.turn)
            ending, cut = END_TURN, True
        else:
            cut = False
        await self._hand_back(cut=cut)
        return await self._finish(ending, cut=cut)

    async def _until_interrupted(self) -> Ending:
        if await self._pick_up() or self._interrupted:
            raise _Cut
        work = asyncio.ensure_future(self._work())
        self._step = work
        try:
            return await work
        except asyncio.CancelledError:
            if self._given_up:
                raise LeaseLost(f"{self.turn.session_id} was taken over") from None
            if not self._interrupted:
                raise
            raise _Cut from None
        finally:
            self._step = None

    async def _work(self) -> Ending:
        agent = self.turn.agent
        await self.turn.prepare()
        harness = self._hands.harness(agent)
        return await harness(self.turn, self._hands.model(agent))

    async def _hand_back(self, *, cut: bool) -> None:
        """A stop cuts this short, and the turn ends as it was going to."""
        self._step = asyncio.create_task(self.turn.hand_back(cut=cut))
        try:
            await self._step
        except asyncio.CancelledError:
            if self._given_up:
                raise LeaseLost(f"{self.turn.session_id} was taken over") from None
            if not self._interrupted:
                raise
        finally:
            self._step = None

    async def _pick_up(self) -> bool:
        """Go on from where another host left the thread.

        True where it took a stop in and did not come to the end of it.
        """
        looks, self._begun_before = self._begun_before, False
        if not looks:
            return False
        await self.turn.end_wait()
        return is_interrupted(await self.turn.records())

    async def _finish(self, ending: Ending, *, cut: bool) -> Finished:
        return await self._database(
            lifecycle.finish,
            self.turn.session_id,
            fence=self._fence,
            thread_id=self.turn.thread_id,
            ending=ending,
            cut=cut,
        )


class _Cut(Exception):
    """Somebody interrupted the turn."""
