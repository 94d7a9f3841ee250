"""What a program would write to do what the page shows."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest

from agents.models.model_alias import SCRIPTED

CLIENT = """import anthropic

client = anthropic.Anthropic(base_url="{address}", api_key="{key}")
"""

RUN = """
session = client.beta.sessions.create(
    agent="{agent}",
    environment_id=client.beta.environments.list().data[0].id,
    initial_events=[
        {{"type": "user.message", "content": [{{"type": "text", "text": "Look around."}}]}}
    ],
)
print(session.id)
"""

WHOLE = """
agent = client.beta.agents.create(
    name="Helper",
    model="{model}",
    tools=[{{"type": "agent_toolset_20260401"}}],
)
environment = client.beta.environments.list().data[0]
session = client.beta.sessions.create(agent=agent.id, environment_id=environment.id)
client.beta.sessions.events.send(
    session.id,
    events=[
        {{"type": "user.message", "content": [{{"type": "text", "text": "Look around."}}]}}
    ],
)
"""

KEY = "sk-agentsite-…"


def run_agent(request: HttpRequest, agent_id: str) -> str:
    return _client(request, KEY) + RUN.format(agent=agent_id)


def whole_run(request: HttpRequest) -> str:
    has_key = settings.AGENTSITE.has_key
    return _client(request, KEY) + WHOLE.format(model="sonnet" if has_key else SCRIPTED)


def first_call(request: HttpRequest, key: str) -> str:
    return _client(request, key) + "print(client.beta.agents.list().data)\n"


def _client(request: HttpRequest, key: str) -> str:
    address = request.build_absolute_uri("/").rstrip("/")
    return CLIENT.format(address=address, key=key)
