"""The official SDK as the client of a whole site."""

from __future__ import annotations

import json
import uuid

import anthropic
import pytest


@pytest.fixture(scope="session")
def client(site):
    with anthropic.Anthropic(base_url=site.url, api_key=site.api_key) as client:
        yield client


@pytest.fixture(scope="session")
def agent(client):
    return client.beta.agents.create(
        name="Worker",
        model="scripted-demo",
        tools=[{"type": "agent_toolset_20260401"}],
    )


@pytest.fixture(scope="session")
def environment(client):
    return client.beta.environments.create(name=f"tests {uuid.uuid4().hex[:8]}")


@pytest.fixture
def new_session_in(client, agent):
    """Starts sessions in an environment of one's own."""

    def start(environment, *steps):
        return client.beta.sessions.create(
            agent=agent.id,
            environment_id=environment.id,
            initial_events=[script(*steps)],
        )

    return start


@pytest.fixture
def new_session(client, agent, environment):
    """Starts sessions; with steps, one that follows them at once."""

    def start(*steps, agent=agent.id):
        events = [script(*steps)] if steps else anthropic.omit
        return client.beta.sessions.create(
            agent=agent, environment_id=environment.id, initial_events=events
        )

    return start


def message(text):
    return {"type": "user.message", "content": [{"type": "text", "text": text}]}


def script(*steps):
    return message(f"Go.\n```script\n{json.dumps(steps)}\n```")


def bash(command, **options):
    return {"name": "bash", "input": {"command": command, **options}}


def follow(client, session_id, after=0):
    """Every event from a number on, until the session is idle."""
    seen = []
    with client.beta.sessions.events.stream(
        session_id, extra_headers={"Last-Event-ID": str(after)}, timeout=300
    ) as stream:
        for event in stream:
            seen.append(event)
            if event.type == "session.status_idle":
                return seen
    raise AssertionError("the stream ended before the session was idle")


def results(events):
    """The text of each tool result, in order."""
    return [
        "".join(block.text for block in event.content if block.type == "text")
        for event in events
        if event.type == "agent.tool_result"
    ]
