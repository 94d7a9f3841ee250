"""What sessions and threads have used: summed with each model request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.utils import timezone

from sessions.events import Draft, EventType
from sessions.models import Session, Thread

TOKENS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)
HOUR = "ephemeral_1h_input_tokens"


def count(session_id: str, thread_id: str, drafts: Iterable[Draft]) -> None:
    """Add what the model requests among these events used. Joins the transaction."""
    used = [_used(draft) for draft in drafts if ends_request(draft)]
    if not any(any(each.values()) for each in used):
        return
    thread = Thread.objects.select_related("session").only("usage", "session__usage")
    found = thread.get(pk=thread_id, session=session_id)
    Thread.objects.filter(pk=thread_id).update(usage=_sum(found.usage, used))
    Session.objects.filter(pk=session_id).update(usage=_sum(found.session.usage, used))


def usage_of(row: Session | Thread) -> dict[str, Any]:
    """The usage object of the wire, running time included."""
    usage = row.usage or {}
    written, for_an_hour = (
        usage.get("cache_creation_input_tokens", 0),
        usage.get(HOUR, 0),
    )
    return {
        "input_tokens": usage.get("input_tokens", 0),
        "output_tokens": usage.get("output_tokens", 0),
        "cache_read_input_tokens": usage.get("cache_read_input_tokens", 0),
        "cache_creation": {
            "ephemeral_5m_input_tokens": written - for_an_hour,
            "ephemeral_1h_input_tokens": for_an_hour,
        },
        "server_tool_use": {"web_search_requests": 0, "web_fetch_requests": 0},
        "active_seconds": round(active_seconds(row), 3),
    }


def active_seconds(row: Session | Thread) -> float:
    """Seconds in which a session or a thread was working, up to now."""
    if row.running_since is None:
        return row.active_seconds
    running = (timezone.now() - row.running_since).total_seconds()
    return row.active_seconds + max(0.0, running)


def ends_request(draft: Draft) -> bool:
    return draft.payload.type is EventType.MODEL_REQUEST_END


def _used(draft: Draft) -> dict[str, int]:
    """One request's tokens; what is kept for an hour is part of what was written."""
    said = draft.payload.to_json()["model_usage"]
    by_ttl = (draft.private or {}).get("cache_creation") or {}
    tokens = {name: int(said.get(name) or 0) for name in TOKENS}
    return {**tokens, HOUR: int(by_ttl.get(HOUR) or 0)}


def _sum(
    before: Mapping[str, int] | None, used: Iterable[Mapping[str, int]]
) -> dict[str, int]:
    summed = dict(before or {})
    for each in used:
        for name, tokens in each.items():
            summed[name] = summed.get(name, 0) + tokens
    return summed
