"""Repositories of a session: what is said of them, to people and to the model."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async

from agents.errors import InvalidRequest
from sandbox.fake import FakeProvider, FakeSandbox
from sandbox.spec import SandboxSpec, ToolOutcome
from sessions import actions
from sessions.models import SessionResource
from sessions.repositories import find_skills
from tests.sessions.hosting import (
    events,
    hosting,
    is_idle,
    message,
    scripted,
    seen,
    send,
    until,
)

URL = "https://git.example/team/books.git"
COMMIT = "ab" * 20
SKILL = b"---\nname: release\ndescription: Makes a release.\n---\nTag it.\n"


def start(actor, agent, environment, *repositories, **more):
    return actions.create_session(
        actor,
        agent=agent.latest,
        environment=environment,
        resources=repositories,
        **more,
    )


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (URL, "books"),
        ("https://git.example/books", "books"),
        ("https://git.example/a/b%20c.git/", "b-c"),
        ("https://git.example/skills", "repository"),
        ("https://git.example/...", "repository"),
    ],
)
def test_a_repository_is_put_below_the_workspace_by_its_name(
    actor, agent, environment, url, place
):
    session = start(actor, agent, environment, {"url": url})
    assert session.resources.get().mount_path == f"/workspace/{place}"


def test_two_repositories_of_one_name_need_two_places(actor, agent, environment):
    with pytest.raises(InvalidRequest, match="/workspace/books"):
        start(actor, agent, environment, {"url": URL}, {"url": URL})
    again = {"url": URL, "mount_path": "/workspace/books/inner"}
    with pytest.raises(InvalidRequest, match="/workspace/books"):
        start(actor, agent, environment, {"url": URL}, again)


def test_a_repository_stays_as_long_as_its_session(actor, agent, environment):
    session = start(actor, agent, environment, {"url": URL})
    with pytest.raises(InvalidRequest, match="repository, and stays"):
        actions.remove_file(actor, session, session.resources.get().pk)


def test_a_form_names_a_repository(as_bob, agent, environment):
    said = {
        "agent": agent.pk,
        "environment": environment.pk,
        "repository": URL,
        "branch": "main",
    }
    as_bob.post("/sessions/new", said)
    resource = SessionResource.objects.get()
    assert (resource.url, resource.checkout) == (
        URL,
        {"type": "branch", "name": "main"},
    )
    wrong = as_bob.post("/sessions/new", {**said, "repository": "git@h:a.git"})
    assert "https:// address of a Git repository" in wrong.content.decode()


async def test_skills_of_a_repository_are_exactly_one_folder_deep():
    sandbox = await FakeProvider().provision(SandboxSpec(session_id="s", image="x"))
    folder = "/workspace/books/.claude/skills"
    for path, data in {
        "release/SKILL.md": SKILL,
        "release/other.md": SKILL,
        "deep/er/SKILL.md": SKILL,
        "SKILL.md": SKILL,
        "wrong/SKILL.md": b"no head",
        "large/SKILL.md": SKILL + b"x" * 100_000,
    }.items():
        await sandbox.write(f"{folder}/{path}", data)
    path = f"{folder}/release/SKILL.md"
    said = {"name": "release", "description": "Makes a release.", "path": path}
    assert await find_skills("/workspace/books", sandbox) == [said]
    assert await find_skills("/workspace/none", sandbox) == []


@pytest.mark.django_db(transaction=True)
async def test_a_clone_that_failed_is_told_and_tried_again_at_the_next_turn(
    actor, working_agent, environment, hands, model, monkeypatch
):
    answers = [
        ("fatal: repository 'x' not found", True),
        (f"cloned {COMMIT}", False),
    ]
    calls = []

    async def execute(self, call_id, tool, input):
        calls.append(call_id)
        text, failed = answers[len(calls) - 1]
        await self.write("/workspace/books/.claude/skills/r/SKILL.md", SKILL)
        return ToolOutcome(content=({"type": "text", "text": text},), is_error=failed)

    monkeypatch.setattr(FakeSandbox, "execute", execute)
    session = await sync_to_async(start)(
        actor,
        working_agent,
        environment,
        {"url": URL},
        initial_events=[scripted({"say": "One."}, {"say": "Two."}, {"say": "Three."})],
    )
    async with hosting(hands):
        await is_idle(session)
        for turn in (2, 3):
            await send(actor, session, [message("Again.")])
            await until(seen(session, "session.status_idle", count=turn))
    assert len(calls) == len(set(calls)) == 2
    failed, ready = await events(session, "agentsite.repository_cloned")
    assert failed.payload["error"]["type"] == "repository_not_found"
    assert ready.payload["commit"] == COMMIT
    first, second, third = [str(each["system"]) for each in model.requests]
    assert f"A repository is missing: {URL} was not cloned" in first
    assert "release" not in first
    for prompt in (second, third):
        assert f"{URL} is cloned at /workspace/books, at commit {COMMIT}" in prompt
        assert "- release (/workspace/books/.claude/skills/r/SKILL.md)" in prompt
        assert "whoever writes there wrote them" in prompt


@pytest.mark.django_db(transaction=True)
async def test_a_clone_that_was_lost_with_its_sandbox_is_made_again(
    actor, working_agent, environment, hands, monkeypatch
):
    clones = []

    async def execute(self, call_id, tool, input):
        if call_id.startswith("sesrsc_"):
            clones.append(call_id)
        text = {"type": "text", "text": f"cloned {COMMIT}"}
        return ToolOutcome(content=(text,), is_error=False)

    monkeypatch.setattr(FakeSandbox, "execute", execute)
    look = {"name": "bash", "input": {"command": "ls"}}
    session = await sync_to_async(start)(
        actor,
        working_agent,
        environment,
        {"url": URL},
        initial_events=[scripted({"say": "One."}, {"tools": [look]}, {"say": "Two."})],
    )
    async with hosting(hands):
        await is_idle(session)
        await hands.provider.destroy(session.pk, keep_workspace=False)
        for turn in (2, 3):
            await send(actor, session, [message("Again.")])
            await until(seen(session, "session.status_idle", count=turn))
    assert len(clones) == len(set(clones)) == 2
