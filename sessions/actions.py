"""What a person or a program may do with sessions: pages and API call the same verbs.

Every verb asks first whether the actor may, changes state through `lifecycle`, writes
history through `log`, and raises the refusals of `agents.errors`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from django.db import transaction

from agents import definitions, files, networking, skills
from agents.actions import add_allowed_host, refuse_archived
from agents.actors import Actor
from agents.errors import Conflict, InvalidRequest, NotFound
from agents.models import Act, AgentVersion, Environment, ModelAlias
from sessions import (
    budgets,
    bus,
    inbox,
    lifecycle,
    log,
    network,
    queue,
    unknown_calls,
    usage,
)
from sessions.events import (
    Draft,
    HostAllowed,
    Record,
    ResourcesChanged,
    SessionUpdated,
    UserInterrupt,
)
from sessions.models import Session, SessionResource, Status, Thread
from sessions.resources import (
    described,
    find_resource,
    mount_file,
    mount_repository,
    unmount,
)


def create_session(
    actor: Actor,
    *,
    agent: AgentVersion,
    environment: Environment,
    overrides: Mapping[str, Any] | None = None,
    title: str | None = None,
    metadata: Mapping[str, str] | None = None,
    resources: Sequence[Mapping[str, Any]] = (),
    initial_events: Sequence[Draft] = (),
    budget: int | None = None,
    max_model_requests: int | None = None,
) -> Session:
    """Make a session; with initial events it is born running.

    `budget` is in cents; `max_model_requests` holds for each turn. `resources` are
    `{"file_id", "mount_path"?}` or `{"url", "checkout"?, "mount_path"?}`; `overrides`
    are the fields of `agent_with_overrides` that were given.
    """
    actor.require(Act.RUN)
    _refuse_archived(agent, environment)
    snapshot = _snapshot(actor, agent, overrides or {})
    if budget is not None:
        budgets.refuse_unpriced(snapshot["model"]["id"])
    with transaction.atomic():
        session = Session.objects.create(
            workspace=actor.workspace,
            title=title,
            metadata=dict(metadata or {}),
            agent=agent.agent,
            agent_version=agent.version,
            agent_snapshot=snapshot,
            environment=environment,
            environment_config=environment.config,
            created_by=actor.name,
            usage=usage.at_first(snapshot["model"]["id"]),
            budget=budget,
            max_model_requests=max_model_requests,
        )
        Thread.objects.create(session=session, agent_snapshot=snapshot)
        for each in resources:
            _mount(actor, session, each)
        if initial_events:
            inbox.receive(session, initial_events)
    return session


def _refuse_archived(agent: AgentVersion, environment: Environment) -> None:
    if agent.agent.archived_at:
        raise InvalidRequest(f"agent {agent.agent_id} is archived")
    refuse_archived(environment)


def _snapshot(
    actor: Actor, agent: AgentVersion, overrides: Mapping[str, Any]
) -> dict[str, Any]:
    """The agent as this session will know it, its model made concrete."""
    resolve_skills = partial(skills.resolve, actor)
    config = definitions.apply_overrides(agent.config, overrides, resolve_skills)
    model = {**config["model"], "id": ModelAlias.resolve(config["model"]["id"])}
    return definitions.session_agent(agent, {**config, "model": model})


def _mount(actor: Actor, session: Session, said: Mapping[str, Any]) -> None:
    if "url" not in said:
        mount_file(actor, session, said["file_id"], said.get("mount_path"))
    else:
        mount_repository(
            session,
            said["url"],
            checkout=said.get("checkout"),
            mount_path=said.get("mount_path"),
        )


def add_file(
    actor: Actor, session: Session, file_id: str, mount_path: str | None = None
) -> SessionResource:
    """Mount a file into a session; a sandbox that runs shows it at once."""
    actor.require(Act.RUN)
    with transaction.atomic():
        session = _locked(session)
        resource = mount_file(actor, session, file_id, mount_path)
        _tell_resources(session, by=actor.name, added=[described(resource)])
    return resource


def remove_file(actor: Actor, session: Session, resource_id: str) -> None:
    """Take a file away from a session, and out of a sandbox that runs."""
    actor.require(Act.RUN)
    with transaction.atomic():
        session = _locked(session)
        resource = find_resource(session, resource_id)
        if resource.type != SessionResource.FILE:
            raise InvalidRequest(f"{resource_id} is a repository, and stays")
        _tell_resources(session, by=actor.name, removed=[described(resource)])
        unmount(resource)  # last: bytes do not come back with a transaction


def _tell_resources(session: Session, **changed: Any) -> None:
    log.append(session.pk, [Draft(payload=ResourcesChanged(**changed))])
    transaction.on_commit(lambda: bus.wake_hosts(session.pk))


def send_events(
    actor: Actor, session: Session, events: Sequence[Draft]
) -> list[Record]:
    """Queue client events and wake the session; an interrupt jumps the queue.

    Raises:
        InvalidRequest: one of them answers a call that does not wait; nothing is kept.
    """
    actor.require(Act.RUN)
    with transaction.atomic():
        session = _locked(session)
        settling = budgets.settling(session, events)
        return inbox.receive(session, settling) if settling else []


def _locked(session: Session) -> Session:
    """The row as it is now, held until the transaction ends; never one that ended.

    What the caller read may be old: a turn, an archive or a deletion came between.
    """
    found = Session.objects.select_for_update().filter(pk=session.pk).first()
    if found is None:
        raise NotFound.of("session", session.pk)
    if found.archived_at:
        raise Conflict(f"session {found.pk} is archived: it takes no more events")
    if found.status == Status.TERMINATED:
        raise Conflict(f"session {found.pk} is terminated: it takes no more events")
    return found


def interrupt(actor: Actor, session: Session, thread_id: str | None = None) -> None:
    """Stop what the session is doing now, or one of its threads."""
    stop = UserInterrupt(agentsite_sender=actor.name, session_thread_id=thread_id)
    send_events(actor, session, [Draft(payload=stop, queued=True)])


def look_at_call(actor: Actor, session: Session, call_id: str) -> Record:
    """Have the sandbox asked what became of a call whose outcome is unknown.

    Raises:
        NotFound: the session has no such call.
        InvalidRequest: its outcome is known, or another one settles it just now.
    """
    return _about_call(actor, session, call_id, unknown_calls.look)


def run_call_again(actor: Actor, session: Session, call_id: str) -> Record:
    """Have a call whose outcome is unknown run once more. Raises as `look_at_call`."""
    return _about_call(actor, session, call_id, unknown_calls.run_again)


def mark_call_done(actor: Actor, session: Session, call_id: str) -> Record:
    """Say that a call whose outcome is unknown has happened. Raises the same."""
    return _about_call(actor, session, call_id, unknown_calls.mark_done)


def _about_call(
    actor: Actor,
    session: Session,
    call_id: str,
    verb: Callable[[Session, str, str], Record],
) -> Record:
    actor.require(Act.RUN)
    with transaction.atomic():
        return verb(_locked(session), call_id, actor.name)


def allow_host(actor: Actor, session: Session, host: str) -> None:
    """Let a session's sandbox reach a host, at once and for this session alone."""
    actor.require(Act.RUN)
    with transaction.atomic():
        session = _locked(session)
        if session.environment_config["networking"]["type"] != "limited":
            raise InvalidRequest(f"the network of session {session.pk} is not limited")
        host = networking.checked_host(host)
        networking.refuse_too_many({*network.session_hosts(session.pk), host})
        _tell_allowed(actor, session, host, "session")
    network.renew_here(session)


