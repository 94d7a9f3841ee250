"""Leases: which host works on which session, since which claim, and until when.

A session that is working and whose lease is free is claimable. A claim raises the
fence, so that whoever held the lease before can no longer write.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.db import connection, transaction
from django.db.models import BooleanField, F, Q
from django.db.models.expressions import RawSQL

from sessions import bus
from sessions.models import Session

LEASE_SECONDS = 15.0
"""How long a host that says nothing keeps its sessions, where its death goes unseen."""

JUMP_SECONDS = 5.0
"""What a lease can spare: by so much a clock may be off, or a look be late."""

RETRY_SECONDS = 2.0
LONGEST_RETRY = 300.0

# Word for word the condition of the index `session_claimable`: with parameters in its
# place SQLite reads every session there is, several times a second.
WORKING = RawSQL(
    "status IN ('running', 'rescheduling')", [], output_field=BooleanField()
)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A session that a host now holds."""

    session_id: str
    fence: int
    taken_over: bool  # somebody held it before and did not give it back
    seconds_lost: float | None = None  # since that one was last heard of


def lease_clock() -> float:
    """Seconds on a clock that nobody sets.

    PostgreSQL's own on several machines; on SQLite, which is one machine, the boot
    clock, since its `now()` is the wall clock.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
            return float(cursor.fetchone()[0])
    return boot_clock()


def boot_clock() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Trust:
    """Whether a host may call leases over by their time.

    PostgreSQL's clock is the wall clock of its machine, and somebody may set it. And
    while the database was out of reach nobody could renew. After either, everybody
    gets the time to renew before anybody's sessions are taken for that.
    """

    def __init__(self) -> None:
        self._looked = self._offset = -math.inf
        self._from = math.inf

    def look(self, now: float) -> bool:
        """Say so of the lease clock's `now`; to be asked at each look for work."""
        here = boot_clock()
        is_late = here - self._looked > JUMP_SECONDS
        has_jumped = abs(now - here - self._offset) > JUMP_SECONDS
        if is_late or has_jumped:
            self._from = here + LEASE_SECONDS
        self._looked, self._offset = here, now - here
        return here >= self._from


@cache
def boot_id() -> str:
    """Which boot of this machine this is; the boot clock begins anew with each."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]


def claimable(now: float, *, by_time: bool = True) -> Q:
    """The condition under which a session may be claimed.

    Without `by_time` only what was given back, or held by a host that is known to be
    dead.
    """
    free = Q(owner="") | Q(lease_until__lt=now if by_time else 0)
    if by_time:  # what nobody renewed since the clock was set back
        free |= Q(lease_until__gt=now + LEASE_SECONDS + JUMP_SECONDS)
    if connection.vendor == "sqlite":
        free |= ~Q(owner__startswith=boot_id())
    # What lies further ahead than any retry was set before the machine booted anew.
    ahead = Q(retry_at__gt=now + LONGEST_RETRY)
    due = Q(retry_at=None) | Q(retry_at__lte=now) | ahead
    return Q(WORKING) & due & free


def waiting_count(among: Q | None = None) -> int:
    """How many sessions wait for a host."""
    return Session.objects.filter(among or claimable(lease_clock())).count()


def claim(host: str, limit: int, among: Q | None = None) -> list[Claim]:
    """Take up to `limit` sessions for a host, oldest wait first."""
    if limit < 1:
        return []
    with transaction.atomic():
        now = lease_clock()
        among = among or claimable(now)
        waiting = Session.objects.filter(among).order_by("updated_at")
        # What another host is just claiming is left to it; SQLite knows one writer.
        found = waiting.select_for_update(skip_locked=True).only(
            "pk", "owner", "fence", "lease_until"
        )[:limit]
        return [_claimed(session, host, now) for session in found]


def _claimed(session: Session, host: str, now: float) -> Claim:
    Session.objects.filter(pk=session.pk).update(
        owner=host,
        fence=F("fence") + 1,
        lease_until=now + LEASE_SECONDS,
        retry_at=None,
    )
    return Claim(
        session_id=session.pk,
        fence=session.fence + 1,
        taken_over=bool(session.owner),
        seconds_lost=_silence(session, now) if session.owner else None,
    )


def _silence(session: Session, now: float) -> float | None:
    """Seconds since the lease was last renewed; null where another boot did it."""
    renewed = abs(session.lease_until or 0) - LEASE_SECONDS
    return round(now - renewed, 1) if 0 < renewed < now else None


def renew(host: str, session_ids: Collection[str]) -> dict[str, int]:
    """Renew leases; return the fence of each session the host still holds."""
    if not session_ids:
        return {}
    until = lease_clock() + LEASE_SECONDS
    held = Session.objects.filter(owner=host, pk__in=session_ids)
    held.update(lease_until=until)
    return dict(held.values_list("pk", "fence"))


def hand_back(host: str) -> int:
    """Give every lease back, so that another host may go on at once."""
    count = Session.objects.filter(WORKING, owner=host).update(
        owner="", lease_until=None
    )
    if count:
        transaction.on_commit(lambda: bus.wake_hosts(""))
    return count


def let_go(session_id: str) -> None:
    """Release the lease of a session whose work is done. Joins the transaction."""
    Session.objects.filter(pk=session_id).update(owner="", lease_until=None)


def put_off(session_id: str, *, fence: int, seconds: float = RETRY_SECONDS) -> None:
    """Let go of a session that this host could not work on; any host tries it soon."""
    Session.objects.filter(pk=session_id, fence=fence).update(
        owner="", lease_until=None, retry_at=lease_clock() + seconds
    )


def owners() -> set[str]:
    """The hosts that hold sessions now."""
    held = Session.objects.filter(WORKING, lease_until__gt=0).exclude(owner="")
    return set(held.values_list("owner", flat=True).distinct())


def expire(hosts: Collection[str]) -> int:
    """Let go of what dead hosts held. The owner stays named: it is a take-over."""
    if not hosts:
        return 0
    held = Session.objects.filter(WORKING, owner__in=hosts, lease_until__gt=0)
    # Below zero it is over, and still tells when it was renewed last.
    return held.update(lease_until=-F("lease_until"))
