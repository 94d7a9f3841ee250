"""The tool ledger: what became of each call, read off the log.

waiting ─ allowed ─▶ pending ─ started ─▶ running ─ result ─▶ done | failed | unknown
waiting ─ denied ─▶ denied;   a call that does not ask begins as pending
unknown ─ a look collected it ─▶ done | failed;   unknown ─ marked ─▶ done
unknown ─ to be run again ─▶ pending ─ started ─▶ running ─ late result ─▶ done | …
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db.models import Q

from sessions import log
from sessions.events import (
    AgentCustomToolUse,
    AgentToolResult,
    AgentToolUse,
    EventType,
    Record,
    Recovery,
    ToolLateResult,
    ToolLook,
    ToolLooked,
    ToolMarkedDone,
    ToolRerun,
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


LATER = (
    EventType.TOOL_LOOK,
    EventType.TOOL_LOOKED,
    EventType.TOOL_RERUN,
    EventType.TOOL_LATE_RESULT,
    EventType.TOOL_MARKED_DONE,
)
"""What happens to a call whose result said that its outcome is unknown."""

OF_CALL = (
    EventType.USER_TOOL_CONFIRMATION,
    EventType.TOOL_STARTED,
    EventType.AGENT_TOOL_RESULT,
    *LATER,
)
TYPES = (
    EventType.AGENT_TOOL_USE,
    EventType.AGENT_CUSTOM_TOOL_USE,
    EventType.USER_CUSTOM_TOOL_RESULT,
    EventType.RECOVERY,
    *OF_CALL,
)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call. Times are when the log says so; null where it has not come to that."""

    id: str
    thread_id: str
    name: str
    input: Mapping[str, Any]
    state: State
    attempt: int = 0  # how often it was run; 0 before the first time
    answered_by: str | None = None  # who allowed, denied or answered it
    asked_at: datetime
    answered_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    errand: str | None = None  # the look or run that somebody asked for and that is due
    settled_by: str | None = (
        None  # who had it looked at or run again, or marked it done
    )
    settled_how: str | None = None  # look, run_again or mark_done


def find(session_id: str, call_id: str) -> Call | None:
    """Return one call of a session."""
    return next(iter(fold(records_of(session_id, call_id))), None)


def records_of(session_id: str, call_id: str) -> list[Record]:
    """Return the events that are about one call, in the order in which they came."""
    rows = Event.objects.filter(session_id=session_id)
    of_call = Q(type__in=OF_CALL, payload__tool_use_id=call_id)
    answer = Q(type=EventType.USER_CUSTOM_TOOL_RESULT)
    answer &= Q(payload__custom_tool_use_id=call_id)
    found = rows.filter(Q(pk=call_id) | of_call | answer).order_by("seq")
    return [log.record_of(row) for row in found]


def later(session_id: str, call_ids: Collection[str]) -> list[Record]:
    """Return what was done about calls after their outcome was said to be unknown."""
    if not call_ids:
        return []
    rows = Event.objects.filter(session_id=session_id)
    again = Q(type=EventType.TOOL_STARTED, payload__attempt__gt=1)
    found = rows.filter(Q(type__in=LATER) | again).order_by("seq")
    records = [log.record_of(row) for row in found]
    return [each for each in records if call_id_of(each) in call_ids]


def call_id_of(record: Record) -> str:
    """The call that an event of `LATER`, a start or a result is about."""
    return str(getattr(record.payload, "tool_use_id", ""))


def is_unknown(record: Record) -> bool:
    """Say whether this is the result of a call whose outcome was unknown then."""
    result = record.payload
    return isinstance(result, AgentToolResult) and result.agentsite_unknown


def changes_call(record: Record) -> bool:
    """Say whether a call's row is told anew by an event: its state is another one."""
    if isinstance(record.payload, ToolStarted):
        return record.payload.attempt > 1
    return record.type in LATER or is_unknown(record)


def calls_of(session_id: str) -> list[Call]:
    """Return a session's calls, in the order in which they were made."""
    rows = Event.objects.filter(session_id=session_id, type__in=TYPES).order_by("seq")
    return fold(log.record_of(row) for row in rows)


