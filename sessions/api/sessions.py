"""/v1/sessions."""

from __future__ import annotations

from typing import Any, Literal

from django.db.models import QuerySet
from pydantic import Field

from agents.errors import NotSupportedYet
from agents.http.endpoint import Call, endpoint
from agents.http.pages import paginate
from agents.http.query import CreatedQuery, Order
from agents.lookup import find_agent, find_environment, rows
from agents.models import Act
from sessions import actions
from sessions.api import serialise
from sessions.api.drafts import drafts
from sessions.api.params import AgentWithOverrides, SessionCreate, SessionUpdate
from sessions.lookup import find_session
from sessions.models import Session


class SessionsQuery(CreatedQuery):
    limit: int = Field(20, ge=1, le=1000)
    order: Order = "desc"
    agent_id: str | None = None
    agent_version: int | None = Field(None, ge=1)
    deployment_id: str | None = None
    memory_store_id: str | None = None
    include_archived: bool = False
    statuses: list[Literal["idle", "running", "rescheduling", "terminated"]] | None = (
        None
    )


@endpoint(Act.RUN, body=SessionCreate)
def create(call: Call[SessionCreate]) -> dict[str, Any]:
    said, actor = call.body, call.actor
    chosen = said.agent
    session = actions.create_session(
        actor,
        agent=find_agent(actor, chosen.id, chosen.version),
        overrides=chosen.overrides() if isinstance(chosen, AgentWithOverrides) else {},
        environment=find_environment(actor, said.environment_id),
        title=said.title,
        metadata=said.metadata,
        resources=[each.given() for each in said.resources or ()],
        initial_events=drafts(actor, said.initial_events or ()),
        budget=said.budget.cents if said.budget else None,
        max_model_requests=said.max_model_requests,
    )
    return serialise.session(session)


@endpoint(Act.LOOK)
def retrieve(call: Call[Any], session_id: str) -> dict[str, Any]:
    return serialise.session(find_session(call.actor, session_id))


@endpoint(Act.RUN, body=SessionUpdate)
def update(call: Call[SessionUpdate], session_id: str) -> dict[str, Any]:
    session = find_session(call.actor, session_id)
    changes = {
        field: value
        for field, value in call.body.given().items()
        # Null clears a title; for the others it says nothing.
        if field == "title" or (field in {"metadata", "agent"} and value)
    }
    if "budget" in call.body.model_fields_set:
        changes["budget"] = call.body.budget.cents if call.body.budget else None
    return serialise.session(actions.update_session(call.actor, session, changes))


@endpoint(Act.RUN)
def archive(call: Call[Any], session_id: str) -> dict[str, Any]:
    session = find_session(call.actor, session_id)
    return serialise.session(actions.archive_session(call.actor, session))


@endpoint(Act.RUN)
def delete(call: Call[Any], session_id: str) -> dict[str, Any]:
    actions.delete_session(call.actor, find_session(call.actor, session_id))
    return {"type": "session_deleted", "id": session_id}


@endpoint(Act.LOOK, query=SessionsQuery)
def index(call: Call[Any]) -> dict[str, Any]:
    query: SessionsQuery = call.query
    found = _filtered(rows(Session, call.actor), query)
    page = paginate(found.prefetch_related("resources"), query, order=query.order)
    return {
        "data": serialise.sessions(page.rows),
        "next_page": page.next_page,
        "prev_page": page.prev_page,
    }


def _filtered(found: QuerySet[Session], query: SessionsQuery) -> QuerySet[Session]:
    for field in ("deployment_id", "memory_store_id"):
        if getattr(query, field) is not None:
            raise NotSupportedYet(f"{field}: filtering by it")
    if not query.include_archived:
        found = found.filter(archived_at=None)
    if query.agent_id is not None:
        found = found.filter(agent_id=query.agent_id)
        if query.agent_version is not None:
            found = found.filter(agent_version=query.agent_version)
    if query.statuses:
        found = found.filter(status__in=query.statuses)
    for lookup, moment in query.moments().items():
        found = found.filter(**{f"created_at__{lookup}": moment})
    return found
