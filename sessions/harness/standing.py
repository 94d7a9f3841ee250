"""Reads off the log how a turn stands: what is unanswered, failed, or over; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sessions.events import (
    AgentCustomToolUse,
    AgentToolResult,
    AgentToolUse,
    ModelRequestEnd,
    ModelRequestStart,
    Record,
    SessionError,
    SessionStatusIdle,
    SessionStatusRunning,
    SystemMessage,
    ThreadMessageReceived,
    ThreadStatusIdle,
    ThreadStatusRunning,
    ToolLateResult,
    ToolLook,
    ToolLooked,
    ToolRerun,
    ToolStarted,
    UserCustomToolResult,
    UserInterrupt,
    UserMessage,
    UserToolConfirmation,
    Waiting,
)
from sessions.harness.contract import (
    BUDGET_REACHED,
    END_TURN,
    RETRIES_EXHAUSTED,
    Ending,
    ToolCall,
    run_id,
)
from sessions.harness.horizon import is_reply
from sessions.harness.model import CUT_SHORT

GOES_ON = CUT_SHORT | {"pause_turn"}
"""Stop reasons after which the model is asked again even without a tool result."""

RESTS_WITHIN = frozenset({"requires_action", "budget_reached"})
"""Stop reasons after which the same turn goes on."""


@dataclass(frozen=True, kw_only=True)
class OpenCall:
    """A call without a result, and what a person said of it."""

    call: ToolCall
    asks: bool = False  # it runs, or is answered, by somebody's leave only
    decision: UserToolConfirmation | None = None

    @property
    def waits(self) -> bool:
        return self.asks and self.decision is None

    @property
    def is_denied(self) -> bool:
        return self.decision is not None and self.decision.result == "deny"


def open_calls(records: Sequence[Record]) -> list[OpenCall]:
    """Return the calls without a result, in the order they were made."""
    calls: dict[str, OpenCall] = {}
    for record in _since_reply(records):
        match record.payload:
            case AgentToolUse(evaluated_permission=permission):
                calls[record.id] = _opened(record, asks=permission == "ask")
            case AgentCustomToolUse():
                calls[record.id] = _opened(record, asks=True)
            case UserToolConfirmation(tool_use_id=asked) as decision:
                if asked in calls:
                    calls[asked] = replace(calls[asked], decision=decision)
            case AgentToolResult(tool_use_id=answered):
                calls.pop(answered, None)
            case UserCustomToolResult(custom_tool_use_id=answered):
                calls.pop(answered, None)
    return list(calls.values())


def _opened(record: Record, *, asks: bool) -> OpenCall:
    use = record.payload
    assert isinstance(use, AgentToolUse | AgentCustomToolUse)
    call = ToolCall(id=record.id, name=use.name, input=use.input)
    return OpenCall(call=call, asks=asks)


def _since_reply(records: Sequence[Record]) -> Sequence[Record]:
    """What followed the last whole reply: calls of earlier ones have their results."""
    for at in range(len(records) - 1, -1, -1):
        match records[at].payload:
            case ModelRequestEnd(is_error=False):
                return records[at:]
    return records


def unanswered(records: Sequence[Record]) -> list[ToolCall]:
    """Return the tool calls that have no result, in the order they were made."""
    return [each.call for each in open_calls(records)]


def started(records: Sequence[Record]) -> set[str]:
    """Return the open runs with an intent: they may have had effects."""
    return {
        run_id(record.payload.tool_use_id, record.payload.attempt)
        for record in _since_reply(records)
        if isinstance(record.payload, ToolStarted)
    }


def errands(records: Sequence[Record]) -> list[Record]:
    """Return what people asked about old calls and nothing has come of yet."""
    asked: dict[str, Record] = {}
    for record in _since_reply(records):
        match record.payload:
            case ToolLook() | ToolRerun():
                asked[record.id] = record
            case ToolLooked(errand_id=done) | ToolLateResult(errand_id=done):
                asked.pop(done, None)
    return list(asked.values())


def open_requests(records: Sequence[Record]) -> list[str]:
    """Return the ids of model requests that began and never ended: at most one."""
    started: dict[str, None] = {}
    for record in _since_reply(records):
        match record.payload:
            case ModelRequestStart():
                started[record.id] = None
            case ModelRequestEnd(model_request_start_id=start):
                started.pop(start, None)
    return list(started)


def open_wait(records: Sequence[Record]) -> Waiting | None:
    """Return the wait for something that is told of as going on, if one is."""
    for record in reversed(records):
        if isinstance(record.payload, Waiting):
            return None if record.payload.over else record.payload
    return None


def is_interrupted(records: Sequence[Record]) -> bool:
    """Say whether an interrupt ends this turn, which is not closed yet."""
    for record in reversed(records):
        match record.payload:
            case UserInterrupt():
                return True
            case UserMessage() | SessionStatusRunning() | ThreadStatusRunning():
                return False
            case ModelRequestStart():  # who was stopped asks no more
                return False
            case SessionStatusIdle() | ThreadStatusIdle():
                return False
    return False


def failures(records: Sequence[Record]) -> int:
    """Count how often the model failed in a row up to now."""
    count = 0
    for record in reversed(records):
        match record.payload:
            case SessionError():
                count += _retries(record.payload)
            case UserMessage() | ThreadMessageReceived():
                break
            case ModelRequestEnd(is_error=False):
                break
    return count


def settled(records: Sequence[Record]) -> Ending | None:
    """Return the ending the log has come to; None while the model is to be asked."""
    if is_interrupted(records):
        return END_TURN
    for record in reversed(records):
        match record.payload:
            case UserMessage() | SystemMessage() | ThreadMessageReceived():
                return None
            case AgentToolResult() | UserCustomToolResult():
                return None
            case SessionStatusIdle() | ThreadStatusIdle() as idle:
                if is_pause(idle):
                    continue
                return Ending(
                    stop_reason=idle.stop_reason, stop_details=idle.stop_details
                )
            case SessionError(error={"retry_status": {"type": "exhausted"}}):
                return RETRIES_EXHAUSTED
            case ModelRequestEnd() if is_reply(record):
                return ending(record.private)
    return END_TURN


def requests_this_turn(records: Sequence[Record]) -> int:
    """Count the model requests of a turn, over its rests for answers and budgets."""
    count = 0
    for record in reversed(records):
        match record.payload:
            case ModelRequestStart():
                count += 1
            case ThreadStatusIdle(stop_reason={"type": reason}):
                if reason not in RESTS_WITHIN:
                    break
    return count


def is_pause(idle: SessionStatusIdle | ThreadStatusIdle) -> bool:
    """Say whether a turn rested at its budget: what it had to do is still to do."""
    return idle.stop_reason == BUDGET_REACHED.stop_reason


def ending(reply: Mapping[str, Any]) -> Ending | None:
    """Return how a reply, as its event's private part keeps it, ends the turn."""
    if reply["stop_reason"] == "refusal":
        return Ending(
            stop_reason={"type": "refusal"}, stop_details=reply.get("stop_details")
        )
    if reply["stop_reason"] in GOES_ON or _calls_tools(reply):
        return None
    return END_TURN


def _calls_tools(reply: Mapping[str, Any]) -> bool:
    return any(block["type"] == "tool_use" for block in reply["content"])


def _retries(payload: SessionError) -> bool:
    status = payload.error.get("retry_status") or {}
    return status.get("type") == "retrying"
