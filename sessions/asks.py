"""Calls that wait for somebody: which ones there are, as the log has it."""

from __future__ import annotations

from django.db.models import Q

from sessions import log
from sessions.events import EventType, Record
from sessions.harness.standing import OpenCall, open_calls
from sessions.models import Event

CALLS = (EventType.AGENT_TOOL_USE, EventType.AGENT_CUSTOM_TOOL_USE)
ANSWERS = (
    EventType.AGENT_TOOL_RESULT,
    EventType.USER_TOOL_CONFIRMATION,
    EventType.USER_CUSTOM_TOOL_RESULT,
)


def waiting(session_id: str, thread_id: str) -> list[str]:
    """Return the ids of a thread's calls that nobody has answered yet, in order."""
    return [each.call.id for each in unsettled(session_id, thread_id) if each.waits]


def unsettled(session_id: str, thread_id: str) -> list[OpenCall]:
    """Return a thread's calls without a result. Words not yet taken in count."""
    rows = log.since_reply(session_id, thread_id).filter(type__in=[*CALLS, *ANSWERS])
    return open_calls([log.record_of(row) for row in rows])


def find_call(session_id: str, call_id: str) -> Record | None:
    """Return the event of a call, whatever became of it."""
    row = Event.objects.filter(session_id=session_id, pk=call_id, type__in=CALLS)
    found = row.first()
    return log.record_of(found) if found else None


def is_answered(session_id: str, call_id: str) -> bool:
    """Say whether a call has its result."""
    rows = Event.objects.filter(session_id=session_id)
    by_platform = Q(type=EventType.AGENT_TOOL_RESULT, payload__tool_use_id=call_id)
    by_client = Q(
        type=EventType.USER_CUSTOM_TOOL_RESULT, payload__custom_tool_use_id=call_id
    )
    return rows.filter(by_platform | by_client).exists()
