"""Skills: versions, who uses them, and what agents and sessions make of them."""

from __future__ import annotations

import os

import pytest

from agents import actions as agent_actions
from agents import skills
from agents.actors import Actor
from agents.bundles import Part, read_bundle
from agents.environment_config import resolve_environment
from agents.errors import Conflict, Forbidden, InvalidRequest, NotFound
from agents.http.validation import validate
from agents.models import Environment, SkillVersion
from agents.params import AgentCreate, AgentUpdate
from sessions import actions

TOOLS = [{"type": "agent_toolset_20260401"}]


@pytest.fixture
def actor(workspace):
    return Actor(workspace=workspace, name="Alice", role="owner")


@pytest.fixture
def environment(workspace):
    return Environment.objects.create(
        workspace=workspace, name="e", config=resolve_environment()
    )


def bundle(name="month-end", said="Closes a month.", **files):
    manifest = f"---\nname: {name}\ndescription: {said}\n---\n".encode()
    parts = [Part(name=f"{name}/SKILL.md", data=manifest)]
    parts += [Part(name=f"{name}/{path}", data=data) for path, data in files.items()]
    return read_bundle(parts)


@pytest.fixture
def skill(actor):
    return skills.create_skill(actor, bundle(run=b"#!/bin/sh\n"))


def new_agent(actor, *refs, tools=TOOLS):
    said = {"name": "A", "model": "opus", "tools": tools, "skills": list(refs)}
    return agent_actions.create_agent(actor, validate(AgentCreate, said))


def ref(skill, **more):
    return {"type": "custom", "skill_id": skill.pk, **more}


def test_an_agent_pins_the_version_that_was_the_latest(actor, skill):
    first = skill.latest
    agent = new_agent(actor, ref(skill))
    skills.add_version(actor, skill.pk, bundle(said="Closes it better."))
    assert agent.config["skills"] == [ref(skill, version=first.pk)]
    assert skill.latest != first
    said = validate(AgentUpdate, {"skills": [ref(skill)]})
    again = agent_actions.update_agent(actor, agent.agent_id, said)
    assert again.config["skills"] == [ref(skill, version=skill.latest.pk)]


def test_a_skill_keeps_its_name(actor, skill):
    with pytest.raises(InvalidRequest, match="named month-end in all"):
        skills.add_version(actor, skill.pk, bundle(name="other"))
    assert skill.versions.count() == 1


def test_skills_need_the_tool_that_reads_them(actor, skill):
    off = [{"type": TOOLS[0]["type"], "configs": [{"name": "read", "enabled": False}]}]
    for tools in ([], off):
        with pytest.raises(InvalidRequest, match="needs the tool read"):
            new_agent(actor, ref(skill), tools=tools)
    agent = new_agent(actor, ref(skill))
    with pytest.raises(InvalidRequest, match="needs the tool read"):
        agent_actions.update_agent(
            actor, agent.agent_id, validate(AgentUpdate, {"tools": []})
        )


def test_two_skills_of_one_name_are_not_in_one_place(actor, skill):
    twin = skills.create_skill(actor, bundle())
    with pytest.raises(InvalidRequest, match="both named month-end"):
        new_agent(actor, ref(skill), ref(twin))


def test_one_skill_is_named_once_and_sixty_four_are_the_most(actor, skill):
    with pytest.raises(InvalidRequest, match="named twice"):
        new_agent(actor, ref(skill), ref(skill))
    with pytest.raises(InvalidRequest, match="at most 64"):
        new_agent(actor, *[ref(skill)] * 65)


def test_an_unknown_skill_or_version_is_refused_by_id(actor, skill, other_workspace):
    with pytest.raises(InvalidRequest, match="skills: skill skill_x does not exist"):
        new_agent(actor, {"type": "custom", "skill_id": "skill_x"})
    with pytest.raises(InvalidRequest, match="has no version skver_x"):
        new_agent(actor, ref(skill, version="skver_x"))
    stranger = Actor(workspace=other_workspace, name="Charlie", role="owner")
    with pytest.raises(InvalidRequest, match="does not exist"):
        new_agent(stranger, ref(skill))


def test_a_prebuilt_skill_is_not_supported_yet(actor):
    with pytest.raises(InvalidRequest, match="not supported yet"):
        new_agent(actor, {"type": "anthropic", "skill_id": "xlsx"})


def test_what_an_agent_or_a_session_uses_is_not_deleted(actor, skill, environment):
    first = skill.latest
    agent = new_agent(actor, ref(skill))
    session = actions.create_session(actor, agent=agent, environment=environment)
    skills.add_version(actor, skill.pk, bundle())
    with pytest.raises(Conflict, match=agent.agent_id):
        skills.delete_version(actor, first)
    without = validate(AgentUpdate, {"skills": []})
    agent_actions.update_agent(actor, agent.agent_id, without)
    with pytest.raises(Conflict, match="session"):
        skills.delete_skill(actor, skill.pk)
    actions.archive_session(actor, session)
    folder = first.folder
    skills.delete_version(actor, first)
    assert not folder.exists()
    skills.delete_skill(actor, skill.pk)
    assert not SkillVersion.objects.exists()


def test_what_a_broken_upload_left_is_removed_after_a_day(skill):
    draft = skill.latest.folder.with_name("skver_broken.part")
    fresh = skill.latest.folder.with_name("skver_fresh.part")
    for folder in (draft, fresh):
        (folder / "scripts").mkdir(parents=True)
    for folder in (draft, skill.latest.folder):
        os.utime(folder, (0, 0))
    skills.delete_abandoned()
    assert not draft.exists()
    assert fresh.exists()
    assert skill.latest.folder.exists()


def test_the_only_version_is_not_deleted(actor, skill):
    with pytest.raises(InvalidRequest, match="only version"):
        skills.delete_version(actor, skill.latest)


def test_an_operator_uploads_no_skill_and_a_stranger_sees_none(
    workspace, other_workspace, skill
):
    operator = Actor(workspace=workspace, name="Bob", role="operator")
    with pytest.raises(Forbidden):
        skills.create_skill(operator, bundle())
    with pytest.raises(Forbidden):
        skills.delete_skill(operator, skill.pk)
    stranger = Actor(workspace=other_workspace, name="Charlie", role="owner")
    with pytest.raises(NotFound):
        skills.find_version(stranger, skill.pk, "latest")


def test_a_session_may_have_other_skills_than_its_agent(actor, skill, environment):
    agent = new_agent(actor, ref(skill))
    without = actions.create_session(
        actor, agent=agent, environment=environment, overrides={"skills": []}
    )
    assert without.agent_snapshot["skills"] == []
    with pytest.raises(InvalidRequest, match="needs the tool read"):
        actions.create_session(
            actor, agent=agent, environment=environment, overrides={"tools": []}
        )
