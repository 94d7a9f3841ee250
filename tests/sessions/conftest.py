"""A session to write into, and what a turn needs."""

from __future__ import annotations

import pytest

from agents import definitions
from agents.models import Agent, AgentVersion, Environment
from agents.params import AgentCreate
from sessions.harness.scripted_model import ScriptedModelServer
from tests.sessions.hosting import FakeHands

AGENT = {
    "type": "agent",
    "name": "Bookkeeper",
    "description": "",
    "model": {"id": "scripted-demo", "effort": {"type": "medium"}},
    "system": "",
    "tools": [],
    "mcp_servers": [],
    "skills": [],
    "multiagent": None,
    "metadata": {},
    "execution_identity": {"type": "service_account"},
}
ENVIRONMENT = {
    "type": "cloud",
    "networking": {"type": "unrestricted"},
    "packages": {
        "type": "packages",
        **{name: [] for name in ("apt", "cargo", "gem", "go", "npm", "pip")},
    },
}


@pytest.fixture
def agent(workspace):
    agent = Agent.objects.create(workspace=workspace, name=AGENT["name"])
    AgentVersion.objects.create(agent=agent, version=1, config=AGENT)
    return agent


@pytest.fixture
def environment(workspace):
    return Environment.objects.create(
        workspace=workspace, name="default", config=ENVIRONMENT
    )


@pytest.fixture
def actor(workspace):
    from agents.actors import Actor

    return Actor(workspace=workspace, name="Alice", role="owner")


@pytest.fixture
def session(actor, agent, environment):
    from sessions import actions

    return actions.create_session(actor, agent=agent.latest, environment=environment)


@pytest.fixture
def working_agent(workspace):
    """An agent with tools, that follows the script in its messages."""
    params = AgentCreate(
        name="Worker",
        model="scripted-demo",
        tools=[{"type": "agent_toolset_20260401"}],
    )
    agent = Agent.objects.create(workspace=workspace, name=params.name)
    AgentVersion.objects.create(
        agent=agent, version=1, config=definitions.resolve_agent(params)
    )
    return agent


@pytest.fixture
async def model():
    async with ScriptedModelServer(keep=50) as server:
        yield server


@pytest.fixture
async def hands(model):
    return FakeHands(model.url)
