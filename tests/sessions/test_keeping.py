"""How long sandboxes and their files are kept, and what is told of it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.utils import timezone

from sandbox.errors import SnapshotFailed
from sandbox.spec import SandboxStatus
from sessions import actions, keeping, tasks
from sessions.models import Event, Session
from tests.sessions.hosting import (
    FakeHands,
    bash,
    begin,
    events,
    hosting,
    is_idle,
    scripted,
    send,
    until,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def agent(working_agent):
    return working_agent


@pytest.fixture
def hands(hands, model, monkeypatch):
    """The hands of hosts and of jobs alike."""
    hands.url = model.url
    monkeypatch.setattr(tasks, "provider", lambda: hands.provider)
    return hands


@pytest.fixture
async def session(actor, agent, environment, hands):
    """One whose agent has written a file and rests."""
    session = await begin(actor, agent, environment, ran("echo kept > note"))
    await until_idle(session, hands)
    return session


async def job(work):
    """Run a job as a worker does: in a thread that is nobody else's."""
    with ThreadPoolExecutor(1) as thread:
        await asyncio.get_running_loop().run_in_executor(thread, in_job, work)


def in_job(work):
    try:
        work()
    finally:
        connections.close_all()


async def stop_idle():
    await job(tasks.stop_idle)


async def sweep():
    await job(tasks.sweep)


async def until_idle(session, hands):
    """Have a host of its own work on it, and be gone; the sandbox stays."""
    async with hosting(FakeHands(hands.url, hands.provider)) as host:
        await is_idle(session)
        await until(lambda: nothing_at_work(host))


async def nothing_at_work(host):
    return not host.work


def ran(command):
    return scripted({"tools": [bash(command)]}, {"say": "Done."})


async def rests_since(session, **since):
    moment = timezone.now() - timedelta(**since)
    await Session.objects.filter(pk=session.pk).aupdate(updated_at=moment)


async def was_made(session, **ago):
    moment = timezone.now() - timedelta(**ago)
    rows = Event.objects.filter(session=session, type="agentsite.sandbox_opened")
    await rows.aupdate(created_at=moment)


async def status(hands, session):
    return await hands.provider.status(session.pk)


async def goes_on(actor, session, hands, command):
    """Have the agent run one more command; return what it was told."""
    await send(actor, session, [ran(command)])
    await until_idle(session, hands)
    last = (await events(session, "agent.tool_result"))[-1]
    return [block["text"] for block in last.payload["content"]]


async def told(session, kind):
    return [each.payload for each in await events(session, f"agentsite.sandbox_{kind}")]


async def test_a_sandbox_that_was_made_is_told_once(actor, session, hands):
    assert await told(session, "opened") == [
        {"provider": "fake", "files": "new", "notes": []}
    ]
    assert await goes_on(actor, session, hands, "cat note") == ["kept"]
    assert len(await told(session, "opened")) == 1


async def test_a_sandbox_without_work_is_stopped_with_a_snapshot(session, hands):
    await rests_since(session, minutes=16)
    await stop_idle()
    assert await status(hands, session) is SandboxStatus.STOPPED
    [stopped] = await told(session, "stopped")
    assert stopped["idle_minutes"] == 15
    assert stopped["snapshot_bytes"] == keeping.snapshot_of(session.pk).stat().st_size


async def test_it_goes_on_where_files_are_kept(actor, session, hands):
    await rests_since(session, minutes=16)
    await stop_idle()
    assert await goes_on(actor, session, hands, "cat note") == ["kept"]
    assert [each["files"] for each in await told(session, "opened")] == ["new", "kept"]


async def test_a_sandbox_that_was_used_lately_is_left_alone(session, hands):
    await rests_since(session, minutes=14)
    await stop_idle()
    assert await status(hands, session) is SandboxStatus.RUNNING


async def test_a_sandbox_in_use_is_left_alone_whatever_the_row_says(session, hands):
    await rests_since(session, minutes=16)
    hands.provider.used[session.pk] += 1
    await stop_idle()
    assert await status(hands, session) is SandboxStatus.RUNNING
    assert await told(session, "stopped") == []


async def test_a_snapshot_that_fails_is_told_and_the_files_stay(
    session, hands, monkeypatch
):
    async def fails(*_):
        raise SnapshotFailed("The disk is full.")

    monkeypatch.setattr(hands.provider, "snapshot", fails)
    await rests_since(session, minutes=16)
    await stop_idle()
    assert await status(hands, session) is SandboxStatus.STOPPED
    [stopped] = await told(session, "stopped")
    assert stopped == {"idle_minutes": 15, "fault": "The disk is full."}


async def test_where_the_files_are_gone_the_snapshot_is_taken(actor, session, hands):
    await rests_since(session, minutes=16)
    await stop_idle()
    await hands.provider.destroy(session.pk, keep_workspace=False)
    said, note = await goes_on(actor, session, hands, "cat note")
    assert said == "kept"
    assert "its files are from a snapshot" in note
    opened = (await told(session, "opened"))[-1]
    assert opened["files"] == "restored"
    assert opened["snapshot_at"].startswith("20")


async def test_files_that_are_lost_are_said_to_be(actor, session, hands):
    await hands.provider.destroy(session.pk, keep_workspace=False)
    said, note = await goes_on(actor, session, hands, "ls")
    assert said == "(no output)"
    assert "the files of the one before are lost" in note
    assert (await told(session, "opened"))[-1]["files"] == "lost"


async def test_the_note_comes_with_one_result_only(actor, session, hands):
    await hands.provider.destroy(session.pk, keep_workspace=False)
    await goes_on(actor, session, hands, "ls")
    assert await goes_on(actor, session, hands, "ls") == ["(no output)"]


async def test_files_have_their_time(actor, session, hands):
    await rests_since(session, minutes=16)
    await stop_idle()
    await was_made(session, days=31)
    await sweep()
    assert await status(hands, session) is SandboxStatus.ABSENT
    assert not keeping.snapshot_of(session.pk).exists()
    assert await told(session, "removed") == [{"days": 30}]
    _, note = await goes_on(actor, session, hands, "ls")
    assert "had been kept for as long as" in note
    assert (await told(session, "opened"))[-1]["files"] == "removed"


async def test_their_time_counts_from_when_they_were_made(actor, session, hands):
    await was_made(session, days=31)
    await hands.provider.lose(session.pk)
    await goes_on(actor, session, hands, "ls")  # used just now, on the old files
    await sweep()
    assert len(await told(session, "removed")) == 1


async def test_files_within_their_time_stay(session, hands):
    await was_made(session, days=29)
    await sweep()
    assert await status(hands, session) is SandboxStatus.RUNNING


async def test_files_in_use_wait_for_the_next_sweep(session, hands):
    await was_made(session, days=31)
    hands.provider.used[session.pk] += 1
    await sweep()
    assert await status(hands, session) is SandboxStatus.RUNNING


async def test_a_deleted_sessions_snapshot_goes_with_the_next_sweep(
    actor, session, hands
):
    await rests_since(session, minutes=16)
    await stop_idle()
    await hands.provider.destroy(session.pk, keep_workspace=False)
    await sync_to_async(actions.delete_session)(actor, session)
    await sweep()
    assert not keeping.snapshot_of(session.pk).exists()


async def test_a_session_without_calls_needs_no_sandbox(
    actor, agent, environment, hands
):
    session = await begin(actor, agent, environment, scripted({"say": "Hello."}))
    await until_idle(session, hands)
    assert await told(session, "opened") == []
    assert await sync_to_async(keeping.provider_of)(session.pk) == ""
