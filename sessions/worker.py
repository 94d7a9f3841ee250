"""One claim at work: turn after turn, until the session is idle or the lease is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from sessions import bus, lifecycle, log
from sessions.events import Draft, Recovery
from sessions.harness.contract import END_TURN, Ending, LeaseLost
from sessions.harness.loop import close_interrupted, run_turn
from sessions.harness.model import Model
from sessions.harness.standing import is_interrupted
from sessions.leases import Claim
from sessions.models import Status
from sessions.opened import load
from sessions.turn import Database, HostedTurn, Sandboxes


class Hands(Sandboxes, Protocol):
    """What a host offers every turn: sandboxes and models."""

    def model(self, agent: Mapping[str, object]) -> Model: ...

    async def close(self) -> None: ...


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
        self._step: asyncio.Task[Ending] | None = None
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

    async def run(self) -> None:
        turn = await self._open()
        try:
            while not await self._one_turn(turn):
                # A stop that came while the last turn ended was taken in with it.
                self._interrupted = await self._database(
                    log.has_interrupt, self.session_id
                )
        finally:
            await turn.close()

    async def _open(self) -> HostedTurn:
        opened = await self._database(load, self.session_id)
        self._interrupted = self._interrupted or opened.interrupted
        turn = HostedTurn(
            opened=opened,
            fence=self.fence,
            database=self._database,
            publisher=self._publisher,
            sandboxes=self._hands,
        )
        if opened.session.status == Status.RESCHEDULING:
            await self._database(lifecycle.go_on, self.session_id, fence=self.fence)
        if self.claim.taken_over:
            await turn.emit(Draft(payload=await self._recovery(turn)))
        return turn

    async def _recovery(self, turn: HostedTurn) -> Recovery:
        return Recovery(
            cut=await turn.what_was_cut(), seconds_lost=self.claim.seconds_lost
        )

    async def _one_turn(self, turn: HostedTurn) -> bool:
        """Run to the end or the interrupt; true once the session is idle."""
        try:
            ending = await self._until_interrupted(turn)
        except _Cut:
            await turn.stop_tools()
            await turn.take_in_interrupts()
            await close_interrupted(turn)
            return await self._finish(END_TURN, cut=True)
        return await self._finish(ending, cut=ending != END_TURN)

    async def _until_interrupted(self, turn: HostedTurn) -> Ending:
        stopped = is_interrupted(await turn.records())
        if stopped or self._interrupted:  # in this order: a stop may come meanwhile
            raise _Cut
        model = self._hands.model(turn.agent)
        self._step = asyncio.create_task(run_turn(turn, model))
        try:
            return await self._step
        except asyncio.CancelledError:
            if self._given_up:
                raise LeaseLost(f"{self.session_id} was taken over") from None
            if not self._interrupted:
                raise
            raise _Cut from None
        finally:
            self._step = None

    async def _finish(self, ending: Ending, *, cut: bool) -> bool:
        return await self._database(
            lifecycle.finish,
            self.session_id,
            fence=self.fence,
            ending=ending,
            cut=cut,
        )


class _Cut(Exception):
    """Somebody interrupted the turn."""
