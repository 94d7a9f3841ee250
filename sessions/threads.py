"""Child threads: making them, and what one thread says to another.

A message between threads is two events, in the sender's log and in the receiver's. It
waits there like a person's message until the receiver's next step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

from agents.errors import InvalidRequest
from sessions import lifecycle, log
from sessions.events import (
    Block,
    Draft,
    ThreadCreated,
    ThreadMessageReceived,
    ThreadMessageSent,
)
from sessions.models import Status, Thread

MOST = 25
"""Child threads of a session that have not ended."""


def create(
    session_id: str,
    agent: Mapping[str, Any],
    content: Sequence[Block],
    *,
    fence: int,
    thread_id: str,
) -> str:
    """Start a child of a thread with its first message; return the child's id.

    Raises:
        InvalidRequest: there are too many, or the thread is a child itself.
        log.Fenced: the lease has moved on.
    """
    with transaction.atomic():
        parent = lifecycle.find_thread(session_id, thread_id)
        if not parent.is_primary:
            raise InvalidRequest(f"thread {thread_id} is a child: it can make none")
        _refuse_too_many(session_id)
        child = Thread.objects.create(
            session=parent.session, parent=parent, agent_snapshot=dict(agent)
        )
        told = ThreadCreated(session_thread_id=child.pk, agent_name=name_of(child))
        _write(parent, [Draft(payload=told)], fence)
        send(session_id, child.pk, content, fence=fence, thread_id=thread_id)
    return str(child.pk)


def _refuse_too_many(session_id: str) -> None:
    rows = Thread.objects.filter(session=session_id).exclude(status=Status.TERMINATED)
    if rows.exclude(parent=None).count() >= MOST:
        raise InvalidRequest(f"session {session_id} has {MOST} child threads already")


def send(
    session_id: str,
    to: str,
    content: Sequence[Block],
    *,
    fence: int,
    thread_id: str,
) -> None:
    """Pass a message from one thread to another, and wake that one.

    Raises:
        InvalidRequest: the other thread has ended.
        log.Fenced: the lease has moved on.
    """
    with transaction.atomic():
        sender = lifecycle.find_thread(session_id, thread_id)
        receiver = lifecycle.find_thread(session_id, to)
        if receiver.status == Status.TERMINATED:
            raise InvalidRequest(f"thread {to} has ended")
        sent = ThreadMessageSent(
            to_session_thread_id=to, to_agent_name=_known(receiver), content=content
        )
        received = ThreadMessageReceived(
            from_session_thread_id=thread_id,
            from_agent_name=_known(sender),
            content=content,
        )
        _write(sender, [Draft(payload=sent)], fence)
        _write(receiver, [Draft(payload=received, queued=True)], fence)
        if not lifecycle.waits_for_answers(receiver):
            log.append(session_id, lifecycle.start(receiver), fence=fence)


def name_of(thread: Thread) -> str:
    return str(thread.agent_snapshot.get("name", ""))


def _known(thread: Thread) -> str | None:
    """The primary agent is not named, as in the field."""
    return None if thread.is_primary else name_of(thread)


def _write(thread: Thread, drafts: Sequence[Draft], fence: int) -> None:
    placed = [log.placed(thread, each) for each in drafts]
    log.append(thread.session_id, placed, fence=fence)
