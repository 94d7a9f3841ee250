"""Pages of a list: stable while rows are added, by a cursor of key values."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from django.db.models import Model, Q, QuerySet

from agents.errors import InvalidRequest
from agents.http.query import Order, PageQuery

Row = TypeVar("Row", bound=Model)
Direction = Literal["next", "prev"]
MARK = "page_"


@dataclass(frozen=True, kw_only=True)
class Page(Generic[Row]):
    rows: list[Row]
    next_page: str | None
    prev_page: str | None

    def answer(self, serialise: Callable[[Row], Any]) -> dict[str, Any]:
        data = [serialise(row) for row in self.rows]
        return {"data": data, "next_page": self.next_page}


def paginate(
    rows: QuerySet[Row], query: PageQuery, *, order: Order = "desc", of: str = ""
) -> Page[Row]:
    """Cut one page out of rows with `created_at` and a sortable id.

    `of` names the row whose children these are, as cursors are tied to it.

    Raises:
        InvalidRequest: the cursor is not one of this list, order and filters.
    """
    tie = tie_of(f"{rows.model.__name__} {of}", order, query.filters())
    cursor = read_cursor(query.page, tie) if query.page else None
    back = cursor is not None and cursor["to"] == "prev"
    forward = (order == "asc") != back
    if cursor is not None:
        rows = rows.filter(_beyond(cursor, forward))
    sign = "" if forward else "-"
    found = list(rows.order_by(f"{sign}created_at", f"{sign}pk")[: query.limit + 1])
    more = len(found) > query.limit
    shown = found[: query.limit]
    if back:
        shown.reverse()
    return Page(
        rows=shown,
        next_page=_cursor(shown, -1, "next", tie, there=back or more),
        prev_page=_cursor(shown, 0, "prev", tie, there=more if back else bool(cursor)),
    )


def tie_of(kind: str, order: str, filters: Mapping[str, Any]) -> str:
    """What a cursor belongs to, in few characters."""
    said = json.dumps([kind, order, filters], sort_keys=True, default=str)
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def write_cursor(values: Mapping[str, Any], tie: str) -> str:
    raw = json.dumps({**values, "tie": tie}, separators=(",", ":")).encode()
    return MARK + base64.urlsafe_b64encode(raw).decode().rstrip("=")


def read_cursor(page: str, tie: str) -> dict[str, Any]:
    values = _decoded(page)
    if values.get("tie") != tie:
        raise InvalidRequest(
            "page: this cursor belongs to another list, order or filter:"
            " begin again without it"
        )
    return values


def _decoded(page: str) -> dict[str, Any]:
    try:
        raw = page.removeprefix(MARK).encode()
        padded = raw + b"=" * (-len(raw) % 4)
        values = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error):
        values = None
    if not isinstance(values, dict) or not page.startswith(MARK):
        raise InvalidRequest("page: this is not a cursor of this API")
    return values


def _beyond(cursor: Mapping[str, Any], forward: bool) -> Q:
    try:
        moment, key = datetime.fromisoformat(cursor["at"]), cursor["id"]
    except (KeyError, TypeError, ValueError):
        raise InvalidRequest("page: this is not a cursor of this API") from None
    lookup = "gt" if forward else "lt"
    return Q(**{f"created_at__{lookup}": moment}) | Q(
        **{"created_at": moment, f"pk__{lookup}": key}
    )


def _cursor(
    rows: list[Any], index: int, to: Direction, tie: str, *, there: bool
) -> str | None:
    if not there or not rows:
        return None
    row = rows[index]
    return write_cursor({"to": to, "at": row.created_at.isoformat(), "id": row.pk}, tie)
