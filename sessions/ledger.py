"""The tool ledger: what became of each call, read off the log.

waiting ─ allowed ─▶ pending ─ started ─▶ running ─ result ─▶ done | failed | unknown
waiting ─ denied ─▶ denied;   a call that does not ask begins as pending
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from sessions import log
from sessions.events import (
    AgentCustomToolUse,
    AgentToolResult,
    AgentToolUse,
    EventType,
    Record,
    Recovery,
    ToolStarted,
    UserCustomToolResult,
    UserToolConfirmation,
)
from sessions.models import Event


class State(StrEnum):
    WAITING = "waiting"  # for somebody's word, or a client's result
    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    DENIED = "denied"
    UNKNOWN = "unknown"


TYPES = (
    EventType.AGENT_TOOL_USE,
    EventType.AGENT_CUSTOM_TOOL_USE,
    EventType.USER_TOOL_CONFIRMATION,
    EventType.TOOL_STARTED,
    EventType.RECOVERY,
    EventType.AGENT_TOOL_RESULT,
    EventType.USER_CUSTOM_TOOL_RESULT,
)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call. Times are when the log says so; null where it has not come to that."""

    id: str
    thread_id: str
    name: str
    state: State
    attempt: int = 0  # how often it was run; 0 before the first time
    answered_by: str | None = None  # who allowed, denied or answered it
    asked_at: datetime
    answered_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None


def calls_of(session_id: str) -> list[Call]:
    """Return a session's calls, in the order in which they were made."""
    rows = Event.objects.filter(session_id=session_id, type__in=TYPES).order_by("seq")
    return fold(log.record_of(row) for row in rows)


def fold(records: Iterable[Record]) -> list[Call]:
    calls: dict[str, Call] = {}
    for record in records:
        calls.update(_changes(calls, record))
    return list(calls.values())


def _changes(calls: dict[str, Call], record: Record) -> Iterable[tuple[str, Call]]:
    """What one event changes of the calls known so far."""
    event = record.payload
    match event:
        case AgentToolUse() | AgentCustomToolUse():
            yield record.id, _made(record, event)
        case Recovery():
            for told in event.calls:
                if known := calls.get(told.get("tool_use_id", "")):
                    yield known.id, _recovered(known, told.get("outcome", ""))
        case UserToolConfirmation(tool_use_id=call_id) if known := calls.get(call_id):
            yield call_id, _answered(known, record, event)
        case ToolStarted(tool_use_id=call_id) if known := calls.get(call_id):
            yield call_id, _started(known, record)
        case AgentToolResult(tool_use_id=call_id) if known := calls.get(call_id):
            yield call_id, _ended(known, record, failed=event.is_error)
        case UserCustomToolResult(custom_tool_use_id=call_id) if known := calls.get(
            call_id
        ):
            by = replace(
                known,
                answered_by=event.agentsite_sender,
                answered_at=record.created_at,
            )
            yield call_id, _ended(by, record, failed=bool(event.is_error))


def _made(record: Record, use: AgentToolUse | AgentCustomToolUse) -> Call:
    asks = isinstance(use, AgentCustomToolUse) or use.evaluated_permission == "ask"
    denied = isinstance(use, AgentToolUse) and use.evaluated_permission == "deny"
    state = State.WAITING if asks else State.DENIED if denied else State.PENDING
    return Call(
        id=record.id,
        thread_id=record.thread_id,
        name=use.name,
        state=state,
        asked_at=record.created_at,
    )


def _answered(call: Call, record: Record, word: UserToolConfirmation) -> Call:
    return replace(
        call,
        state=State.PENDING if word.result == "allow" else State.DENIED,
        answered_by=word.agentsite_sender,
        answered_at=record.created_at,
    )


def _started(call: Call, record: Record) -> Call:
    return replace(
        call,
        state=State.RUNNING,
        attempt=call.attempt + 1,
        started_at=record.created_at,
    )


def _recovered(call: Call, outcome: str) -> Call:
    if outcome == "unknown":
        return replace(call, state=State.UNKNOWN)
    return replace(call, attempt=call.attempt + (outcome == "re-run"))


def _ended(call: Call, record: Record, *, failed: bool) -> Call:
    keeps = call.state in {State.DENIED, State.UNKNOWN}
    state = call.state if keeps else State.FAILED if failed else State.DONE
    return replace(call, state=state, ended_at=record.created_at)
