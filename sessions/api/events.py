"""/v1/sessions/{id}/events: sending, and the list. The stream is a consumer."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from agents.http.endpoint import Call, endpoint
from agents.http.query import CreatedQuery, Order
from agents.models import Act
from sessions import actions, log
from sessions.api.drafts import drafts
from sessions.api.event_pages import event_page
from sessions.api.params import EventsSend
from sessions.lookup import find_session


class EventsQuery(CreatedQuery):
    limit: int = Field(1000, ge=1, le=1000)
    order: Order = "asc"
    types: list[str] | None = Field(None, max_length=100)
    include: list[str] | None = None

    @property
    def include_own(self) -> bool:
        return "agentsite" in (self.include or ())


@endpoint(Act.RUN, body=EventsSend)
def send(call: Call[EventsSend], session_id: str) -> dict[str, Any]:
    session = find_session(call.actor, session_id)
    queued = drafts(call.actor, call.body.events)
    written = actions.send_events(call.actor, session, queued)
    return {"data": [record.wire() for record in written]}


@endpoint(Act.LOOK, query=EventsQuery)
def index(call: Call[Any], session_id: str) -> dict[str, Any]:
    query: EventsQuery = call.query
    session = find_session(call.actor, session_id)
    rows = log.listed(
        session.pk,
        types=query.types or (),
        processed=query.moments(),
        include_own=query.include_own,
    )
    return event_page(rows, query, query.order, session.pk)
