"""Browsers of the cast, and an agent to look at."""

from __future__ import annotations

import pytest

from agents import actions
from agents.actors import Actor
from agents.models import Environment, ModelAlias
from agents.params import AgentCreate


@pytest.fixture
def owner(alice):
    return Actor.of_member(alice.memberships.get())


@pytest.fixture
def aliases(db):
    ModelAlias.objects.create(alias="opus", model="claude-opus-5-5")


@pytest.fixture
def agent(owner, aliases):
    said = {
        "name": "Bookkeeper",
        "model": "opus",
        "system": "Close the books.",
        "tools": [{"type": "agent_toolset_20260401"}],
        "metadata": {"team": "finance"},
    }
    return actions.create_agent(owner, AgentCreate.model_validate(said)).agent


@pytest.fixture
def environment(workspace):
    return Environment.objects.create(
        workspace=workspace,
        name="default",
        config={"type": "cloud", "networking": {"type": "unrestricted"}},
    )


@pytest.fixture
def definition():
    """What the editor sends for a plain agent."""
    return {
        "name": "Auditor",
        "description": "Looks for faults.",
        "model": "opus",
        "effort": "medium",
        "system": "Look.\r\nThen say.",
        "tools": ["bash", "read"],
        "metadata": "team: audit",
    }
