"""/v1/sessions/{id}/resources: what is mounted."""

from __future__ import annotations

from typing import Any, NoReturn

from pydantic import Field

from agents.errors import NotFound, NotSupportedYet
from agents.http.endpoint import Call, endpoint
from agents.http.pages import paginate
from agents.http.query import PageQuery
from agents.models import Act
from sessions.api import serialise
from sessions.lookup import find_session


class ResourcesQuery(PageQuery):
    # Without a limit all of them are answered.
    limit: int = Field(1000, ge=1, le=1000)


@endpoint(Act.LOOK, query=ResourcesQuery)
def index(call: Call[Any], session_id: str) -> dict[str, Any]:
    session = find_session(call.actor, session_id)
    page = paginate(session.resources.all(), call.query, order="asc", of=session_id)
    return page.answer(serialise.resource)


@endpoint(Act.LOOK)
def retrieve(call: Call[Any], session_id: str, resource_id: str) -> dict[str, Any]:
    session = find_session(call.actor, session_id)
    found = session.resources.filter(pk=resource_id).first()
    if found is None:
        raise NotFound(f"session {session_id} has no resource {resource_id}")
    return serialise.resource(found)


@endpoint(Act.RUN, body=None)
def change(call: Call[Any], session_id: str, **path: str) -> NoReturn:
    find_session(call.actor, session_id)
    raise NotSupportedYet("changing the resources of a session after it was created")
