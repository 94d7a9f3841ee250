"""What people and programs may do with sessions, and what they are refused."""

from __future__ import annotations

import hashlib

import pytest

from agents.actors import Actor
from agents.errors import Conflict, Forbidden, InvalidRequest, NotFound
from agents.models import File, ModelAlias
from sessions import actions, leases, log
from sessions.events import Draft, UserMessage
from sessions.models import Event, Session, Status

pytestmark = pytest.mark.django_db


def message(text="Go"):
    payload = UserMessage(content=[{"type": "text", "text": text}])
    return Draft(payload=payload, queued=True)


@pytest.fixture
def viewer(workspace):
    return Actor(workspace=workspace, name="Vera", role="viewer")


@pytest.fixture
def file(workspace):
    file = File.objects.create(
        workspace=workspace,
        filename="a.txt",
        size_bytes=2,
        sha256=hashlib.sha256(b"hi").hexdigest(),
    )
    file.path.parent.mkdir(parents=True, exist_ok=True)
    file.path.write_bytes(b"hi")
    return file


def test_a_new_session_is_idle_with_its_primary_thread(session):
    assert session.status == Status.IDLE
    assert session.threads.get().is_primary


def test_it_is_born_running_with_initial_events(actor, agent, environment):
    session = actions.create_session(
        actor, agent=agent.latest, environment=environment, initial_events=[message()]
    )
    assert session.status == Status.RUNNING


def test_an_alias_is_made_concrete(actor, agent, environment):
    ModelAlias.objects.update_or_create(
        alias="scripted-demo", defaults={"model": "claude-opus-9"}
    )
    session = actions.create_session(actor, agent=agent.latest, environment=environment)
    assert session.agent_snapshot["model"]["id"] == "claude-opus-9"


def test_it_keeps_the_version_it_was_made_with(actor, agent, session):
    agent.versions.create(version=2, config={**agent.latest.config, "system": "New."})
    session.refresh_from_db()
    assert session.agent_version == 1
    assert not session.agent_snapshot["system"]


def test_overrides_replace_for_this_session_only(actor, agent, environment):
    session = actions.create_session(
        actor,
        agent=agent.latest,
        environment=environment,
        overrides={"system": "Be brief."},
    )
    assert session.agent_snapshot["system"] == "Be brief."
    assert agent.latest.config["system"] == ""


def test_a_file_is_mounted_as_a_copy_of_the_session(actor, agent, environment, file):
    session = actions.create_session(
        actor,
        agent=agent.latest,
        environment=environment,
        resources=[{"file_id": file.pk}],
    )
    resource = session.resources.get()
    copy = File.objects.get(pk=resource.file_id)
    assert copy.pk != file.pk
    assert copy.scope_id == session.pk
    assert copy.path.read_bytes() == b"hi"
    assert resource.mount_path == f"/mnt/session/uploads/{copy.pk}"


def test_a_file_of_another_workspace_does_not_exist(
    actor, agent, environment, file, other_workspace
):
    File.objects.update(workspace=other_workspace)
    with pytest.raises(NotFound):
        actions.create_session(
            actor,
            agent=agent.latest,
            environment=environment,
            resources=[{"file_id": file.pk}],
        )
    assert Session.objects.count() == 0


def test_a_viewer_may_not_create(viewer, agent, environment):
    with pytest.raises(Forbidden):
        actions.create_session(viewer, agent=agent.latest, environment=environment)


def test_a_viewer_may_not_send(viewer, session):
    with pytest.raises(Forbidden):
        actions.send_events(viewer, session, [message()])


def test_an_archived_session_takes_no_events(actor, session):
    actions.archive_session(actor, session)
    with pytest.raises(Conflict):
        actions.send_events(actor, session, [message()])
    assert session.status == Status.TERMINATED


def test_a_working_session_is_not_archived(actor, session):
    actions.send_events(actor, session, [message()])
    with pytest.raises(InvalidRequest, match="interrupt it"):
        actions.archive_session(actor, session)


def test_archiving_twice_changes_nothing(actor, session):
    first = actions.archive_session(actor, session).archived_at
    assert actions.archive_session(actor, session).archived_at == first


