"""How long sandboxes and their files are kept: what the log says of them, and since when.

A sandbox that nobody uses is stopped, with a snapshot of its files. The files, and the
snapshot, are removed a while after they were first made, whether they were used or not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from agents.times import stamp
from sandbox.spec import Files, Origin
from sessions import log
from sessions.events import (
    Draft,
    EventType,
    SandboxOpened,
    SandboxRemoved,
    SandboxStopped,
)
from sessions.models import Event, Session, Status

TOLD = (
    EventType.SANDBOX_OPENED,
    EventType.SANDBOX_STOPPED,
    EventType.SANDBOX_REMOVED,
)
BEGINNINGS = (Files.NEW, "removed", "lost")
"""What an opened sandbox has found where its files are counted from that moment."""


def snapshot_of(session_id: str) -> Path:
    folder: Path = settings.AGENTSITE.home / "snapshots"
    return folder / f"{session_id}.tar"


def forget_snapshot(session_id: str) -> None:
    snapshot_of(session_id).unlink(missing_ok=True)


def snapshots() -> frozenset[str]:
    """The ids of sessions that have one."""
    folder = settings.AGENTSITE.home / "snapshots"
    return frozenset(path.stem for path in folder.glob("[!.]*.tar"))


def opened(origin: Origin, session_id: str) -> SandboxOpened:
    """What the log is told of a sandbox that was made."""
    files: str = origin.files
    if files == Files.NEW:
        files = _what_became(session_id)
    restored = files == Files.RESTORED
    return SandboxOpened(
        provider=origin.provider,
        files=files,
        notes=origin.notes,
        snapshot_at=_made_at(snapshot_of(session_id)) if restored else None,
    )


def _what_became(session_id: str) -> str:
    """What became of the files that a new, empty sandbox should have found."""
    last = last_told(session_id)
    if last is None:
        return Files.NEW
    return "removed" if last.type == EventType.SANDBOX_REMOVED else "lost"


def last_told(session_id: str) -> Event | None:
    """The last that the log says of the session's sandbox."""
    rows = Event.objects.filter(session=session_id, type__in=TOLD)
    return rows.order_by("-seq").first()


def provider_of(session_id: str) -> str:
    """What makes the session's sandboxes; empty where it never had one."""
    rows = Event.objects.filter(session=session_id, type=EventType.SANDBOX_OPENED)
    last = rows.order_by("-seq").first()
    return str(last.payload["provider"]) if last else ""


def _made_at(path: Path) -> str | None:
    try:
        made = datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)
    except OSError:
        return None
    return stamp(made)


# What is due.


def due_to_stop(running: Collection[str]) -> list[str]:
    """Those of the running sandboxes whose session rests for long enough."""
    idle = timedelta(minutes=settings.AGENTSITE.sandbox_idle_minutes)
    resting = Session.objects.filter(pk__in=running, status=Status.IDLE)
    return _ids(resting.filter(updated_at__lt=timezone.now() - idle))


def due_to_remove(kept: Collection[str]) -> list[str]:
    """Those of the sessions whose files were made too long ago, and that rest."""
    days = timedelta(days=settings.AGENTSITE.sandbox_days)
    resting = _ids(Session.objects.filter(pk__in=kept, status=Status.IDLE))
    return [each for each in resting if _began(each) < timezone.now() - days]


def _began(session_id: str) -> datetime:
    """When the files of a session were first made; now where nothing says so."""
    rows = Event.objects.filter(session=session_id, type=EventType.SANDBOX_OPENED)
    for row in rows.order_by("-seq"):
        if row.payload["files"] in BEGINNINGS:
            return row.created_at
    return timezone.now()


def _ids(rows: Any) -> list[str]:
    found: Iterable[str] = rows.order_by("pk").values_list("pk", flat=True)
    return list(found)


# What is told.


def tell_stopped(session_id: str, *, fault: str | None = None) -> None:
    path = snapshot_of(session_id)
    kept = path.stat().st_size if fault is None and path.exists() else None
    minutes = settings.AGENTSITE.sandbox_idle_minutes
    _tell(
        session_id,
        SandboxStopped(idle_minutes=minutes, snapshot_bytes=kept, fault=fault),
    )


def tell_removed(session_id: str) -> None:
    _tell(session_id, SandboxRemoved(days=settings.AGENTSITE.sandbox_days))


def _tell(session_id: str, payload: SandboxStopped | SandboxRemoved) -> None:
    log.append(session_id, [Draft(payload=payload)])
