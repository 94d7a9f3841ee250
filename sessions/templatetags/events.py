"""Events as rows of the timeline: one partial per event type, the same live and stored."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django import template
from django.template.loader import get_template
from django.utils.safestring import SafeString, mark_safe

from sessions import budgets, ledger, liveness
from sessions.events import (
    AgentCustomToolUse,
    AgentToolResult,
    AgentToolUse,
    Block,
    EventType,
    ModelRequestEnd,
    Record,
    ToolStarted,
    UserCustomToolResult,
    UserToolConfirmation,
    Waiting,
)
from sessions.ledger import State
from sessions.log import Frame
from sessions.models import Session
from sessions.templatetags.prose import prose, terminal
from sessions.templatetags.tools import icon_of, shown_input, summary_of
from sessions.usage import usage_of

register = template.Library()

CHUNK = 50
SHOWN_CHARACTERS = 20_000
IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})

LOOK: Mapping[EventType, tuple[str, str]] = {
    EventType.USER_MESSAGE: ("message", "user"),
    EventType.USER_INTERRUPT: ("system", "circle-stop"),
    EventType.SYSTEM_MESSAGE: ("message", "user"),
    EventType.THREAD_MESSAGE_SENT: ("message", "send"),
    EventType.THREAD_MESSAGE_RECEIVED: ("message", "bot"),
    EventType.AGENT_MESSAGE: ("message", "bot"),
    EventType.AGENT_THINKING: ("thinking", "brain"),
    EventType.SESSION_ERROR: ("error", "circle-alert"),
    EventType.SESSION_STATUS_RESCHEDULED: ("system", "rotate-ccw"),
    EventType.SESSION_STATUS_TERMINATED: ("system", "square"),
    EventType.SESSION_UPDATED: ("system", "pencil"),
    EventType.RECOVERY: ("system", "rotate-ccw"),
    EventType.THREAD_CONTEXT_COMPACTED: ("system", "archive"),
    EventType.RESULTS_TRIMMED: ("system", "archive"),
    EventType.OUTPUTS_CAPTURED: ("system", "download"),
    EventType.REPOSITORY_CLONED: ("system", "git-compare"),
    EventType.RESOURCES_CHANGED: ("system", "paperclip"),
    EventType.SANDBOX_OPENED: ("system", "box"),
    EventType.SANDBOX_STOPPED: ("system", "box"),
    EventType.SANDBOX_REMOVED: ("system", "box"),
    EventType.EGRESS_REFUSED: ("system", "circle-alert"),
    EventType.HOST_ALLOWED: ("system", "check"),
}
"""The kind and the sign of a row; a system row with a pulse where nothing is named."""

NOTHING_PLACED = {
    "result": None,
    "started": None,
    "end": None,
    "over": None,
    "decision": None,
    "later": (),
}

ADVICE: Mapping[str, str] = {
    "model_overloaded_error": "The model's provider is overloaded. Nothing is lost.",
    "model_rate_limited_error": "The provider's rate limit is reached. Nothing is lost.",
    "model_request_failed_error": (
        "Look at the agent's model and at the site's model address and key."
    ),
    "compaction_limit_reached_error": (
        "Shorter messages, fewer tools or a model with a larger window may help."
    ),
    "tool_use_limit_reached_error": "Whoever started the session set that limit.",
    "billing_error": "The provider refuses for its account's sake: look at its billing.",
}
RETRY: Mapping[str, str] = {
    "retrying": "It is tried again by itself.",
    "exhausted": "The turn ended here. Send a message to go on from this point.",
    "terminal": "The session ended here. Start a new one to go on.",
}


def render_event(
    record: Record,
    *,
    session: Session | None = None,
    queued: bool = False,
    behind: ledger.Call | None = None,
) -> str:
    """Return the row of one event; an empty string where nothing is shown.

    `behind` is the call that a queued message waits for.
    """
    return _render(record, {"session": session, "queued": queued, "behind": behind})


def _render(record: Record, extra: Mapping[str, Any]) -> str:
    name = record.type.value.replace(".", "_")
    kind, sign = LOOK.get(record.type, ("system", "activity"))
    context = {
        "record": record,
        "event": record.payload,
        "kind": kind,
        "sign": sign,
        **NOTHING_PLACED,
        **extra,
    }
    return get_template(f"sessions/events/{name}.html").render(context).strip()


def call_before_messages(
    session_id: str, frames: Iterable[Frame]
) -> ledger.Call | None:
    """The call that queued messages among these wait for: looked up once for all."""
    for frame in frames:
        if frame.queued and frame.record.type is EventType.USER_MESSAGE:
            return next(iter(ledger.running(session_id, frame.record.thread_id)), None)
    return None


def render_frames(
    frames: Sequence[Frame], *, session: Session | None = None
) -> list[SafeString]:
    """Rows of stored frames, in chunks; what belongs to a row is placed in it."""
    settled = _settled(frames)
    parts = _parts([frame.record for frame in settled])
    common: dict[str, Any] = {"session": session, "behind": None}
    if session is not None:
        _add_what_came_later(session, parts)
        common["behind"] = call_before_messages(session.pk, settled)
    rows = [
        _render(frame.record, {**common, "queued": frame.queued, **extra})
        for frame in settled
        if (extra := parts.get(frame.record.id, {})) is not None
    ]
    shown = [row for row in rows if row]
    return [
        mark_safe("\n".join(shown[first : first + CHUNK]))  # noqa: S308 - templates
        for first in range(0, len(shown), CHUNK)
    ]


def _settled(frames: Sequence[Frame]) -> list[Frame]:
    """One frame per event: where it was taken in, or last where it still waits."""
    last = [each for each in frames if not (each.queued and each.record.position)]
    return sorted(last, key=lambda frame: frame.queued)


def _parts(records: Iterable[Record]) -> dict[str, dict[str, Any] | None]:
    """Extra context per event id: results for calls, ends for starts; null if placed."""
    parts: dict[str, dict[str, Any] | None] = {}
    waiting: dict[str, Any] | None = None
    for record in records:
        parts.setdefault(record.id, {})
        event = record.payload
        if isinstance(event, Waiting):
            if event.over and waiting is not None:
                waiting["over"] = record
                parts[record.id] = None
            waiting = None if event.over else parts[record.id]
            continue
        place = _place_of(record)
        host = parts.get(place[0]) if place else None
        if place and host is not None:
            host[place[1]] = record
            parts[record.id] = None
    return parts


def _add_what_came_later(
    session: Session, parts: dict[str, dict[str, Any] | None]
) -> None:
    """A call with unknown outcome shows what was done about it, however much later."""
    unknown = {call: part for call, part in parts.items() if part and _is_unknown(part)}
    for record in ledger.later(session.pk, unknown):
        part = unknown[ledger.call_id_of(record)]
        part["later"] = [*part.get("later", ()), record]


def _is_unknown(part: Mapping[str, Any]) -> bool:
    result = part.get("result")
    return result is not None and ledger.is_unknown(result)


def render_call(session: Session, call_id: str) -> str:
    """The row of a call with all that came of it since; empty where there is none."""
    records = ledger.records_of(session.pk, call_id)
    frames = [Frame(number=each.seq, record=each, queued=False) for each in records]
    return "".join(render_frames(frames, session=session))


def _place_of(record: Record) -> tuple[str, str] | None:
    """Whose row an event belongs into, and as what."""
    match record.payload:
        case AgentToolResult(tool_use_id=call):
            return call, "result"
        case UserCustomToolResult(custom_tool_use_id=call):
            return call, "result"
        case UserToolConfirmation(tool_use_id=call):
            return call, "decision"
        case ToolStarted(tool_use_id=call, attempt=1):
            return call, "started"
        case ModelRequestEnd(model_request_start_id=start):
            return start, "end"
    return None


def session_state(session: Session, hour: int | None = None) -> dict[str, Any]:
    """What the page's header shows of a session: sent with every batch."""
    usage, budget = session.usage or {}, budgets.wire(session)
    return {
        "status": session.status,
        "can_stop": session.is_working or _waits(session),
        "title": session.title or "",
        "usage": usage,
        "tokens": tokens_of(usage),
        "cost": money(usage_of(session, hour)["list_cost"]),
        "budget": money(budget["max_list_cost"]) if budget else "",
        "active_seconds": session.active_seconds,
        "running_since": _iso(session.running_since),
        "owner": bool(session.owner),
        "workers": liveness.workers_alive(),
        "archived": session.archived_at is not None,
        "status_html": render_status(session),
    }


