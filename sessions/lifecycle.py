"""The life of a session: the only writer of statuses and of leases.

A session that is running (or whose retry is due) and whose lease is free is claimable.
A claim raises the fence, so that whoever held the lease before can no longer write.
Status and the events that tell of it change in one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Q
from django.utils import timezone

from sessions import bus, log
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
from sessions.models import Event, Session, Status, Thread
from sessions.models.session import WORKING

LEASE_SECONDS = 15.0
"""How long a host that says nothing keeps its sessions, where its death goes unseen."""

RETRY_SECONDS = 2.0

END_TURN: Mapping[str, Any] = {"type": "end_turn"}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A session that a host now holds."""

    session_id: str
    fence: int
    taken_over: bool  # somebody held it before and did not give it back


def lease_clock() -> float:
    """Seconds on a clock that nobody sets.

    PostgreSQL's own on several machines; on SQLite, which is one machine, the boot
    clock, since its `now()` is the wall clock.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
            return float(cursor.fetchone()[0])
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@cache
def boot_id() -> str:
    """Which boot of this machine this is; the boot clock begins anew with each."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]


def claimable(now: float) -> Q:
    """The condition under which a session may be claimed."""
    free = Q(owner="") | Q(lease_until__lt=now)
    if connection.vendor == "sqlite":
        free |= ~Q(owner__startswith=boot_id())
    due = Q(status__in=WORKING) & (Q(retry_at=None) | Q(retry_at__lte=now))
    return due & free


def claim(host: str, limit: int) -> list[Claim]:
    """Take up to `limit` sessions for a host, oldest wait first, by compare-and-set."""
    if limit < 1:
        return []
    with transaction.atomic():
        now = lease_clock()
        waiting = Session.objects.filter(claimable(now)).order_by("updated_at")
        found = list(waiting.values_list("pk", "owner")[:limit])
        return [
            Claim(session_id=pk, fence=fence, taken_over=bool(owner))
            for pk, owner in found
            if (fence := _claim_one(pk, host, now))
        ]


def _claim_one(session_id: str, host: str, now: float) -> int:
    """Return the new fence, or 0 where another host was quicker."""
    mine = Session.objects.filter(claimable(now), pk=session_id).update(
        owner=host,
        fence=F("fence") + 1,
        lease_until=now + LEASE_SECONDS,
        retry_at=None,
    )
    if not mine:
        return 0
    return Session.objects.values_list("fence", flat=True).get(pk=session_id)


def waiting_count() -> int:
    """How many sessions wait for a host."""
    return Session.objects.filter(claimable(lease_clock())).count()


def renew(host: str, session_ids: Collection[str]) -> dict[str, int]:
    """Renew leases; return the fence of each session the host still holds."""
    until = lease_clock() + LEASE_SECONDS
    held = Session.objects.filter(owner=host, pk__in=session_ids)
    held.update(lease_until=until)
    return dict(held.values_list("pk", "fence"))


def hand_back(host: str, session_ids: Collection[str] | None = None) -> int:
    """Give leases back, so that another host may go on at once."""
    held = Session.objects.filter(owner=host)
    if session_ids is not None:
        held = held.filter(pk__in=session_ids)
    count = held.update(owner="", lease_until=None)
    if count:
        transaction.on_commit(lambda: bus.wake_hosts(""))
    return count


def retry_later(session_id: str, fence: int) -> None:
    """Let go of a turn that this host could not run; any host tries again soon."""
    held = Session.objects.filter(pk=session_id, fence=fence)
    held.update(lease_until=lease_clock() + RETRY_SECONDS)


def expire(hosts: Collection[str]) -> int:
    """Let go of what dead hosts held. The owner stays named: it is a take-over."""
    if not hosts:
        return 0
    held = Session.objects.filter(owner__in=hosts, lease_until__gt=0)
    return held.update(lease_until=0)


def owners() -> set[str]:
    """The hosts that hold sessions now."""
    held = Session.objects.exclude(owner="").filter(status__in=WORKING)
    return set(held.values_list("owner", flat=True).distinct())


