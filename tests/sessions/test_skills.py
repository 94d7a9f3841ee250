"""An agent's skills in its sessions: mounted whole, announced in a line each."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async

from agents import definitions, skills
from agents.bundles import Part, read_bundle
from agents.models import Agent, AgentVersion
from agents.params import AgentCreate
from sandbox.spec import FileMount
from sessions import opened
from tests.sessions.hosting import bash, begin, events, hosting, is_idle, scripted

pytestmark = pytest.mark.django_db(transaction=True)
HEAD = b"---\nname: month-end\ndescription: Closes a month.\n---\nRun run.sh.\n"


@pytest.fixture
def skill(actor):
    files = {"SKILL.md": HEAD, "scripts/run.sh": b"#!/bin/sh\necho closed\n"}
    parts = [Part(name=f"month-end/{path}", data=data) for path, data in files.items()]
    return skills.create_skill(actor, read_bundle(parts))


@pytest.fixture
def agent(actor, workspace, skill):
    params = AgentCreate.model_validate(
        {
            "name": "Clerk",
            "model": "scripted-demo",
            "tools": [{"type": "agent_toolset_20260401"}],
            "skills": [{"type": "custom", "skill_id": skill.pk}],
        }
    )
    config = definitions.resolve_agent(params, lambda refs: skills.resolve(actor, refs))
    agent = Agent.objects.create(workspace=workspace, name=params.name)
    AgentVersion.objects.create(agent=agent, version=1, config=config)
    return agent


async def test_the_model_hears_of_a_skill_and_finds_its_files(
    actor, agent, environment, hands, model
):
    cat = bash("cat /workspace/skills/month-end/SKILL.md")
    session = await begin(
        actor, agent, environment, scripted({"tools": [cat]}, {"say": "Done."})
    )
    async with hosting(hands):
        await is_idle(session)
    (result,) = await events(session, "agent.tool_result")
    assert "Run run.sh." in result.payload["content"][0]["text"]
    prompt = str(model.requests[0]["system"])
    line = "- month-end (/workspace/skills/month-end/SKILL.md): Closes a month."
    assert line in prompt
    assert "Run run.sh." not in prompt


async def test_a_session_keeps_the_version_it_began_with(
    actor, agent, environment, skill
):
    session = await begin(actor, agent, environment)
    parts = [Part(name="month-end/SKILL.md", data=HEAD)]
    bundle = read_bundle(parts)
    await sync_to_async(skills.add_version)(actor, skill.pk, bundle)
    loaded = await sync_to_async(opened.load)(session.pk)
    paths = [mount.path for mount in loaded.mounts]
    assert "/workspace/skills/month-end/scripts/run.sh" in paths
    run = next(mount for mount in loaded.mounts if mount.path.endswith("run.sh"))
    assert run == FileMount(path=run.path, source=run.source, executable=True)
