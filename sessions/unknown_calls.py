"""What a person may do about a call whose outcome is unknown.

Look, run again, mark as done: each is an event with the person's name. A host does what
takes a sandbox (`sessions.errands`). The session's row is locked by the caller, so that
two people are answered one after the other.
"""

from __future__ import annotations

import json

from django.db import transaction

from agents.errors import Conflict, InvalidRequest, NotFound
from sessions import bus, ledger, lifecycle, log
from sessions.events import (
    AgentToolUse,
    Draft,
    EventType,
    Payload,
    Record,
    ToolLook,
    ToolMarkedDone,
    ToolRerun,
)
from sessions.ledger import Call, State
from sessions.models import Event, Session, Status, Thread
from sessions.models.session import WORKING

LINE = 200
"""Characters in which the model is reminded of what it had called."""


def look(session: Session, call_id: str, sender: str) -> Record:
    """Have the sandbox asked what it knows of a call by now."""
    call = _find(session, call_id)
    if due := _due(session, call, EventType.TOOL_LOOK):
        return due
    _refuse_settled(session, call)
    said = ToolLook(tool_use_id=call.id, call=_line(session, call), sender=sender)
    return _begin(session, call, said)


def run_again(session: Session, call_id: str, sender: str) -> Record:
    """Have a call run once more. Asked for twice, it is run once."""
    call = _find(session, call_id)
    if due := _due(session, call, EventType.TOOL_RERUN):
        return due
    _refuse_settled(session, call)
    said = ToolRerun(
        tool_use_id=call.id,
        attempt=call.attempt + 1,
        call=_line(session, call),
        sender=sender,
    )
    return _begin(session, call, said)


def mark_done(session: Session, call_id: str, sender: str) -> Record:
    """Take a person's word that a call has happened."""
    call = _find(session, call_id)
    _refuse_settled(session, call)
    said = ToolMarkedDone(tool_use_id=call.id, call=_line(session, call), sender=sender)
    thread = _thread_of(session, call)
    # Between a request and its reply nothing may come to stand before that reply.
    return _write(thread, said, queued=thread.status in WORKING)


def _find(session: Session, call_id: str) -> Call:
    call = ledger.find(session.pk, call_id)
    if call is None:
        raise NotFound(f"session {session.pk} has no tool call {call_id}")
    return call


def _due(session: Session, call: Call, kind: EventType) -> Record | None:
    """The same, asked for before and not done yet: asking again changes nothing."""
    if call.errand is None:
        return None
    return log.find(session.pk, call.errand, kind)


def _refuse_settled(session: Session, call: Call) -> None:
    if call.errand is not None:
        raise InvalidRequest(
            f"somebody is having call {call.id} looked at or run again: wait for what"
            " comes of that"
        )
    if call.state is not State.UNKNOWN:
        by = f", by {call.settled_by}" if call.settled_by else ""
        raise InvalidRequest(
            f"call {call.id} of session {session.pk} is {call.state}{by}: only where"
            " the outcome is unknown is there something to settle"
        )


def _line(session: Session, call: Call) -> str:
    use = log.record_of(Event.objects.get(session=session, pk=call.id)).payload
    assert isinstance(use, AgentToolUse)
    line = f"{use.name} {json.dumps(dict(use.input), ensure_ascii=False)}"
    return line if len(line) <= LINE else f"{line[:LINE]}…"


def _thread_of(session: Session, call: Call) -> Thread:
    thread = lifecycle.find_thread(session.pk, call.thread_id)
    if thread.status == Status.TERMINATED:
        raise Conflict(f"thread {thread.pk} of call {call.id} has ended")
    return thread


def _begin(session: Session, call: Call, said: Payload) -> Record:
    """Queue an errand and wake the thread whose call it is about."""
    thread = _thread_of(session, call)
    written = _write(thread, said, queued=True)
    log.append(session.pk, lifecycle.start(thread))
    transaction.on_commit(lambda: bus.wake_hosts(session.pk))
    return written


def _write(thread: Thread, said: Payload, *, queued: bool) -> Record:
    draft = log.placed(thread, Draft(payload=said, queued=queued))
    (written,) = log.append(thread.session_id, [draft])
    return written
