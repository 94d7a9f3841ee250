"""/v1/sessions/{id}/egress: what left the sandbox, or tried to. An extension of ours."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from agents.http.endpoint import Call, endpoint
from agents.http.pages import paginate
from agents.http.query import CreatedQuery, Order
from agents.http.validation import Params
from agents.models import Act
from sessions import actions
from sessions.api import serialise
from sessions.lookup import find_session


class EgressQuery(CreatedQuery):
    limit: int = Field(100, ge=1, le=1000)
    order: Order = "desc"
    verdict: Literal["allowed", "refused", "failed"] | None = None
    host: str | None = None


class AllowHost(Params):
    host: str
    scope: Literal["session", "environment"] = "session"


@endpoint(Act.RUN, body=AllowHost)
def allow(call: Call[AllowHost], session_id: str) -> dict[str, Any]:
    """Let the sandbox reach a host: at once, or in the environment's new sessions."""
    session = find_session(call.actor, session_id)
    if call.body.scope == "session":
        actions.allow_host(call.actor, session, call.body.host)
    else:
        actions.allow_host_in_environment(call.actor, session, call.body.host)
    return {"type": "allowed_host", "host": call.body.host, "scope": call.body.scope}


@endpoint(Act.LOOK, query=EgressQuery)
def index(call: Call[Any], session_id: str) -> dict[str, Any]:
    query: EgressQuery = call.query
    session = find_session(call.actor, session_id)
    rows = session.egress_records.all()
    for lookup, moment in query.moments().items():
        rows = rows.filter(**{f"created_at__{lookup}": moment})
    if query.verdict:
        rows = rows.filter(verdict=query.verdict)
    if query.host:
        rows = rows.filter(host=query.host)
    page = paginate(rows, query, order=query.order, of=session.pk)
    return page.answer(serialise.egress_record)