def _waits(session: Session) -> bool:
    reason = session.stop_reason or {}
    return reason.get("type") == "requires_action" and not session.archived_at


def render_status(session: Session) -> str:
    """The pill, as the page's own template draws it."""
    pill = get_template("components/status.html").render({"session": session})
    return pill.strip()


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


@register.filter
def moment(stamp: str | None) -> datetime | None:
    """The time that an event's payload names."""
    return datetime.fromisoformat(stamp) if stamp else None


@register.filter
def money(amount: Mapping[str, str] | None) -> str:
    """Write an amount of the wire, which is in cents: $0.12, $1,250.00."""
    return f"${int(amount['amount']) / 100:,.2f}" if amount else ""


@register.filter
def tokens_of(usage: Mapping[str, Any]) -> int:
    """All tokens of a session or of a request."""
    return tokens_in(usage) + int(usage.get("output_tokens") or 0)


@register.filter
def tokens_in(usage: Mapping[str, Any]) -> int:
    """Tokens the model read, cached ones included."""
    written = usage.get("cache_creation_input_tokens") or sum(
        value for value in (usage.get("cache_creation") or {}).values() if value
    )
    read = usage.get("cache_read_input_tokens") or 0
    return int(usage.get("input_tokens") or 0) + int(written) + int(read)


