"""What a host does when somebody asks about a call with unknown outcome.

Asked for by `sessions.unknown_calls`; an errand is taken in like a message, and done
at the thread's next step, so that what the model is told of it has its place in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from sandbox.base import Sandbox
from sandbox.errors import SandboxError
from sandbox.spec import Running, ToolOutcome
from sessions.events import (
    AgentToolUse,
    Draft,
    Payload,
    Record,
    ToolLateResult,
    ToolLook,
    ToolLooked,
    ToolRerun,
    ToolStarted,
)
from sessions.harness import standing
from sessions.harness.contract import ToolCall, ToolResult, run_id
from sessions.harness.late import lost_again
from sessions.results import bounded, result_of

NEWEST = {"pattern": "**"}
MOST_FILES = 20


class Doing(Protocol):
    """What an errand needs of the turn in which it is done."""

    async def records(self) -> Sequence[Record]: ...

    async def emit(self, *drafts: Draft) -> Sequence[Record]: ...

    async def sandbox(self) -> Sandbox: ...

    async def attempt(self, call: ToolCall) -> ToolResult: ...


async def run(turn: Doing, errand: Record) -> None:
    """Do what was asked, and write what came of it."""
    match errand.payload:
        case ToolRerun() as rerun:
            await _run_again(turn, errand, rerun)
        case ToolLook() as look:
            await _look(turn, errand, look)


def calls(records: Sequence[Record]) -> list[ToolCall]:
    """Return the calls that are to be run again and have no result of that yet."""
    return [
        call_of(records, errand.payload)
        for errand in standing.errands(records)
        if isinstance(errand.payload, ToolRerun)
    ]


def call_of(records: Sequence[Record], rerun: ToolRerun) -> ToolCall:
    (use,) = (each.payload for each in records if each.id == rerun.tool_use_id)
    assert isinstance(use, AgentToolUse)
    return ToolCall(
        id=rerun.tool_use_id, name=use.name, input=use.input, attempt=rerun.attempt
    )


async def _run_again(turn: Doing, errand: Record, rerun: ToolRerun) -> None:
    result = await turn.attempt(call_of(await turn.records(), rerun))
    late = (
        _late(errand, rerun, "run_again", rerun.attempt, result)
        if result.ran
        else lost_again(errand, rerun, str(result.content[0]["text"]))
    )
    await turn.emit(Draft(payload=late, idempotency_key=f"errand:{errand.id}"))


async def _look(turn: Doing, errand: Record, look: ToolLook) -> None:
    """Ask the sandbox; nothing is changed by it."""
    try:
        sandbox = await turn.sandbox()
        attempt = _last_attempt(await turn.records(), look.tool_use_id)
        known = await sandbox.outcome(run_id(look.tool_use_id, attempt))
    except SandboxError:
        await turn.emit(Draft(payload=_looked(errand, look, "unreachable")))
        return
    drafts = [*_collected(errand, look, attempt, known)]
    found = "nothing" if known is None else "ended" if drafts else "running"
    seconds = known.seconds if isinstance(known, Running) else None
    files = await _newest_files(sandbox, errand)
    told = _looked(errand, look, found, seconds=seconds, files=files)
    await turn.emit(*(Draft(payload=each) for each in (*drafts, told)))


def _collected(
    errand: Record, look: ToolLook, attempt: int, known: ToolOutcome | Running | None
) -> Iterator[Payload]:
    if isinstance(known, ToolOutcome):
        result = bounded(result_of(known))
        yield _late(errand, look, "collected", attempt, result)


def _late(
    errand: Record,
    asked: ToolLook | ToolRerun,
    outcome: str,
    attempt: int,
    result: ToolResult,
) -> ToolLateResult:
    return ToolLateResult(
        tool_use_id=asked.tool_use_id,
        errand_id=errand.id,
        attempt=attempt,
        outcome=outcome,
        call=asked.call,
        sender=asked.sender,
        content=result.content,
        is_error=result.is_error,
    )


def _looked(
    errand: Record,
    look: ToolLook,
    found: str,
    *,
    seconds: float | None = None,
    files: Sequence[str] = (),
) -> ToolLooked:
    return ToolLooked(
        tool_use_id=look.tool_use_id,
        errand_id=errand.id,
        found=found,
        seconds=seconds,
        files=files,
    )


def _last_attempt(records: Sequence[Record], call_id: str) -> int:
    started = (
        record.payload.attempt
        for record in records
        if isinstance(record.payload, ToolStarted)
        and record.payload.tool_use_id == call_id
    )
    return max(started, default=1)


async def _newest_files(sandbox: Sandbox, errand: Record) -> list[str]:
    """The files of the workspace that changed last; a search that only reads."""
    try:
        found = await sandbox.execute(errand.id, "glob", NEWEST)
    except SandboxError:
        return []
    lines = str(found.content[0].get("text", "")).splitlines()
    return [line for line in lines if line.startswith("/")][:MOST_FILES]
