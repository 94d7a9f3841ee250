"""The composition of one turn: the log, the sandbox, the model and the harness."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from agents.ids import new_id
from agents.models import File
from sandbox.base import Sandbox
from sandbox.errors import OutcomeUnknown, SandboxError, SandboxGone
from sandbox.spec import Running, ToolOutcome
from sessions import bus, lifecycle, log
from sessions.events import (
    AgentToolResult,
    Draft,
    EventType,
    Record,
    Recovery,
    ToolStarted,
    Waiting,
)
from sessions.harness.contract import (
    END_TURN,
    Ending,
    FileUnavailable,
    LeaseLost,
    ToolCall,
    ToolResult,
)
from sessions.harness.loop import close_interrupted, run_turn
from sessions.harness.model import Model
from sessions.harness.standing import is_interrupted
from sessions.lifecycle import Claim
from sessions.models import Session, Status

logger = logging.getLogger(__name__)

READS_ONLY = frozenset({"read", "glob", "grep"})
"""Tools that may be run again when their outcome was lost."""

Result = TypeVar("Result")


class Database(Protocol):
    """Runs a function in the host's database thread."""

    async def __call__(
        self, work: Callable[..., Result], *args: Any, **kwargs: Any
    ) -> Result: ...


class Hands(Protocol):
    """What a host offers every turn: sandboxes and models."""

    async def sandbox(
        self, opened: Opened, waiting: Callable[[str], Awaitable[None]]
    ) -> Sandbox:
        """Return the session's sandbox; `waiting` hears what it waits for.

        Raises SandboxError.
        """

    def model(self, agent: Mapping[str, Any]) -> Model: ...

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
        self.session_id = claim.session_id
        self.fence = claim.fence
        self._taken_over = claim.taken_over
        self._database = database
        self._publisher = publisher
        self._hands = hands
        self._step: asyncio.Task[Ending] | None = None
        self._interrupted = False
        self._given_up = False

    def interrupt(self) -> None:
        """Cut what runs now; the turn then ends idle."""
        self._interrupted = True
        if self._step is not None:
            self._step.cancel()

    def give_up(self) -> None:
        """Stop writing: another host has this session."""
        self._given_up = True
        if self._step is not None:
            self._step.cancel()

    async def run(self) -> None:
        turn = await self._open()
        try:
            while not await self._one_turn(turn):
                pass
        finally:
            await turn.close()

    async def _open(self) -> HostedTurn:
        opened = await self._database(_load, self.session_id)
        self._interrupted = opened.interrupted
        turn = HostedTurn(
            opened=opened,
            fence=self.fence,
            database=self._database,
            publisher=self._publisher,
            hands=self._hands,
        )
        if opened.session.status == Status.RESCHEDULING:
            await self._database(lifecycle.go_on, self.session_id, fence=self.fence)
        if self._taken_over:
            await turn.emit(
                Draft(payload=Recovery(cut="the worker that ran this turn"))
            )
        return turn

    async def _one_turn(self, turn: HostedTurn) -> bool:
        """Run to the end or the interrupt; true once the session is idle."""
        try:
            ending = await self._until_interrupted(turn)
        except _Cut:
            await turn.stop_tools()
            await turn.take_in_interrupts()
            await close_interrupted(turn)
            self._interrupted = False
            return await self._finish(END_TURN, cut=True)
        return await self._finish(ending, cut=False)

    async def _until_interrupted(self, turn: HostedTurn) -> Ending:
        if self._interrupted or is_interrupted(await turn.records()):
            raise _Cut
        model = self._hands.model(turn.agent)
        self._step = asyncio.create_task(run_turn(turn, model))
        try:
            return await self._step
        except asyncio.CancelledError:
            if self._given_up:
                raise LeaseLost(f"{self.session_id} was taken over") from None
            if not self._interrupted:
                self._step.cancel()
                raise
            raise _Cut from None
        finally:
            self._step = None

    async def _finish(self, ending: Ending, *, cut: bool) -> bool:
        return await self._database(
            lifecycle.finish,
            self.session_id,
            fence=self.fence,
            stop_reason=ending.stop_reason,
            stop_details=ending.stop_details,
            cut=cut or ending != END_TURN,
        )


