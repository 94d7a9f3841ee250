"""The older shape of a list: pages before and after an id."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from django.db.models import Model, Q, QuerySet
from pydantic import Field

from agents.errors import InvalidRequest
from agents.http.query import QueryParams

Row = TypeVar("Row", bound=Model)


class OlderQuery(QueryParams):
    limit: int = Field(20, ge=1, le=1000)
    after_id: str | None = None
    before_id: str | None = None


def older_page(
    rows: QuerySet[Row], query: OlderQuery, serialise: Callable[[Row], dict[str, Any]]
) -> dict[str, Any]:
    """Cut a page of rows, newest first, around the id that was named."""
    back = query.before_id is not None
    mark = query.before_id or query.after_id
    if mark is not None:
        rows = rows.filter(_beyond(rows, mark, newer=back))
    sign = "" if back else "-"
    found = list(rows.order_by(f"{sign}created_at", f"{sign}pk")[: query.limit + 1])
    shown = found[: query.limit]
    if back:
        shown.reverse()
    return older_answer([serialise(row) for row in shown], len(found) > query.limit)


def older_slice(data: Sequence[dict[str, Any]], query: OlderQuery) -> dict[str, Any]:
    """The same for a short list in memory."""
    ids = [item["id"] for item in data]
    start, end = 0, len(data)
    if query.before_id is not None:
        end = _index(ids, query.before_id)
        start = max(0, end - query.limit)
        return older_answer(data[start:end], start > 0)
    if query.after_id is not None:
        start = _index(ids, query.after_id) + 1
    return older_answer(data[start : start + query.limit], end > start + query.limit)


def older_answer(data: Sequence[dict[str, Any]], has_more: bool) -> dict[str, Any]:
    return {
        "data": list(data),
        "has_more": has_more,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }


def _beyond(rows: QuerySet[Any], mark: str, *, newer: bool) -> Q:
    row = rows.filter(pk=mark).first()
    if row is None:
        raise _unknown(mark)
    lookup = "gt" if newer else "lt"
    return Q(**{f"created_at__{lookup}": row.created_at}) | Q(
        **{"created_at": row.created_at, f"pk__{lookup}": mark}
    )


def _index(ids: list[str], mark: str) -> int:
    if mark not in ids:
        raise _unknown(mark)
    return ids.index(mark)


def _unknown(mark: str) -> InvalidRequest:
    return InvalidRequest(f"{mark} is not in this list: begin again without it")
