"""What a host reads of a session once, and the files a turn may ask for later."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agents.models import File
from sessions import log
from sessions.harness.contract import FileUnavailable
from sessions.models import Session


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A session as it was when a host began to work on it."""

    session: Session
    files: tuple[tuple[str, Path], ...]  # where it is mounted, where its bytes lie


def load(session_id: str) -> Opened:
    """Read what all turns of a session need to know.

    Raises:
        log.SessionGone: it was deleted.
    """
    session = Session.objects.filter(pk=session_id).first()
    if session is None:
        raise log.SessionGone(session_id)
    return Opened(session=session, files=_files(session))


def _files(session: Session) -> tuple[tuple[str, Path], ...]:
    mounted = dict(session.resources.values_list("file_id", "mount_path"))
    files = File.objects.filter(pk__in=mounted)
    return tuple((mounted[file.pk], file.path) for file in files)


def read_file(workspace_id: str, file_id: str) -> tuple[str, bytes]:
    file = File.objects.filter(pk=file_id, workspace=workspace_id).first()
    if file is None or not file.path.exists():
        raise FileUnavailable(f"file {file_id} does not exist any more")
    return file.mime_type, file.path.read_bytes()
