"""/v1/sessions/{id}/resources: what is mounted."""

from __future__ import annotations

from typing import Any, NoReturn

from pydantic import Field

from agents.errors import NotSupportedYet
from agents.http.endpoint import Call, endpoint
from agents.http.pages import paginate
from agents.http.query import PageQuery
from agents.models import Act
from sessions import actions
from sessions.api import serialise
from sessions.api.params import ResourceAdd
from sessions.lookup import find_session
from sessions.repositories import repositories_of
from sessions.resources import find_resource


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
    return serialise.resource(find_resource(session, resource_id))


@endpoint(Act.RUN, body=ResourceAdd)
def add(call: Call[ResourceAdd], session_id: str) -> dict[str, Any]:
    session, said = find_session(call.actor, session_id), call.body
    added = actions.add_file(call.actor, session, said.file_id, said.mount_path)
    return serialise.resource(added)


@endpoint(Act.RUN)
def delete(call: Call[Any], session_id: str, resource_id: str) -> dict[str, Any]:
    session = find_session(call.actor, session_id)
    actions.remove_file(call.actor, session, resource_id)
    return {"type": "session_resource_deleted", "id": resource_id}


@endpoint(Act.RUN, body=None)
def update(call: Call[Any], session_id: str, resource_id: str) -> NoReturn:
    find_resource(find_session(call.actor, session_id), resource_id)
    raise NotSupportedYet("changing the token of a repository")


@endpoint(Act.LOOK)
def repositories(call: Call[Any], session_id: str) -> dict[str, Any]:
    """Every repository of a session with what became of its clone."""
    session = find_session(call.actor, session_id)
    return {"data": [serialise.repository(row) for row in repositories_of(session.pk)]}