def allow_host_in_environment(actor: Actor, session: Session, host: str) -> None:
    """Let the new sessions of a session's environment reach a host."""
    actor.require(Act.BUILD)
    with transaction.atomic():
        session = _locked(session)
        host = networking.checked_host(host)
        add_allowed_host(actor, session.environment_id, host)
        _tell_allowed(actor, session, host, "environment")


def _tell_allowed(actor: Actor, session: Session, host: str, scope: str) -> None:
    told = HostAllowed(host=host, scope=scope, by=actor.name)
    key = log.key_of("allowed", scope, host)
    log.append(session.pk, [Draft(payload=told, idempotency_key=key)])
    transaction.on_commit(lambda: bus.wake_hosts(session.pk))


def update_session(
    actor: Actor, session: Session, changes: Mapping[str, Any]
) -> Session:
    """Change title, metadata (merged per key; null deletes), budget, the agent's tools.

    `changes` holds the given fields only: `title`, `metadata`, `agent` (`{"tools"}`),
    `budget` (cents; null removes it).
    """
    actor.require(Act.RUN)
    with transaction.atomic():
        session = _locked(session)
        changed = _apply(session, changes)
        if changed:
            session.save(update_fields=[*_columns(changed), "updated_at"])
            log.append(session.pk, [Draft(payload=SessionUpdated(**changed))])
        if "budget" in changed:
            _go_on(session)
    return session