def test_a_working_session_is_not_deleted(actor, session):
    actions.send_events(actor, session, [message()])
    with pytest.raises(InvalidRequest, match="interrupt it"):
        actions.delete_session(actor, session)


def test_deleting_takes_events_and_files_along(actor, agent, environment, file):
    session = actions.create_session(
        actor,
        agent=agent.latest,
        environment=environment,
        resources=[{"file_id": file.pk}],
    )
    copy = File.objects.get(scope_id=session.pk)
    actions.delete_session(actor, session)
    assert not Session.objects.exists()
    assert not Event.objects.exists()
    assert not copy.path.exists()
    assert file.path.exists()


sent_updates = pytest.mark.parametrize(
    ("sent", "told"),
    [
        ({"title": "New", "metadata": {"a": "1"}}, {"title": "New"}),
        ({"title": None}, {"title": None}),
        ({"metadata": {"b": "2"}}, {"metadata": {"a": "1", "b": "2"}}),
        ({"metadata": {"a": None}}, {}),  # cleared to empty: as in the field
    ],
)


def test_metadata_is_merged_and_null_deletes(actor, session):
    actions.update_session(actor, session, {"metadata": {"a": "1", "b": "2"}})
    actions.update_session(actor, session, {"metadata": {"a": None}})
    session.refresh_from_db()
    assert session.metadata == {"b": "2"}


def test_an_update_that_changes_nothing_leaves_no_event(actor, session):
    actions.update_session(actor, session, {"title": session.title})
    assert not Event.objects.exists()


@sent_updates
def test_an_update_tells_what_changed_and_nothing_else(actor, session, sent, told):
    actions.update_session(actor, session, {"title": "Old", "metadata": {"a": "1"}})
    actions.update_session(actor, session, sent)
    (_, event) = Event.objects.filter(type="session.updated").order_by("seq")
    wire = log.record_of(event).wire()
    assert wire.keys() - told.keys() == {"id", "type", "processed_at"}
    assert {name: wire[name] for name in told} == told


def test_the_agents_tools_change_only_while_idle(actor, session):
    actions.send_events(actor, session, [message()])
    session.refresh_from_db()
    with pytest.raises(InvalidRequest, match="interrupt it"):
        actions.update_session(actor, session, {"agent": {"tools": []}})


def test_two_initial_messages_are_one_turn(actor, agent, environment):
    session = actions.create_session(
        actor,
        agent=agent.latest,
        environment=environment,
        initial_events=[message("a"), message("b")],
    )
    leases.claim("host", 1)
    started = Event.objects.filter(session=session, type="session.status_running")
    assert started.count() == 1


@pytest.fixture
def stale(session):
    """The session as somebody read it before something else happened to it."""
    return Session.objects.get(pk=session.pk)


def test_a_message_that_crossed_an_archive_is_refused(actor, session, stale):
    actions.archive_session(actor, session)
    with pytest.raises(Conflict, match="archived"):
        actions.send_events(actor, stale, [message()])
    assert not Event.objects.filter(type="user.message").exists()


def test_a_message_that_crossed_a_deletion_finds_no_session(actor, session, stale):
    actions.delete_session(actor, session)
    with pytest.raises(NotFound, match=stale.pk):
        actions.send_events(actor, stale, [message()])


def test_an_update_that_crossed_an_archive_is_refused(actor, session, stale):
    actions.archive_session(actor, session)
    with pytest.raises(Conflict, match="archived"):
        actions.update_session(actor, stale, {"title": "Late"})


def test_two_updates_at_once_both_count(actor, session, stale):
    actions.update_session(actor, session, {"metadata": {"a": "1"}})
    updated = actions.update_session(actor, stale, {"metadata": {"b": "2"}})
    assert updated.metadata == {"a": "1", "b": "2"}


def test_tools_do_not_change_under_a_turn_that_just_began(actor, session, stale):
    actions.send_events(actor, session, [message()])
    with pytest.raises(InvalidRequest, match="interrupt it"):
        actions.update_session(actor, stale, {"agent": {"tools": []}})


def test_the_same_tools_again_leave_no_event(actor, session):
    actions.update_session(actor, session, {"agent": {"tools": session.tools}})
    assert not Event.objects.exists()