def start(session: Session) -> list[Draft]:
    """Set an idle session running; return the events that tell of it.

    The caller appends them in the same transaction, behind what woke the session.
    """
    woken = Session.objects.filter(pk=session.pk, status=Status.IDLE).update(
        status=Status.RUNNING,
        stop_reason=None,
        running_since=timezone.now(),
        updated_at=timezone.now(),
    )
    if not woken:
        return []
    thread = session.threads.get(parent=None)
    Thread.objects.filter(pk=thread.pk).update(status=Status.RUNNING, stop_reason=None)
    return [
        Draft(payload=SessionStatusRunning()),
        Draft(payload=ThreadStatusRunning(**_naming(thread))),
    ]


def finish(
    session_id: str,
    *,
    fence: int,
    stop_reason: Mapping[str, Any] = END_TURN,
    stop_details: Mapping[str, Any] | None = None,
    cut: bool = False,
) -> bool:
    """End a turn: usage, idle and the lease's release in one transaction.

    Returns false where input waits: the lease is kept and the work goes on, within the
    same turn, or, where the turn was `cut` short, in a new one after this one's idle.

    Raises:
        log.Fenced: the lease has moved on.
    """
    with transaction.atomic():
        _hold(session_id, fence)
        waiting = log.has_input(session_id)
        if waiting and not cut:
            return False
        session = Session.objects.get(pk=session_id)
        _go_idle(session, fence, stop_reason, stop_details)
        if waiting:
            log.append(session_id, start(session), fence=fence)
        else:
            Session.objects.filter(pk=session_id).update(owner="", lease_until=None)
    return not waiting


def _go_idle(
    session: Session,
    fence: int,
    stop_reason: Mapping[str, Any],
    stop_details: Mapping[str, Any] | None,
) -> None:
    thread = session.threads.get(parent=None)
    _settle(session, thread, stop_reason)
    why: dict[str, Any] = {"stop_reason": stop_reason, "stop_details": stop_details}
    told = [
        Draft(payload=SessionUsage(usage=usage_of(session))),
        Draft(payload=ThreadStatusIdle(**_naming(thread), **why)),
        Draft(payload=SessionStatusIdle(**why)),
    ]
    log.append(session.pk, told, fence=fence)


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
        thread = Thread.objects.get(session=session_id, parent=None)
        Thread.objects.filter(pk=thread.pk).update(status=status)
        told = [_SHIFTS[status][0](), _SHIFTS[status][1](**_naming(thread))]
        log.append(
            session_id, [Draft(payload=payload) for payload in told], fence=fence
        )


_SHIFTS: dict[Status, tuple[type[Payload], type[ThreadStatus]]] = {
    Status.RESCHEDULING: (SessionStatusRescheduled, ThreadStatusRescheduled),
    Status.RUNNING: (SessionStatusRunning, ThreadStatusRunning),
}


def _hold(session_id: str, fence: int) -> None:
    """Lock the row, so that no input can arrive between the look and the idle."""
    if not Session.objects.filter(pk=session_id, fence=fence).update(fence=fence):
        raise log.Fenced(f"{session_id} is no longer held with fence {fence}")


def _settle(session: Session, thread: Thread, stop_reason: Mapping[str, Any]) -> None:
    session.active_seconds += _seconds_running(session)
    session.running_since = None
    session.status = Status.IDLE
    session.stop_reason = dict(stop_reason)
    session.save(
        update_fields=[
            "active_seconds",
            "running_since",
            "status",
            "stop_reason",
            "updated_at",
        ]
    )
    Thread.objects.filter(pk=thread.pk).update(
        status=Status.IDLE, stop_reason=dict(stop_reason), usage=session.usage
    )


def _seconds_running(session: Session) -> float:
    if session.running_since is None:
        return 0.0
    return max(0.0, (timezone.now() - session.running_since).total_seconds())


