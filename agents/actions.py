"""What a person or a program may do with agents and environments: the verbs.

Pages and the API call the same ones. Each checks the actor's rights and the rules.
"""

from __future__ import annotations

from functools import partial

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from agents import definitions, images, networking, skills
from agents.actors import Actor
from agents.environment_config import changed_environment, resolve_environment
from agents.environment_params import EnvironmentCreate, EnvironmentUpdate
from agents.errors import Conflict, InvalidRequest
from agents.lookup import find, find_agent
from agents.models import Act, Agent, AgentVersion, Environment
from agents.params import AgentCreate, AgentUpdate


@transaction.atomic
def create_agent(actor: Actor, params: AgentCreate) -> AgentVersion:
    actor.require(Act.BUILD)
    agent = Agent.objects.create(workspace=actor.workspace, name=params.name)
    return _save_version(
        actor, agent, definitions.resolve_agent(params, partial(skills.resolve, actor))
    )


@transaction.atomic
def update_agent(actor: Actor, agent_id: str, params: AgentUpdate) -> AgentVersion:
    """Save a new version, unless nothing would change.

    Raises:
        Conflict: `params.version` was given and is not the latest.
    """
    actor.require(Act.BUILD)
    agent = _locked_agent(actor, agent_id)
    if params.version not in {None, agent.version}:
        raise Conflict(
            f"agent {agent.id} is at version {agent.version}, not {params.version}:"
            " read it again and repeat the change"
        )
    latest = agent.latest
    config = definitions.changed_agent(
        latest.config, params, partial(skills.resolve, actor)
    )
    if config == latest.config:
        return latest
    agent.name, agent.version = config["name"], agent.version + 1
    agent.save(update_fields=["name", "version", "updated_at"])
    return _save_version(actor, agent, config)


@transaction.atomic
def archive_agent(actor: Actor, agent_id: str) -> AgentVersion:
    """Make an agent read-only for good. Running sessions go on; again is harmless."""
    actor.require(Act.BUILD)
    agent = find(Agent, actor, agent_id)
    if agent.archived_at is None:
        agent.archived_at = timezone.now()
        agent.save(update_fields=["archived_at", "updated_at"])
    return find_agent(actor, agent_id)


def _locked_agent(actor: Actor, agent_id: str) -> Agent:
    find(Agent, actor, agent_id)
    agent = Agent.objects.select_for_update().get(pk=agent_id)
    if agent.archived_at is not None:
        raise InvalidRequest(f"agent {agent.id} is archived and cannot be changed")
    return agent


def _save_version(
    actor: Actor, agent: Agent, config: definitions.Config
) -> AgentVersion:
    return AgentVersion.objects.create(
        agent=agent, version=agent.version, config=config, created_by_id=actor.user_id
    )


def create_environment(actor: Actor, params: EnvironmentCreate) -> Environment:
    actor.require(Act.BUILD)
    environment = Environment(
        workspace=actor.workspace,
        name=params.name,
        description=params.description,
        config=resolve_environment(params.config),
        metadata=params.metadata,
    )
    return _saved(environment)


@transaction.atomic
def update_environment(
    actor: Actor, environment_id: str, params: EnvironmentUpdate
) -> Environment:
    """Change an environment; only new sandboxes are touched by it."""
    actor.require(Act.BUILD)
    find(Environment, actor, environment_id)
    environment = Environment.objects.select_for_update().get(pk=environment_id)
    refuse_archived(environment)
    if params.name is not None:
        environment.name = params.name
    if "description" in params.model_fields_set:
        environment.description = params.description
    if params.metadata:
        environment.metadata = definitions.merged_metadata(
            environment.metadata, params.metadata, empty_deletes=True
        )
    environment.config = changed_environment(environment.config, params.config)
    return _saved(environment)


@transaction.atomic
def add_allowed_host(actor: Actor, environment_id: str, host: str) -> None:
    """Let the new sessions of a limited environment reach one more host."""
    actor.require(Act.BUILD)
    find(Environment, actor, environment_id)
    environment = Environment.objects.select_for_update().get(pk=environment_id)
    refuse_archived(environment)
    network = networking.with_host(environment.config["networking"], host)
    environment.config = {**environment.config, "networking": network}
    environment.save(update_fields=["config", "updated_at"])


def archive_environment(actor: Actor, environment_id: str) -> Environment:
    """Make an environment read-only for good. Sessions in it go on."""
    actor.require(Act.BUILD)
    environment = find(Environment, actor, environment_id)
    if environment.archived_at is None:
        environment.archived_at = timezone.now()
        environment.save(update_fields=["archived_at", "updated_at"])
    return environment


def delete_environment(actor: Actor, environment_id: str) -> None:
    """Remove an environment that no session refers to.

    Raises:
        Conflict: a session does.
    """
    actor.require(Act.BUILD)
    environment = find(Environment, actor, environment_id)
    try:
        environment.delete()
    except ProtectedError:
        raise Conflict(
            f"environment {environment_id} is used by sessions: delete those first,"
            " or archive it"
        ) from None


def refuse_archived(environment: Environment) -> None:
    if environment.archived_at is not None:
        raise InvalidRequest(
            f"environment {environment.id} is archived",
            details={"error_code": "environment_archived"},
        )


def _saved(environment: Environment) -> Environment:
    try:
        with transaction.atomic():
            images.attach(environment)
            environment.save()
    except IntegrityError:
        raise Conflict(
            f"an environment named {environment.name!r} exists in this workspace"
        ) from None
    return environment
