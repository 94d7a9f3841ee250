"""Pages of the event log: taken-in events by position, then the queued ones.

A queued event gets its position later, above all others. So a cursor holds both places:
where the taken-in events were left, and where the queued ones were. Going on from it
may show an event again, as taken in; it never leaves one out.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, islice
from typing import Any

from django.db.models import QuerySet

from agents.errors import InvalidRequest
from agents.http.pages import read_cursor, tie_of, write_cursor
from agents.http.query import Order, PageQuery
from sessions import log
from sessions.models import Event

Place = dict[str, int | None]


def event_page(
    rows: QuerySet[Event],
    query: PageQuery,
    order: Order,
    of: str,
    *,
    own_thread: bool = False,
) -> dict[str, Any]:
    """Return a page of the events of a session or a thread."""
    tie = tie_of(f"Event {of}", order, query.filters())
    place = _place(read_cursor(query.page, tie)) if query.page else {}
    walk = _forward if order == "asc" else _backward
    found = walk(rows, place, query.limit + 1)
    shown = found[: query.limit]
    more = len(found) > query.limit
    return {
        "data": [log.record_of(row).wire(own_thread=own_thread) for row in shown],
        "next_page": write_cursor(_left_at(shown, place), tie) if more else None,
    }


def _forward(rows: QuerySet[Event], place: Place, limit: int) -> list[Event]:
    taken = rows.filter(position__gt=place.get("position") or 0).order_by("position")
    queued = rows.filter(position=None, seq__gt=place.get("seq") or 0).order_by("seq")
    return list(islice(chain(taken[:limit], queued[:limit]), limit))


def _backward(rows: QuerySet[Event], place: Place, limit: int) -> list[Event]:
    queued = rows.filter(position=None).order_by("-seq")
    taken = rows.filter(position__isnull=False).order_by("-position")
    if (seq := place.get("seq")) is not None:
        queued = queued.filter(seq__lt=seq)
    if (position := place.get("position")) is not None:
        taken = taken.filter(position__lt=position)
        queued = queued.none()
    return list(islice(chain(queued[:limit], taken[:limit]), limit))


def _left_at(shown: list[Event], place: Place) -> Place:
    left = dict(place)
    for row in shown:
        if row.position is None:
            left["seq"] = row.seq
        else:
            left["position"] = row.position
    return left


def _place(cursor: Mapping[str, Any]) -> Place:
    place = {name: cursor.get(name) for name in ("position", "seq")}
    if any(value is not None and type(value) is not int for value in place.values()):
        raise InvalidRequest("page: this is not a cursor of this API")
    return place