def running(session_id: str, thread_id: str) -> list[Call]:
    """Return what a thread runs now and its messages wait behind, in order."""
    rows = log.since_reply(session_id, thread_id).filter(type__in=TYPES)
    found = fold(log.record_of(row) for row in rows)
    return [call for call in found if call.state is State.RUNNING]


def fold(records: Iterable[Record]) -> list[Call]:
    calls: dict[str, Call] = {}
    for record in records:
        calls.update(_changes(calls, record))
        calls.update(_later_changes(calls, record))
    return list(calls.values())


def _changes(calls: dict[str, Call], record: Record) -> Iterable[tuple[str, Call]]:
    """What one event changes of the calls known so far."""
    event = record.payload
    match event:
        case AgentToolUse() | AgentCustomToolUse():
            yield record.id, _made(record, event)
        case Recovery():
            for told in event.calls:
                known = calls.get(told.get("tool_use_id", ""))
                if known and told.get("outcome") == "re-run":
                    yield known.id, replace(known, attempt=known.attempt + 1)
        case UserToolConfirmation(tool_use_id=call_id) if known := calls.get(call_id):
            yield call_id, _answered(known, record, event)
        case ToolStarted(tool_use_id=call_id) if known := calls.get(call_id):
            yield call_id, _started(known, record)
        case AgentToolResult(tool_use_id=call_id) if known := calls.get(call_id):
            unknown = event.agentsite_unknown
            yield (
                call_id,
                _ended(known, record, failed=event.is_error, unknown=unknown),
            )
        case UserCustomToolResult(custom_tool_use_id=call_id) if known := calls.get(
            call_id
        ):
            by = replace(
                known,
                answered_by=event.agentsite_sender,
                answered_at=record.created_at,
            )
            yield call_id, _ended(by, record, failed=bool(event.is_error))


def _later_changes(
    calls: dict[str, Call], record: Record
) -> Iterable[tuple[str, Call]]:
    """What people and hosts did about a call whose outcome was unknown."""
    event = record.payload
    match event:
        case ToolLook(tool_use_id=call_id) if known := calls.get(call_id):
            yield call_id, replace(known, errand=record.id)
        case ToolLooked(tool_use_id=call_id) if known := calls.get(call_id):
            yield call_id, replace(known, errand=None)
        case ToolRerun(tool_use_id=call_id) if known := calls.get(call_id):
            again = replace(known, errand=record.id, state=State.PENDING, ended_at=None)
            yield call_id, again
        case ToolLateResult(tool_use_id=call_id) if known := calls.get(call_id):
            yield call_id, _ended_late(known, record, event)
        case ToolMarkedDone(tool_use_id=call_id) if known := calls.get(call_id):
            yield call_id, _settled(known, record, event.sender, "mark_done")


def _made(record: Record, use: AgentToolUse | AgentCustomToolUse) -> Call:
    asks = isinstance(use, AgentCustomToolUse) or use.evaluated_permission == "ask"
    denied = isinstance(use, AgentToolUse) and use.evaluated_permission == "deny"
    state = State.WAITING if asks else State.DENIED if denied else State.PENDING
    return Call(
        id=record.id,
        thread_id=record.thread_id,
        name=use.name,
        input=use.input,
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


def _ended(call: Call, record: Record, *, failed: bool, unknown: bool = False) -> Call:
    state = State.UNKNOWN if unknown else State.FAILED if failed else State.DONE
    state = call.state if call.state is State.DENIED else state
    return replace(call, state=state, ended_at=record.created_at)


def _ended_late(call: Call, record: Record, late: ToolLateResult) -> Call:
    if late.outcome == "unknown":
        return replace(_ended(call, record, failed=True, unknown=True), errand=None)
    how = "look" if late.outcome == "collected" else late.outcome
    ended = _ended(call, record, failed=late.is_error)
    return replace(ended, errand=None, settled_by=late.sender, settled_how=how)


def _settled(call: Call, record: Record, by: str, how: str) -> Call:
    ended = _ended(call, record, failed=False)
    return replace(ended, settled_by=by, settled_how=how)
