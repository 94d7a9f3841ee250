"""A scripted model on loopback and the real client in front of it."""

from __future__ import annotations

import json

import pytest

from sessions.harness.anthropic_model import AnthropicModel
from sessions.harness.fake import FakeTurn
from sessions.harness.scripted_model import ScriptedModelServer


@pytest.fixture
async def server():
    async with ScriptedModelServer(keep=1000) as server:
        yield server


@pytest.fixture
async def model(server):
    model = AnthropicModel(base_url=server.url, api_key="scripted")
    yield model
    await model.close()


@pytest.fixture
def script():
    """Return a user message that scripts the model."""

    def write(*steps) -> str:
        return f"Please do this.\n```script\n{json.dumps(steps)}\n```\n"

    return write


@pytest.fixture
def turn():
    return FakeTurn()
