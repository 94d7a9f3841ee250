"""What an agent writes into /mnt/session/outputs becomes Files of the session."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings

from agents import files
from agents.models import File
from sandbox.errors import FileUnavailable
from sandbox.fake import FakeProvider, FakeSandbox
from sandbox.spec import FoundFile, Listing, SandboxSpec
from sessions import actions, outputs, tasks
from sessions.models import Event, Session
from tests.sessions.hosting import (
    STOP,
    bash,
    begin,
    events,
    hosting,
    is_idle,
    scripted,
    seen,
    send,
    types,
    until,
)

pytestmark = pytest.mark.django_db(transaction=True)
OUT = "/mnt/session/outputs"


@pytest.fixture
def agent(working_agent):
    return working_agent


@pytest.fixture
def conf(settings):
    settings.AGENTSITE = settings.AGENTSITE.model_copy()
    return settings.AGENTSITE


async def work(actor, agent, environment, hands, *commands):
    """Run the commands, each in a turn of its own."""
    first, *others = [
        scripted({"tools": [bash(command)]}, {"say": "Done."}) for command in commands
    ]
    session = await begin(actor, agent, environment, first)
    async with hosting(hands):
        await is_idle(session)
        for turn, message in enumerate(others, 2):
            await send(actor, session, [message])
            await until(seen(session, "session.status_idle", count=turn))
    return session


@sync_to_async
def handed_back(session):
    rows = File.objects.filter(scope_id=session.pk, downloadable=True)
    return {row.output_path: row.path.read_bytes() for row in rows}


def stored_bytes():
    folder = settings.AGENTSITE.home / "files"
    return {each for each in folder.rglob("*") if each.is_file()}


def reasons(event):
    return {each["path"]: each["reason"] for each in event.payload["left_out"]}


async def test_outputs_are_files_of_the_session_before_it_is_idle(
    actor, agent, environment, hands
):
    command = f"echo a,b > {OUT}/books.csv; echo deep > {OUT}/in/deep.txt"
    session = await work(actor, agent, environment, hands, command)
    assert await handed_back(session) == {
        "books.csv": b"a,b\n",
        "in/deep.txt": b"deep\n",
    }
    (told,) = await events(session, "agentsite.outputs_captured")
    idle = (await events(session, "session.status_idle"))[0]
    assert [each["path"] for each in told.payload["files"]] == [
        "books.csv",
        "in/deep.txt",
    ]
    assert told.seq < idle.seq


async def test_a_new_version_takes_the_place_of_the_old_one(
    actor, agent, environment, hands
):
    before = stored_bytes()
    session = await work(
        actor, agent, environment, hands, f"echo 1 > {OUT}/a", f"echo 2 > {OUT}/a"
    )
    assert await handed_back(session) == {"a": b"2\n"}
    assert len(stored_bytes() - before) == 1


async def test_what_did_not_change_is_not_captured_again(
    actor, agent, environment, hands
):
    session = await work(
        actor, agent, environment, hands, f"echo 1 > {OUT}/a", "echo nothing new"
    )
    assert len(await events(session, "agentsite.outputs_captured")) == 1


async def test_what_is_removed_in_the_sandbox_stays_handed_back(
    actor, agent, environment, hands
):
    session = await work(
        actor, agent, environment, hands, f"echo 1 > {OUT}/a", f"rm {OUT}/a"
    )
    assert await handed_back(session) == {"a": b"1\n"}


async def test_outputs_of_an_interrupted_turn_are_kept(
    actor, agent, environment, hands
):
    script = scripted({"tools": [bash(f"echo 1 > {OUT}/a; sleep 600")]})
    session = await begin(actor, agent, environment, script)
    async with hosting(hands):
        await until(seen(session, "agentsite.tool_started"))
        await until(lambda: has_output(hands, session))
        await send(actor, session, [STOP])
        await is_idle(session)
    assert await handed_back(session) == {"a": b"1\n"}


async def has_output(hands, session):
    return f"{OUT}/a" in hands.provider.files[session.pk]


async def test_a_file_that_is_too_large_is_told_once_and_the_others_are_kept(
    actor, agent, environment, hands, conf, monkeypatch
):
    conf.file_mb = 1
    monkeypatch.setattr(files, "MB", 5)
    command = f"echo larger > {OUT}/large; echo 1 > {OUT}/small"
    script = scripted(
        {"tools": [bash(command)]}, {"tools": [bash("true")]}, {"say": "Done."}
    )
    session = await begin(actor, agent, environment, script)
    async with hosting(hands):
        await is_idle(session)
    assert await handed_back(session) == {"small": b"1\n"}
    (told,) = await events(session, "agentsite.outputs_captured")
    assert "larger than 1 MB" in reasons(told)["large"]


async def test_a_full_workspace_keeps_nothing_and_says_so(
    actor, agent, environment, hands, conf, workspace
):
    conf.files_gb = 1
    await sync_to_async(files.store)(workspace, filename="full", chunks=[b"x"])
    await File.objects.aupdate(size_bytes=2**30)
    session = await work(actor, agent, environment, hands, f"echo 1 > {OUT}/a")
    assert await handed_back(session) == {}
    (told,) = await events(session, "agentsite.outputs_captured")
    assert "AGENTSITE_FILES_GB" in reasons(told)["a"]


async def test_very_many_files_are_bounded_and_the_log_names_only_the_first(
    actor, agent, environment, hands, monkeypatch
):
    monkeypatch.setattr(outputs, "MOST", 3)
    monkeypatch.setattr(outputs, "NAMED", 2)
    monkeypatch.setattr(outputs, "BATCH_FILES", 2)
    command = "; ".join(f"echo {n} > {OUT}/{n}" for n in range(8))
    session = await work(actor, agent, environment, hands, command)
    assert set(await handed_back(session)) == {"0", "1", "2"}
    told = await events(session, "agentsite.outputs_captured")
    assert [len(each.payload["files"]) for each in told] == [2, 1]
    assert len(told[-1].payload["left_out"]) == 2
    assert told[-1].payload["left_out_count"] == 5
    assert "3 files at most" in told[-1].payload["left_out"][0]["reason"]


async def test_what_takes_too_long_is_left_for_later_and_the_turn_ends(
    actor, agent, environment, hands, monkeypatch
):
    monkeypatch.setattr("sessions.turn.CAPTURE_SECONDS", 0.05)

    async def endless(self, path):
        await asyncio.sleep(600)
        yield b""

    monkeypatch.setattr(FakeSandbox, "pieces", endless)
    session = await work(actor, agent, environment, hands, f"echo 1 > {OUT}/a")
    (told,) = await events(session, "agentsite.outputs_captured")
    assert "took longer" in told.payload["left_out"][0]["reason"]
    assert not [each for each in stored_bytes() if each.parent.name == "incoming"]


async def test_a_sandbox_that_lies_about_its_files_harms_nothing(
    actor, agent, environment, hands, monkeypatch
):
    async def lying(self, path, most):
        there = FoundFile(path="a/b", label="../../x", size=1, mark="1")
        gone = FoundFile(path="gone", label="gone", size=1, mark="1")
        return Listing(files=(there, gone))

    async def pieces(self, path):
        if path.endswith("gone"):
            raise FileUnavailable("gone in sandbox does not exist.")
        yield b"evil"

    monkeypatch.setattr(FakeSandbox, "files_below", lying)
    monkeypatch.setattr(FakeSandbox, "pieces", pieces)
    session = await work(actor, agent, environment, hands, "true")
    row = await File.objects.aget(scope_id=session.pk)
    assert row.filename == "x"
    assert row.path.parent.parent == settings.AGENTSITE.home / "files"
    (told,) = await events(session, "agentsite.outputs_captured")
    assert "does not exist" in reasons(told)["gone"]


async def test_a_host_that_lost_its_lease_keeps_nothing(
    actor, agent, environment, session
):
    spec = SandboxSpec(session_id=session.pk, image="base")
    sandbox = await FakeProvider().provision(spec)
    await sandbox.write(f"{OUT}/a", b"1")
    before = stored_bytes()
    lost = outputs.Outputs(session=session, fence=41, database=tasks._database)
    await lost.capture(sandbox, 10)
    assert await handed_back(session) == {}
    assert stored_bytes() == before


async def test_what_is_written_after_the_turn_is_kept_when_the_session_is_archived(
    actor, agent, environment, hands
):
    session = await work(actor, agent, environment, hands, "true")
    sandbox = await hands.provider.find(session.pk)
    await sandbox.write(f"{OUT}/late", b"late")
    await sandbox.close()
    session = await Session.objects.aget(pk=session.pk)
    await sync_to_async(actions.archive_session)(actor, session)
    await tasks._remove(hands.provider, [session.pk])
    assert await handed_back(session) == {"late": b"late"}
    assert await hands.provider.find(session.pk) is None


async def test_what_is_written_after_the_turn_is_kept_when_its_sandbox_stops(
    actor, agent, environment, hands
):
    session = await work(actor, agent, environment, hands, "true")
    sandbox = await hands.provider.find(session.pk)
    await sandbox.write(f"{OUT}/late", b"late")
    await sandbox.close()
    await tasks._stop(hands.provider, session.pk)
    assert await handed_back(session) == {"late": b"late"}


async def test_a_deleted_session_takes_its_outputs_along(
    actor, agent, environment, hands
):
    session = await work(actor, agent, environment, hands, f"echo 1 > {OUT}/a")
    row = await File.objects.aget(scope_id=session.pk)
    session = await Session.objects.aget(pk=session.pk)
    await sync_to_async(actions.delete_session)(actor, session)
    await tasks._remove(hands.provider, [session.pk])
    assert not row.path.exists()
    assert not await File.objects.aexists()


async def test_official_clients_meet_nothing_of_it(actor, agent, environment, hands):
    session = await work(actor, agent, environment, hands, f"echo 1 > {OUT}/a")
    assert not [each for each in await types(session) if each.startswith("agentsite")]
    assert await Event.objects.filter(type="agentsite.outputs_captured").aexists()
