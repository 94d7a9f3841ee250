"""/v1/environments."""

from __future__ import annotations

from typing import Any

from agents import actions, serialise
from agents.environment_params import EnvironmentCreate, EnvironmentUpdate
from agents.http.endpoint import Call, endpoint
from agents.http.pages import paginate
from agents.http.query import PageQuery
from agents.lookup import find_environment, rows
from agents.models import Act, Environment


class EnvironmentsQuery(PageQuery):
    include_archived: bool = False


@endpoint(Act.BUILD, body=EnvironmentCreate)
def create(call: Call[EnvironmentCreate]) -> dict[str, Any]:
    return serialise.environment(actions.create_environment(call.actor, call.body))


@endpoint(Act.LOOK)
def retrieve(call: Call[Any], environment_id: str) -> dict[str, Any]:
    return serialise.environment(find_environment(call.actor, environment_id))


@endpoint(Act.BUILD, body=EnvironmentUpdate)
def update(call: Call[EnvironmentUpdate], environment_id: str) -> dict[str, Any]:
    return serialise.environment(
        actions.update_environment(call.actor, environment_id, call.body)
    )


@endpoint(Act.BUILD)
def archive(call: Call[Any], environment_id: str) -> dict[str, Any]:
    return serialise.environment(
        actions.archive_environment(call.actor, environment_id)
    )


@endpoint(Act.BUILD)
def delete(call: Call[Any], environment_id: str) -> dict[str, Any]:
    actions.delete_environment(call.actor, environment_id)
    return {"type": "environment_deleted", "id": environment_id}


@endpoint(Act.LOOK, query=EnvironmentsQuery)
def index(call: Call[Any]) -> dict[str, Any]:
    found = rows(Environment, call.actor)
    if not call.query.include_archived:
        found = found.filter(archived_at=None)
    return paginate(found, call.query).answer(serialise.environment)