@register.simple_tag
def call_state(
    record: Record,
    started: Record | None,
    result: Record | None,
    later: Sequence[Record],
) -> str:
    """How a call stands by what is shown of it."""
    told = [each for each in (record, started, result, *later) if each is not None]
    return _stands(ledger.fold(told)[0].state)


def _stands(state: State) -> str:
    """A row says less than the ledger: who refused a call is told beside it."""
    shown = {State.PENDING: State.WAITING, State.DENIED: State.FAILED}
    return shown.get(state, state).value


STATES: Mapping[State, str] = {
    State.WAITING: "waits for you",
    State.PENDING: "to be run",
    State.RUNNING: "running",
    State.DONE: "done",
    State.FAILED: "failed",
    State.DENIED: "denied",
    State.UNKNOWN: "outcome unknown",
}
SETTLED: Mapping[str, str] = {
    "look": "collected for",
    "run_again": "run again for",
    "mark_done": "marked as done by",
}


@register.filter
def state_words(call: ledger.Call) -> str:
    return STATES[call.state]


@register.filter
def settled_words(call: ledger.Call) -> str:
    return SETTLED[call.settled_how or ""]


@register.filter
def took(call: ledger.Call) -> float | None:
    if call.ended_at is None or call.started_at is None:
        return None
    return (call.ended_at - call.started_at).total_seconds()


@register.filter
def is_due(errand: Record, later: Sequence[Record]) -> bool:
    """Say whether nothing has come of a look or a run yet."""
    return all(getattr(each.payload, "errand_id", "") != errand.id for each in later)


@register.filter
def asks(record: Record, decision: Record | None) -> bool:
    """Say whether a call needs somebody's word and has none yet."""
    match record.payload:
        case AgentToolUse(evaluated_permission=permission):
            return permission == "ask" and decision is None
    return record.type is EventType.AGENT_CUSTOM_TOOL_USE


@register.filter
def since(later: Record | None, earlier: Record | None) -> float | None:
    if not later or not earlier:
        return None
    return (later.created_at - earlier.created_at).total_seconds()


@register.simple_tag
def result_part(result: Record | None) -> SafeString:
    return mark_safe(_render(result, {}) if result else "")  # noqa: S308 - a template


@register.filter
def summary(call: AgentToolUse | AgentCustomToolUse | ledger.Call) -> str:
    return summary_of(call.name, call.input)


@register.filter
def tool_icon(name: str) -> str:
    return icon_of(name)


@register.filter
def input_parts(call: AgentToolUse | AgentCustomToolUse) -> dict[str, Any]:
    return shown_input(call.name, call.input)


@register.filter
def text_of(content: Sequence[Block]) -> str:
    return "\n\n".join(
        block["text"] for block in content if block.get("type") == "text"
    )


@register.filter
def as_prose(content: Sequence[Block]) -> SafeString:
    return prose(text_of(content))


register.filter("prose", prose)


@register.filter
def output_of(content: Sequence[Block]) -> str:
    """The beginning and the end of a tool's text."""
    text = terminal(text_of(content))
    if len(text) <= SHOWN_CHARACTERS:
        return text
    half = SHOWN_CHARACTERS // 2
    left_out = len(text) - SHOWN_CHARACTERS
    return f"{text[:half]}\n\n… {left_out:,} characters left out …\n\n{text[-half:]}"


@register.filter
def others(content: Sequence[Block]) -> list[Block]:
    return [block for block in content if block.get("type") != "text"]


@register.filter
def image_source(block: Block) -> str:
    """A data address of an image that a browser can show without asking anybody."""
    source = block.get("source") or {}
    if block.get("type") != "image" or source.get("type") != "base64":
        return ""
    if source.get("media_type") not in IMAGES:
        return ""
    return f"data:{source['media_type']};base64,{source.get('data', '')}"


@register.filter
def advice(error: Mapping[str, Any]) -> str:
    retry = (error.get("retry_status") or {}).get("type", "")
    words = (ADVICE.get(error.get("type", ""), ""), RETRY.get(retry, ""))
    return " ".join(word for word in words if word)


@register.filter
def pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


@register.filter
def is_error(record: Record) -> bool:
    if record.type == EventType.SESSION_ERROR:
        return True
    return bool(getattr(record.payload, "is_error", False))
