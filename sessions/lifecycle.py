"""The life of a session: the only writer of statuses.

Status and the events that tell of it change in one transaction. Leases, which say who
may work on a session, are in `sessions.leases`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone

from sessions import leases, log, usage
from sessions.events import (
    Draft,
    EventType,
    Payload,
    Record,
    SessionError,
    SessionStatusIdle,
    SessionStatusRescheduled,
    SessionStatusRunning,
    SessionStatusTerminated,
    SessionUsage,
    ThreadStatus,
    ThreadStatusIdle,
    ThreadStatusRescheduled,
    ThreadStatusRunning,
    ThreadStatusTerminated,
)
from sessions.harness.contract import END_TURN, RETRIES_EXHAUSTED, Ending
from sessions.harness.standing import failures
from sessions.models import Event, Session, Status, Thread
from sessions.models.session import WORKING

FAULTS = 5
"""How often in a row a turn may fail on our side before it is given up."""


def start(thread: Thread) -> list[Draft]:
    """Set the idle session of a primary thread running; return what tells of it.

    The caller appends them in the same transaction, behind what woke the session.
    """
    moment = timezone.now()
    idle = Session.objects.filter(pk=thread.session_id, status=Status.IDLE)
    woken = idle.update(
        status=Status.RUNNING, stop_reason=None, running_since=moment, updated_at=moment
    )
    if not woken:
        return []
    _set_thread(thread, Status.RUNNING)
    return [
        Draft(payload=SessionStatusRunning()),
        Draft(payload=ThreadStatusRunning(**_naming(thread))),
    ]


def finish(
    session_id: str,
    *,
    fence: int,
    ending: Ending = END_TURN,
    cut: bool = False,
) -> bool:
    """End a turn: usage, idle and the lease's release in one transaction.

    Returns false where input waits: the lease is kept and the work goes on, within the
    same turn, or, where the turn was `cut` short, in a new one after this one's idle.
    An interrupt that came too late to stop anything is taken in, and cuts it short too.

    Raises:
        log.Fenced: the lease has moved on.
    """
    with transaction.atomic():
        _hold(session_id, fence)
        queued = log.queued_types(session_id)
        if EventType.USER_INTERRUPT in queued:
            log.take_in_interrupts(session_id, fence=fence)
            queued, cut = log.queued_types(session_id), True
        waiting = EventType.USER_MESSAGE in queued
        if waiting and not cut:
            return False
        thread = _primary(session_id)
        _go_idle(thread, fence, ending, release=not waiting)
        if waiting:
            _append(thread, start(thread), fence)
    return not waiting


def _go_idle(
    thread: Thread, fence: int, ending: Ending, *, release: bool = True
) -> None:
    why: dict[str, Any] = {
        "stop_reason": ending.stop_reason,
        "stop_details": ending.stop_details,
    }
    told = [
        Draft(payload=SessionUsage(usage=usage.usage_of(thread.session))),
        Draft(payload=ThreadStatusIdle(**_naming(thread), **why)),
        Draft(payload=SessionStatusIdle(**why)),
    ]
    _rest(thread.session, Status.IDLE, ending.stop_reason, release=release)
    _set_thread(thread, Status.IDLE, ending.stop_reason)
    _append(thread, told, fence)


def _rest(
    session: Session,
    status: Status,
    stop_reason: Mapping[str, Any] | None,
    *,
    release: bool = True,
) -> None:
    """Stop the clock; with `release` let go of the lease too."""
    freed = {"owner": "", "lease_until": None} if release else {}
    Session.objects.filter(pk=session.pk).update(
        status=status,
        stop_reason=stop_reason,
        active_seconds=usage.active_seconds(session),
        running_since=None,
        updated_at=timezone.now(),
        **freed,
    )


def reschedule(session_id: str, *, fence: int) -> None:
    """A fault that passes: the session waits, and keeps its host."""
    _shift(session_id, fence, Status.RESCHEDULING)


def go_on(session_id: str, *, fence: int) -> None:
    """The wait of `reschedule` is over."""
    _shift(session_id, fence, Status.RUNNING)


def _shift(session_id: str, fence: int, status: Status) -> None:
    with transaction.atomic():
        _hold(session_id, fence)
        Session.objects.filter(pk=session_id).update(status=status)
        thread = _primary(session_id)
        _set_thread(thread, status)
        told = [_SHIFTS[status][0](), _SHIFTS[status][1](**_naming(thread))]
        _append(thread, [Draft(payload=payload) for payload in told], fence)


_SHIFTS: dict[Status, tuple[type[Payload], type[ThreadStatus]]] = {
    Status.RESCHEDULING: (SessionStatusRescheduled, ThreadStatusRescheduled),
    Status.RUNNING: (SessionStatusRunning, ThreadStatusRunning),
}


def set_back(session_id: str, *, fence: int, fault: str) -> None:
    """A turn failed on our side: say so, and have any host try again a little later.

    After `FAULTS` times in a row the turn ends, since nothing suggests that it will go.

    Raises:
        log.Fenced: the lease has moved on.
    """
    with transaction.atomic():
        _hold(session_id, fence)
        thread = _primary(session_id)
        before = failures(log.records(session_id, thread_id=thread.pk))
        if before >= FAULTS:
            _append(thread, [_fault(session_id, fault, "exhausted")], fence)
            _go_idle(thread, fence, RETRIES_EXHAUSTED)
            return
        _append(thread, [_fault(session_id, fault, "retrying")], fence)
        if thread.session.status == Status.RUNNING:
            reschedule(session_id, fence=fence)
        leases.put_off(session_id, fence=fence, seconds=2.0 ** (before + 1))


def _fault(session_id: str, fault: str, retry: str) -> Draft:
    message = (
        f"The turn of session {session_id} failed on the platform's side ({fault}); the"
        " worker's log says where. Nothing that was done is lost."
    )
    error = {
        "type": "unknown_error",
        "message": message,
        "retry_status": {"type": retry},
    }
    return Draft(payload=SessionError(error=error))


def _hold(session_id: str, fence: int) -> None:
    """Lock the row, so that no input can arrive between the look and the idle."""
    if not Session.objects.filter(pk=session_id, fence=fence).update(fence=fence):
        raise log.Fenced(f"{session_id} is no longer held with fence {fence}")


def archive(session: Session) -> bool:
    """Make an idle session read-only; false where it is working."""
    with transaction.atomic():
        resting = Session.objects.filter(pk=session.pk, archived_at=None)
        ended = resting.filter(status=Status.TERMINATED).update(**_archived())
        if ended:
            return True
        gone = resting.filter(status=Status.IDLE).update(**_archived())
        if gone:
            thread = _primary(session.pk)
            _append(thread, _terminated(thread))
    return bool(gone)


def _archived() -> dict[str, Any]:
    moment = timezone.now()
    return {
        "archived_at": moment,
        "status": Status.TERMINATED,
        "updated_at": moment,
    }


def _terminated(thread: Thread) -> list[Draft]:
    _set_thread(thread, Status.TERMINATED)
    return [
        Draft(payload=ThreadStatusTerminated(**_naming(thread))),
        Draft(payload=SessionStatusTerminated()),
    ]


def terminate(session_id: str, *, fence: int, error: Mapping[str, Any]) -> None:
    """End a session that cannot be recovered; the error says why."""
    with transaction.atomic():
        _hold(session_id, fence)
        thread = _primary(session_id)
        told = [
            Draft(payload=SessionError(error=error)),
            Draft(payload=SessionUsage(usage=usage.usage_of(thread.session))),
            *_terminated(thread),
        ]
        _rest(thread.session, Status.TERMINATED, None)
        _append(thread, told, fence)


def append_and_count(
    session_id: str, drafts: Sequence[Draft], *, fence: int, thread_id: str
) -> list[Record]:
    """Append a turn's events; model usage among them is summed with the same commit."""
    if not any(usage.ends_request(draft) for draft in drafts):
        return log.append(session_id, drafts, fence=fence, thread_id=thread_id)
    with transaction.atomic():
        written = log.append(session_id, drafts, fence=fence, thread_id=thread_id)
        usage.count(session_id, thread_id, drafts)
    return written


def forget(session_id: str) -> bool:
    """Delete a session and its log; false where it is working."""
    with transaction.atomic():
        resting = Session.objects.filter(pk=session_id).exclude(status__in=WORKING)
        if not resting.update(status=Status.TERMINATED):
            return False
        Event.objects.filter(session=session_id).delete()
        Session.objects.filter(pk=session_id).delete()
    return True


def _primary(session_id: str) -> Thread:
    """The primary thread as it is now, and the session with it."""
    threads = Thread.objects.select_related("session")
    found = threads.filter(session=session_id, parent=None).first()
    if found is None:
        raise log.SessionGone(session_id)
    return found


def _set_thread(
    thread: Thread, status: Status, stop_reason: Mapping[str, Any] | None = None
) -> None:
    Thread.objects.filter(pk=thread.pk).update(
        status=status, stop_reason=stop_reason, updated_at=timezone.now()
    )


def _append(thread: Thread, drafts: Sequence[Draft], fence: int | None = None) -> None:
    log.append(thread.session_id, drafts, fence=fence, thread_id=thread.pk)


def _naming(thread: Thread) -> dict[str, Any]:
    return {
        "session_thread_id": thread.pk,
        "agent_name": thread.agent_snapshot.get("name", ""),
    }
