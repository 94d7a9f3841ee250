"""Finding a row of the actor's workspace; another workspace's is unknown here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from django.db.models import F, QuerySet

from agents.actors import Actor
from agents.errors import NotFound
from agents.models import Agent, AgentVersion, Environment
from agents.models.base import WorkspaceRow

Row = TypeVar("Row", bound=WorkspaceRow)


def rows(model: type[Row], actor: Actor) -> QuerySet[Row]:
    """Everything of this kind in the actor's workspace."""
    found: QuerySet[Row] = model._default_manager.filter(workspace=actor.workspace)
    return found


def find(model: type[Row], actor: Actor, id: str) -> Row:
    """Return one row.

    Raises:
        NotFound: no such row, or not in this workspace.
    """
    kind = str(model._meta.verbose_name)
    found = rows(model, actor).filter(pk=id).first()
    if found is None:
        raise _unknown(kind, id)
    return found


def find_agent(actor: Actor, id: str, version: int | None = None) -> AgentVersion:
    """Return a version of an agent, the latest unless one is named."""
    agent = find(Agent, actor, id)
    wanted = agent.version if version is None else version
    found = agent.versions.select_related("agent").filter(version=wanted).first()
    if found is None:
        raise NotFound(
            f"agent {id} has no version {wanted}; the latest is {agent.version}"
        )
    return found


def latest_versions(agents: Sequence[Agent]) -> dict[str, AgentVersion]:
    """The latest version of each of these agents, by the agent's id."""
    found = AgentVersion.objects.filter(
        agent__in=agents, version=F("agent__version")
    ).select_related("agent")
    return {version.agent_id: version for version in found}


def find_environment(actor: Actor, id: str) -> Environment:
    return find(Environment, actor, id)


def _unknown(kind: str, id: str) -> NotFound:
    error = NotFound.of(kind, id)
    if kind == "environment":
        error.details = {"error_code": "environment_not_found"}
    return error
