"""The official SDK as the client of a real site."""

from __future__ import annotations

import anthropic
import httpx2
import pytest

from tests.acceptance.site import running_site


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    with running_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture(scope="session")
def client(site):
    with anthropic.Anthropic(
        base_url=site.url, api_key=site.alice, max_retries=0
    ) as client:
        yield client


@pytest.fixture(scope="session")
def stranger(site):
    """Charlie, whose key belongs to another workspace."""
    with anthropic.Anthropic(
        base_url=site.url, api_key=site.charlie, max_retries=0
    ) as client:
        yield client


@pytest.fixture(scope="session")
def http(site):
    """Bare HTTP with the headers of the older generation."""
    headers = {"x-api-key": site.alice, "anthropic-version": "2023-06-01"}
    with httpx2.Client(base_url=site.url, headers=headers, timeout=60) as http:
        yield http


@pytest.fixture
def agent(client):
    return client.beta.agents.create(
        name="Bookkeeper", model="opus", tools=[{"type": "agent_toolset_20260401"}]
    )


@pytest.fixture(scope="session")
def environment(client):
    return client.beta.environments.create(name="acceptance")


@pytest.fixture
def session(client, agent, environment):
    return client.beta.sessions.create(agent=agent.id, environment_id=environment.id)
