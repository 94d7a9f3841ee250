"""/v1/agents and their versions."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from agents import actions, serialise
from agents.http.endpoint import Call, endpoint
from agents.http.pages import paginate
from agents.http.query import CreatedQuery, PageQuery, QueryParams
from agents.lookup import find, find_agent, latest_versions
from agents.models import Act, Agent, AgentVersion
from agents.params import AgentCreate, AgentUpdate


class AgentQuery(QueryParams):
    version: int | None = Field(None, ge=1)


class AgentsQuery(CreatedQuery):
    include_archived: bool = False


@endpoint(Act.BUILD, body=AgentCreate)
def create(call: Call[AgentCreate]) -> dict[str, Any]:
    return serialise.agent(actions.create_agent(call.actor, call.body))


@endpoint(Act.LOOK, query=AgentQuery)
def retrieve(call: Call[Any], agent_id: str) -> dict[str, Any]:
    return serialise.agent(find_agent(call.actor, agent_id, call.query.version))


@endpoint(Act.BUILD, body=AgentUpdate)
def update(call: Call[AgentUpdate], agent_id: str) -> dict[str, Any]:
    return serialise.agent(actions.update_agent(call.actor, agent_id, call.body))


@endpoint(Act.BUILD)
def archive(call: Call[Any], agent_id: str) -> dict[str, Any]:
    return serialise.agent(actions.archive_agent(call.actor, agent_id))


@endpoint(Act.LOOK, query=AgentsQuery)
def index(call: Call[Any]) -> dict[str, Any]:
    query: AgentsQuery = call.query
    # Listed by the latest version of each, in the order in which agents were made.
    rows = Agent.objects.filter(workspace=call.actor.workspace)
    if not query.include_archived:
        rows = rows.filter(archived_at=None)
    for lookup, moment in query.moments().items():
        rows = rows.filter(**{f"created_at__{lookup}": moment})
    page = paginate(rows, query)
    latest = latest_versions(page.rows)
    return page.answer(lambda row: serialise.agent(latest[row.pk]))


@endpoint(Act.LOOK, query=PageQuery)
def versions(call: Call[Any], agent_id: str) -> dict[str, Any]:
    agent = find(Agent, call.actor, agent_id)
    rows = AgentVersion.objects.filter(agent=agent).select_related("agent")
    return paginate(rows, call.query, of=agent_id).answer(serialise.agent)
