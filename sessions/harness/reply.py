"""Turns a model's reply into the events that are appended as one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sessions.events import (
    AgentCustomToolUse,
    AgentMessage,
    AgentThinking,
    AgentToolResult,
    AgentToolUse,
    Block,
    Draft,
    ModelRequestEnd,
    Payload,
    Record,
    SessionError,
)
from sessions.harness.contract import Turn
from sessions.harness.late import stopped_errand
from sessions.harness.model import CUT_SHORT, ModelFailed, Reply, Usage
from sessions.harness.preview import Preview
from sessions.harness.standing import OpenCall, errands, open_requests, unanswered
from sessions.harness.tools.policy import CUSTOM, Verdict, judge

TOO_LONG = "too_long"
"""Marks the end of a request whose length the provider refused."""


def reply_drafts(
    turn: Turn, start_id: str, reply: Reply, preview: Preview
) -> list[Draft]:
    """Return a whole reply in the order of the log, refused calls already answered."""
    content = _kept(reply)
    calls = list(_call_drafts(turn, reply, content))
    return [
        *_thinking_draft(content, preview),
        *_message_draft(content, preview),
        _end_draft(start_id, reply, content),
        *(use for use, _ in calls),
        *(denial for _, denial in calls if denial),
    ]


def failure_drafts(start_id: str, failure: ModelFailed, retry: str) -> list[Draft]:
    """Return the end of a request that failed, and what to tell the user of it."""
    return [
        lost_end(start_id, failure.usage, request_id=failure.request_id),
        Draft(payload=_error(failure.kind, failure.message, retry)),
    ]


def refused_as_too_long(start_id: str, failure: ModelFailed) -> Draft:
    """Return the end of a request that did not fit: room is made before the next."""
    private = {"request_id": failure.request_id, TOO_LONG: True}
    return lost_end(start_id, failure.usage, **private)


def lost_end(start_id: str, usage: Usage | None = None, **private: object) -> Draft:
    """Return the end of a request whose reply never came whole."""
    usage = usage or Usage()
    payload = ModelRequestEnd(
        model_request_start_id=start_id, model_usage=usage.on_span(), is_error=True
    )
    return Draft(payload=payload, private={"cache_creation": usage.by_ttl(), **private})


def _kept(reply: Reply) -> list[Block]:
    """What of the reply is kept, since the provider must take it back.

    Of a refused reply only what was said; of a thought that was cut off before it was
    signed, nothing.
    """
    if reply.stop_reason == "refusal":
        return [block for block in reply.content if block["type"] == "text"]
    if reply.stop_reason in CUT_SHORT:
        return [block for block in reply.content if not _is_unsigned(block)]
    return list(reply.content)


def _is_unsigned(block: Block) -> bool:
    return block["type"] == "thinking" and not block.get("signature")


def _thinking_draft(content: list[Block], preview: Preview) -> Iterator[Draft]:
    if any(block["type"] in {"thinking", "redacted_thinking"} for block in content):
        yield Draft(payload=AgentThinking(), id=preview.thinking_id)


def _message_draft(content: list[Block], preview: Preview) -> Iterator[Draft]:
    texts = [
        {"type": "text", "text": block["text"]}
        for block in content
        if block["type"] == "text" and block["text"].strip()
    ]
    if texts:
        yield Draft(payload=AgentMessage(content=texts), id=preview.message_id)


def _end_draft(start_id: str, reply: Reply, content: list[Block]) -> Draft:
    payload = ModelRequestEnd(
        model_request_start_id=start_id, model_usage=reply.usage.on_span()
    )
    private = {
        "content": content,
        "stop_reason": reply.stop_reason,
        "stop_details": reply.stop_details,
        "cache_creation": reply.usage.by_ttl(),
        "request_id": reply.request_id,
        "model": reply.model,
    }
    return Draft(payload=payload, private=private)


def _call_drafts(
    turn: Turn, reply: Reply, content: list[Block]
) -> Iterator[tuple[Draft, Draft | None]]:
    for block in content:
        if block["type"] == "tool_use":
            event_id = turn.new_id()
            verdict = _verdict(turn, reply, block)
            use = _use_draft(turn, event_id, block, verdict)
            refused = verdict.denial
            yield use, error_result(event_id, refused) if refused else None


def _verdict(turn: Turn, reply: Reply, block: Block) -> Verdict:
    """A call that did not arrive whole is denied before any policy is asked."""
    if fault := reply.faults.get(block["id"]):
        return Verdict(permission="deny", denial=fault)
    return judge(turn.agent.get("tools") or (), block["name"])


def _use_draft(turn: Turn, event_id: str, block: Block, verdict: Verdict) -> Draft:
    said = {
        "name": block["name"],
        "input": block["input"],
        "session_thread_id": turn.child_thread_id,
    }
    payload: Payload
    if verdict.permission == CUSTOM:
        payload = AgentCustomToolUse(**said)
    else:
        payload = AgentToolUse(
            evaluated_permission=verdict.permission,
            evaluation=verdict.evaluation,
            **said,
        )
    return Draft(
        payload=payload, id=event_id, private={"model_tool_use_id": block["id"]}
    )


def denial(call: OpenCall) -> Draft:
    """Return the result of a call that a person refused, with their words."""
    said = call.decision.deny_message if call.decision else None
    why = f"They said: {said}" if said else "They gave no reason."
    return error_result(
        call.call.id, f"A person denied this call; it was not run. {why}"
    )


def closings(
    records: Sequence[Record],
    sentence: str,
    used: Mapping[str, Usage] = MappingProxyType({}),
) -> list[Draft]:
    """Return the ends of whatever a thread has open; calls end with the sentence.

    `used` is what open requests are known to have used.
    """
    return [
        *(lost_end(start, used.get(start)) for start in open_requests(records)),
        *(error_result(call.id, sentence) for call in unanswered(records)),
        *(stopped_errand(errand) for errand in errands(records)),
    ]


def error_result(tool_use_id: str, sentence: str) -> Draft:
    """Return a result that tells the model why a call was not completed."""
    content = [{"type": "text", "text": sentence}]
    return Draft(
        payload=AgentToolResult(tool_use_id=tool_use_id, content=content, is_error=True)
    )


def _error(kind: str, message: str, retry: str) -> SessionError:
    error: Mapping[str, Any] = {
        "type": kind,
        "message": message,
        "retry_status": {"type": retry},
    }
    return SessionError(error=error)
