"""What sessions and threads have used: summed with each model request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.utils import timezone

from agents.models import ModelPrice, UnitPrice
from agents.models.price import CENT, Tokens, Unit
from sessions.events import Draft, EventType
from sessions.models import Session, Thread

TOKENS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)
HOUR = "ephemeral_1h_input_tokens"
SEARCHES = "web_search_requests"
COST = "picodollars"
"""Of all requests so far; null from the first one on whose model had no price."""
RUNTIME = "runtime_picodollars"
"""Of the turns that have ended, in sessions only."""


def at_first(model: str) -> dict[str, Any]:
    """The usage of a new session: whether it will have a cost is known already."""
    return {COST: None if ModelPrice.of(model) is None else 0}


def count(session_id: str, thread_id: str, drafts: Iterable[Draft]) -> None:
    """Add what the model requests among these events used. Joins the transaction."""
    used = [_used(draft) for draft in drafts if ends_request(draft)]
    used = [each for each in used if any(each.values())]
    if not used:
        return
    threads = Thread.objects.filter(pk=thread_id, session=session_id)
    # Not the whole snapshot: it holds the system prompt.
    before, whole, model = threads.values_list(
        "usage", "session__usage", "agent_snapshot__model__id"
    ).get()
    priced = [{**each, COST: _cost(model or "", each)} for each in used]
    threads.update(usage=_sum(before, priced))
    Session.objects.filter(pk=session_id).update(usage=_sum(whole, priced))


def hour_price() -> int:
    """What an hour in which a session runs costs now, in picodollars."""
    return UnitPrice.picodollars(Unit.RUNNING_HOUR)


def usage_of(row: Session | Thread, hour: int | None = None) -> dict[str, Any]:
    """The usage object of the wire, running time included.

    `hour` is the `hour_price`, for who asks of many rows and looks it up once.
    """
    return {
        **_said(row.usage or {}),
        "list_cost": money(list_cost(row, hour)),
        "active_seconds": round(active_seconds(row), 3),
    }


def _said(usage: Mapping[str, Any]) -> dict[str, Any]:
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
        "server_tool_use": {
            "web_search_requests": usage.get(SEARCHES, 0),
            "web_fetch_requests": 0,
        },
    }


def money(picodollars: int | None) -> dict[str, str] | None:
    """The wire's amount: whole cents, the nearest ones."""
    if picodollars is None:
        return None
    return {"amount": str((picodollars + CENT // 2) // CENT), "currency": "USD"}


def list_cost(row: Session | Thread, hour: int | None = None) -> int | None:
    """What it has cost up to now, in picodollars; null where unknown.

    The time it ran is part of what a session costs, and of no thread's cost.
    """
    usage = row.usage or {}
    spent = usage.get(COST)
    if spent is None:
        return None
    cost: int = spent + usage.get(RUNTIME, 0) + _running_cost(row, hour)
    return cost


def at_rest(row: Session | Thread) -> dict[str, Any] | None:
    """The usage with the running time that now ends paid for."""
    usage: dict[str, Any] | None = row.usage
    if not (cost := _running_cost(row)):
        return usage
    return {**(usage or {}), RUNTIME: (usage or {}).get(RUNTIME, 0) + cost}


def _running_cost(row: Session | Thread, hour: int | None = None) -> int:
    """What the time since it was set running costs, by the millisecond."""
    if row.running_since is None or isinstance(row, Thread):
        return 0
    milliseconds = round(_running_seconds(row) * 1000)
    price = hour_price() if hour is None else hour
    return price * milliseconds // 3_600_000


def active_seconds(row: Session | Thread) -> float:
    """Seconds in which a session or a thread was working, up to now."""
    return row.active_seconds + _running_seconds(row)


def _running_seconds(row: Session | Thread) -> float:
    if row.running_since is None:
        return 0.0
    return max(0.0, (timezone.now() - row.running_since).total_seconds())


def ends_request(draft: Draft) -> bool:
    return draft.payload.type is EventType.MODEL_REQUEST_END


def _used(draft: Draft) -> dict[str, int]:
    """One request's tokens; what is kept for an hour is part of what was written."""
    said = draft.payload.to_json()["model_usage"]
    private = draft.private or {}
    by_ttl = private.get("cache_creation") or {}
    searched = private.get("server_tool_use") or {}
    return {
        **{name: int(said.get(name) or 0) for name in TOKENS},
        HOUR: int(by_ttl.get(HOUR) or 0),
        SEARCHES: int(searched.get(SEARCHES) or 0),
    }


def _cost(model: str, used: Mapping[str, int]) -> int | None:
    tokens = Tokens(
        input=used["input_tokens"],
        output=used["output_tokens"],
        cache_read=used["cache_read_input_tokens"],
        cache_write_5m=used["cache_creation_input_tokens"] - used[HOUR],
        cache_write_1h=used[HOUR],
    )
    price = ModelPrice.of(model, tokens.prompt)
    if price is None:
        return None
    searches = used[SEARCHES]
    thousand = UnitPrice.picodollars(Unit.WEB_SEARCHES) if searches else 0
    return price.cost(tokens) + searches * thousand // 1000


def _sum(
    before: Mapping[str, Any] | None, used: Iterable[Mapping[str, int | None]]
) -> dict[str, Any]:
    summed = dict(before or {})
    if not any(summed.get(name) for name in (*TOKENS, SEARCHES)):
        summed[COST] = 0  # nothing was used yet, whatever prices there were then
    for each in used:
        for name, amount in each.items():
            summed[name] = _added(summed.get(name, None if name == COST else 0), amount)
    return summed


def _added(before: int | None, more: int | None) -> int | None:
    return None if before is None or more is None else before + more
