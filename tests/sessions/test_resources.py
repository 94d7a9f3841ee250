"""Files that are mounted into sessions, and taken away again."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async

from agents import files
from agents.actors import Actor
from agents.errors import Conflict, Forbidden, InvalidRequest, NotFound
from agents.models import File
from sessions import actions, log
from sessions.models import Event
from tests.sessions.hosting import (
    bash,
    begin,
    events,
    hosting,
    is_idle,
    scripted,
    seen,
    until,
)


@pytest.fixture
def file(actor):
    return files.upload(
        actor, filename="report.csv", mime_type="text/csv", chunks=[b"1,2"]
    )


def told():
    return Event.objects.get(type="agentsite.resources_changed").payload


def test_adding_a_file_says_who_did_it_and_where_it_is(actor, session, file):
    path = "/workspace/report.csv"
    resource = actions.add_file(actor, session, file.pk, path)
    copy = File.objects.get(pk=resource.file_id)
    assert (copy.scope_id, copy.path.read_bytes()) == (session.pk, b"1,2")
    (added,) = told()["added"]
    assert (told()["by"], added["name"], added["mount_path"]) == (
        "Alice",
        "report.csv",
        path,
    )


def test_taking_a_file_away_leaves_the_one_that_was_uploaded(actor, session, file):
    resource = actions.add_file(actor, session, file.pk)
    copy = File.objects.get(pk=resource.file_id)
    Event.objects.all().delete()
    actions.remove_file(actor, session, resource.pk)
    assert not session.resources.exists()
    assert not copy.path.exists()
    assert file.path.exists()
    assert told()["removed"][0]["name"] == "report.csv"


@pytest.mark.parametrize(
    "second",
    ["/workspace/a", "/workspace/a/b", "/workspace"],
    ids=["the same", "below", "above"],
)
def test_two_files_have_two_places(actor, session, file, second):
    actions.add_file(actor, session, file.pk, "/workspace/a")
    with pytest.raises(InvalidRequest, match="/workspace/a"):
        actions.add_file(actor, session, file.pk, second)
    assert session.resources.count() == 1
    assert File.objects.filter(scope_id=session.pk).count() == 1


def test_a_session_has_no_more_files_than_it_may(actor, session, file, monkeypatch):
    monkeypatch.setattr("sessions.resources.MOST", 1)
    actions.add_file(actor, session, file.pk)
    with pytest.raises(InvalidRequest, match="1 resources already"):
        actions.add_file(actor, session, file.pk)


def test_a_viewer_and_a_stranger_change_nothing(
    workspace, other_workspace, actor, session, file
):
    viewer = Actor(workspace=workspace, name="Vera", role="viewer")
    resource = actions.add_file(actor, session, file.pk)
    with pytest.raises(Forbidden):
        actions.add_file(viewer, session, file.pk)
    with pytest.raises(Forbidden):
        actions.remove_file(viewer, session, resource.pk)
    stranger = Actor(workspace=other_workspace, name="Charlie", role="owner")
    with pytest.raises(NotFound):
        actions.add_file(stranger, session, file.pk)


def test_an_archived_session_keeps_what_it_has(actor, session, file):
    resource = actions.add_file(actor, session, file.pk)
    actions.archive_session(actor, session)
    with pytest.raises(Conflict, match="archived"):
        actions.add_file(actor, session, file.pk)
    with pytest.raises(Conflict, match="archived"):
        actions.remove_file(actor, session, resource.pk)


@pytest.mark.django_db(transaction=True)
class TestAtWork:
    """With a host, the real client and a fake sandbox."""

    @pytest.fixture
    def agent(self, working_agent):
        return working_agent

    async def test_a_call_that_runs_sees_a_file_come_and_the_next_one_sees_it_gone(
        self, actor, agent, environment, hands, file
    ):
        path = "/workspace/late.csv"
        script = scripted(
            {"tools": [bash(f"sleep 1; cat {path}")]},
            {"tools": [bash(f"sleep 1; cat {path}")]},
            {"say": "Done."},
        )
        session = await begin(actor, agent, environment, script)
        async with hosting(hands):
            await until(seen(session, "agentsite.tool_started"))
            added = await sync_to_async(actions.add_file)(actor, session, file.pk, path)
            await until(seen(session, "agentsite.tool_started", count=2))
            await sync_to_async(actions.remove_file)(actor, session, added.pk)
            await is_idle(session)
        first, second = await events(session, "agent.tool_result")
        assert first.payload["content"][0]["text"] == "1,2"
        assert "No such file" in second.payload["content"][0]["text"]

    async def test_the_next_call_has_the_file_though_no_wake_up_came(
        self, actor, agent, environment, hands, file, monkeypatch
    ):
        monkeypatch.setattr("sessions.actions.bus.wake_hosts", lambda session_id: None)
        path = "/workspace/late.csv"
        script = scripted(
            {"tools": [bash("sleep 1")]}, {"tools": [bash(f"cat {path}")]}, {"say": "."}
        )
        session = await begin(actor, agent, environment, script)
        async with hosting(hands):
            await until(seen(session, "agentsite.tool_started"))
            await sync_to_async(actions.add_file)(actor, session, file.pk, path)
            await is_idle(session)
        _, result = await events(session, "agent.tool_result")
        assert result.payload["content"][0]["text"] == "1,2"


def test_what_is_mounted_is_told_only_to_those_who_ask_for_our_types(
    actor, session, file
):
    actions.add_file(actor, session, file.pk)
    (frame,) = log.since(session.pk, 0)
    assert frame.record.type.is_own