class _Cut(Exception):
    """Somebody interrupted the turn."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What a turn reads once, at its beginning."""

    session: Session
    thread_id: str
    files: tuple[tuple[str, Path], ...]  # where it is mounted, where its bytes lie
    interrupted: bool


def _load(session_id: str) -> Opened:
    session = Session.objects.filter(pk=session_id).first()
    if session is None:
        raise log.SessionGone(session_id)
    return Opened(
        session=session,
        thread_id=log.primary_id(session_id),
        files=_files(session),
        interrupted=log.has_interrupt(session_id),
    )


def _files(session: Session) -> tuple[tuple[str, Path], ...]:
    mounted = dict(session.resources.values_list("file_id", "mount_path"))
    files = File.objects.filter(pk__in=mounted)
    return tuple((mounted[file.pk], file.path) for file in files)


class HostedTurn:
    """What the harness sees of its host (`harness.contract.Turn`)."""

    def __init__(
        self,
        *,
        opened: Opened,
        fence: int,
        database: Database,
        publisher: bus.Publisher,
        hands: Hands,
    ) -> None:
        self.session_id = opened.session.pk
        self.thread_id = opened.thread_id
        self.agent: Mapping[str, Any] = opened.session.agent_snapshot
        self.system_notes = tuple(
            f"A file is mounted at {path}." for path, _ in opened.files
        )
        self._opened = opened
        self._fence = fence
        self._database = database
        self._publisher = publisher
        self._hands = hands
        self._sandbox: Sandbox | None = None
        self._opening = asyncio.Lock()
        self._running: set[str] = set()
        self._records: list[Record] = []

    async def records(self) -> Sequence[Record]:
        """The whole thread, read once; after that only what came since."""
        known = self._records[-1].position if self._records else 0
        self._records += await self._database(
            log.records, self.session_id, thread_id=self.thread_id, after=known
        )
        return [*self._records]

    def new_id(self) -> str:
        return new_id("sevt")

    async def take_in(self) -> Sequence[Record]:
        return await self._fenced(log.take_in, self.session_id)

    async def take_in_interrupts(self) -> None:
        stops = [EventType.USER_INTERRUPT]
        await self._fenced(log.take_in, self.session_id, types=stops)

    async def emit(self, *drafts: Draft) -> Sequence[Record]:
        self._publisher.flush(self.session_id)
        return await self._fenced(
            lifecycle.append_and_count,
            self.session_id,
            drafts,
            thread_id=self.thread_id,
        )

    async def back_off(self, seconds: float) -> None:
        await self._fenced(lifecycle.reschedule, self.session_id)
        await asyncio.sleep(seconds)
        await self._fenced(lifecycle.go_on, self.session_id)

    async def _fenced(
        self, write: Callable[..., Result], *args: Any, **kwargs: Any
    ) -> Result:
        try:
            return await self._database(write, *args, fence=self._fence, **kwargs)
        except log.Fenced as fenced:
            raise LeaseLost(str(fenced)) from fenced

    def preview(self, frame: Mapping[str, Any]) -> None:
        self._publisher.publish_delta(self.session_id, frame)

    async def load_file(self, file_id: str) -> tuple[str, bytes]:
        return await self._database(
            _read_file, self._opened.session.workspace_id, file_id
        )

    async def execute(self, call: ToolCall) -> ToolResult:
        """Run a tool: intent first, then the sandbox, then the result."""
        started = await self._started(call)
        self._running.add(call.id)  # stays there when cancelled, for `stop_tools`
        result = await (self._resume(call) if started else self._run(call))
        self._running.discard(call.id)
        answer = AgentToolResult(
            tool_use_id=call.id, content=result.content, is_error=result.is_error
        )
        await self.emit(Draft(payload=answer, idempotency_key=f"result:{call.id}"))
        return result

    async def _started(self, call: ToolCall) -> bool:
        """Say whether an earlier attempt left an intent without a result."""
        return await self._database(log.has_key, self.session_id, f"start:{call.id}")

    async def _run(self, call: ToolCall) -> ToolResult:
        try:
            sandbox = await self._open_sandbox()
        except SandboxError as error:
            return _failed(f"The sandbox could not be started: {error}")
        intent = ToolStarted(tool_use_id=call.id)
        await self.emit(Draft(payload=intent, idempotency_key=f"start:{call.id}"))
        try:
            return _result(await self._execute(sandbox, call))
        except OutcomeUnknown as lost:
            await self._lose_sandbox()
            return _failed(
                f"The sandbox was lost during this call ({lost}). Its outcome is unknown:"
                " it may have happened, in part or in whole. Files are kept, processes"
                " are not. Look before you repeat it."
            )
        except SandboxError as error:
            return _failed(str(error))

    async def _execute(self, sandbox: Sandbox, call: ToolCall) -> ToolOutcome:
        """Ask the sandbox; a new one where that one is gone and heard nothing."""
        try:
            return await sandbox.execute(call.id, call.name, call.input)
        except SandboxGone:
            await self._lose_sandbox()
            sandbox = await self._open_sandbox()
            return await sandbox.execute(call.id, call.name, call.input)

    async def _resume(self, call: ToolCall) -> ToolResult:
        """Answer a call whose worker died: collect, run again, or say unknown."""
        try:
            sandbox = await self._open_sandbox()
            remembered = await sandbox.outcome(call.id)
            if remembered is not None or call.name in READS_ONLY:
                told = "collected" if remembered is not None else "re-run"
                await self._tell_recovery(call, told)
                return _result(await sandbox.execute(call.id, call.name, call.input))
        except SandboxError as error:
            logger.info("recovering %s: %s", call.id, error)
        await self._tell_recovery(call, "unknown")
        return _failed(
            "The worker that ran this call was replaced before the answer came, and the"
            " sandbox does not know how it ended. Its outcome is unknown: it may have"
            " happened, in part or in whole. Look before you repeat it."
        )

    async def _tell_recovery(self, call: ToolCall, outcome: str) -> None:
        told = {"tool_use_id": call.id, "name": call.name, "outcome": outcome}
        await self.emit(Draft(payload=Recovery(calls=[told])))

    async def _open_sandbox(self) -> Sandbox:
        async with self._opening:
            if self._sandbox is None:
                self._sandbox = await self._provision()
            return self._sandbox

    async def _provision(self) -> Sandbox:
        told: list[str] = []

        async def waiting(reason: str) -> None:
            if reason not in told:
                told.append(reason)
                await self.emit(Draft(payload=Waiting(reason=reason)))

        try:
            return await self._hands.sandbox(self._opened, waiting)
        finally:
            if told:
                await self.emit(Draft(payload=Waiting(reason=told[-1], over=True)))

    async def _lose_sandbox(self) -> None:
        if self._sandbox is not None:
            await self._sandbox.close()
            self._sandbox = None

    async def stop_tools(self) -> None:
        """End the process trees of the calls that run now."""
        if self._sandbox is not None:
            for call_id in [*self._running]:
                try:
                    await self._sandbox.cancel(call_id)
                except SandboxError as error:
                    logger.info("cancelling %s: %s", call_id, error)
        self._running.clear()

    async def close(self) -> None:
        await self._lose_sandbox()


def _result(outcome: ToolOutcome | Running) -> ToolResult:
    assert isinstance(outcome, ToolOutcome)
    return ToolResult(content=outcome.content, is_error=outcome.is_error)


def _failed(sentence: str) -> ToolResult:
    return ToolResult(content=({"type": "text", "text": sentence},), is_error=True)


def _read_file(workspace_id: str, file_id: str) -> tuple[str, bytes]:
    file = File.objects.filter(pk=file_id, workspace=workspace_id).first()
    if file is None or not file.path.exists():
        raise FileUnavailable(f"file {file_id} does not exist any more")
    return file.mime_type, file.path.read_bytes()