def _go_on(session: Session) -> None:
    """A session that rests at its budget goes on by itself once that has changed."""
    if told := lifecycle.unpause(session.pk):
        log.append(session.pk, told)
        session.refresh_from_db()
        transaction.on_commit(lambda: bus.wake_hosts(session.pk))


def _apply(session: Session, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Set what differs on the row; return the fields of `session.updated`."""
    changed: dict[str, Any] = {}
    if "title" in changes and changes["title"] != session.title:
        session.title = changes["title"]
        changed["title"] = session.title
    if "metadata" in changes:
        merged = definitions.merged_metadata(session.metadata, changes["metadata"])
        if merged != session.metadata:
            session.metadata = merged
            changed["metadata"] = merged or None  # cleared: not said, as in the field
    if "agent" in changes and (agent := _new_agent(session, changes["agent"])):
        changed["agent"] = agent
    if "budget" in changes and _set_budget(session, changes["budget"]):
        changed["budget"] = budgets.wire(session)
    return changed


def _set_budget(session: Session, cents: int | None) -> bool:
    """Give the session another budget or none; false where it has that one."""
    budgets.refuse_change(session, cents)
    differs = session.budget != cents
    session.budget = cents
    return differs


def _new_agent(session: Session, given: Mapping[str, Any]) -> dict[str, Any] | None:
    """The session's agent with its tools replaced; null where that changes nothing."""
    if session.is_working:
        raise InvalidRequest(
            f"session {session.pk} is {session.status}: interrupt it before its agent"
            " is changed"
        )
    snapshot = definitions.apply_overrides(session.agent_snapshot, given)
    if snapshot == session.agent_snapshot:
        return None
    session.agent_snapshot = snapshot
    session.threads.filter(parent=None).update(agent_snapshot=snapshot)
    return snapshot


def _columns(changed: Mapping[str, Any]) -> list[str]:
    names = {"agent": "agent_snapshot"}
    return [names.get(name, name) for name in changed]


def archive_session(actor: Actor, session: Session) -> Session:
    """Make a session read-only for good. Archiving twice changes nothing."""
    actor.require(Act.RUN)
    if session.archived_at is None and not lifecycle.archive(session):
        raise InvalidRequest(_still_working(session, "archived"))
    queue.enqueue("sessions.tasks.remove_sandbox", session.pk)
    session.refresh_from_db()
    return session


def archive_thread(actor: Actor, thread: Thread) -> Thread:
    """End a child thread for good. Archiving twice changes nothing."""
    actor.require(Act.RUN)
    if thread.is_primary:
        raise InvalidRequest(
            f"{thread.pk} is the primary thread: archive session {thread.session_id}"
        )
    if not lifecycle.archive_thread(thread):
        raise InvalidRequest(
            f"thread {thread.pk} is working: interrupt it and wait until it is idle"
            " before it is archived"
        )
    thread.refresh_from_db()
    return thread


def delete_session(actor: Actor, session: Session) -> None:
    """Delete a session with its events, files and sandbox."""
    actor.require(Act.RUN)
    with transaction.atomic():
        if not lifecycle.forget(session.pk):
            raise InvalidRequest(_still_working(session, "deleted"))
        queue.enqueue("sessions.tasks.remove_sandbox", session.pk)
    files.delete_session_files(session.pk)
    bus.nudge(session.pk, 0)  # the number of a session that is gone


def _still_working(session: Session, done: str) -> str:
    return (
        f"session {session.pk} is working: interrupt it and wait until it is idle"
        f" before it is {done}"
    )