def count_usage(session_id: str, usage: Mapping[str, Any]) -> None:
    """Add one model request's usage to the session's sum. Joins the outer transaction."""
    session = Session.objects.only("usage").get(pk=session_id)
    summed = {**session.usage}
    for name in (
        "input_tokens",
        "output_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
    ):
        summed[name] = summed.get(name, 0) + int(usage.get(name) or 0)
    Session.objects.filter(pk=session_id).update(usage=summed)


def usage_of(session: Session) -> dict[str, Any]:
    """The usage object of the wire, running time included."""
    usage = session.usage
    active = session.active_seconds + _seconds_running(session)
    return {
        "input_tokens": usage.get("input_tokens", 0),
        "output_tokens": usage.get("output_tokens", 0),
        "cache_read_input_tokens": usage.get("cache_read_input_tokens", 0),
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.get("cache_creation_input_tokens", 0),
            "ephemeral_1h_input_tokens": 0,
        },
        "server_tool_use": {"web_search_requests": 0, "web_fetch_requests": 0},
        "active_seconds": round(active, 3),
    }


def archive(session: Session) -> bool:
    """Make an idle session read-only; false where it is working."""
    with transaction.atomic():
        moment = timezone.now()
        gone = Session.objects.filter(
            pk=session.pk, status__in=[Status.IDLE, Status.TERMINATED], archived_at=None
        ).update(archived_at=moment, status=Status.TERMINATED, updated_at=moment)
        if gone and session.status != Status.TERMINATED:
            log.append(session.pk, _terminated(session))
    return bool(gone)


def terminate(session_id: str, *, fence: int, error: Mapping[str, Any]) -> None:
    """End a session that cannot be recovered; the error says why."""
    with transaction.atomic():
        _hold(session_id, fence)
        session = Session.objects.get(pk=session_id)
        told = [
            Draft(payload=SessionError(error=error)),
            Draft(payload=SessionUsage(usage=usage_of(session))),
            *_terminated(session),
        ]
        log.append(session_id, told, fence=fence)
        Session.objects.filter(pk=session_id).update(
            status=Status.TERMINATED, owner="", lease_until=None
        )


def _terminated(session: Session) -> list[Draft]:
    thread = session.threads.get(parent=None)
    Thread.objects.filter(pk=thread.pk).update(status=Status.TERMINATED)
    return [
        Draft(payload=ThreadStatusTerminated(**_naming(thread))),
        Draft(payload=SessionStatusTerminated()),
    ]


def settle_idle_interrupts(session_id: str) -> None:
    """Take in an interrupt that found nothing to stop."""
    idle = Session.objects.filter(pk=session_id, status=Status.IDLE)
    fence = idle.values_list("fence", flat=True).first()
    if fence is not None:
        log.take_in(session_id, fence=fence, types=[EventType.USER_INTERRUPT])


def append_and_count(
    session_id: str, drafts: Sequence[Draft], *, fence: int, thread_id: str
) -> list[Record]:
    """Append a turn's events; model usage among them is summed with the same commit."""
    with transaction.atomic():
        written = log.append(session_id, drafts, fence=fence, thread_id=thread_id)
        for payload in _requests_ended(drafts):
            count_usage(session_id, payload.to_json()["model_usage"])
    return written


def _requests_ended(drafts: Sequence[Draft]) -> list[Payload]:
    return [
        draft.payload
        for draft in drafts
        if draft.payload.type is EventType.MODEL_REQUEST_END
    ]


def _naming(thread: Thread) -> dict[str, Any]:
    return {
        "session_thread_id": thread.pk,
        "agent_name": thread.agent_snapshot.get("name", ""),
    }


def forget(session_id: str) -> bool:
    """Delete a session and its log; false where it is working."""
    with transaction.atomic():
        resting = Session.objects.filter(pk=session_id).exclude(status__in=WORKING)
        if not resting.update(status=Status.TERMINATED):
            return False
        Event.objects.filter(session=session_id).delete()
        Session.objects.filter(pk=session_id).delete()
    return True
