"""Files: rows, and the bytes in the state directory under the file's id."""

from __future__ import annotations

import hashlib
import mimetypes
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet, Sum
from django.utils import timezone

from agents.actors import Actor
from agents.errors import InvalidRequest, NotFound, TooLarge
from agents.ids import new_id
from agents.lookup import find, rows
from agents.models import Act, File, Workspace

UNKNOWN_TYPE = "application/octet-stream"
TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)
LONGEST_TYPE = 255
LONGEST_PATH = 1024
ABANDONED_SECONDS = 24 * 3600
MB = 1024 * 1024
GB = 1024 * MB


@dataclass(frozen=True, kw_only=True)
class Room:
    """How much a file may hold, by itself and beside the workspace's others."""

    most: int
    left: int

    def refuse(self, size: int) -> None:
        """Hold a size to both limits.

        Raises:
            TooLarge: the file is larger than one may be.
            InvalidRequest: the workspace has no room for it.
        """
        if size > self.most:
            raise TooLarge(f"the file is larger than {self.most // MB} MB")
        if size > self.left:
            raise InvalidRequest(
                "the files of this workspace have reached their limit"
                f" (AGENTSITE_FILES_GB): {max(self.left, 0) / MB:.1f} MB are free;"
                " delete files that are not needed any more",
                details={"error_code": "storage_limit_reached"},
            )


class Incoming:
    """Bytes on their way in: on the disk, and in no row yet."""

    def __init__(self, room: Room) -> None:
        folder: Path = settings.AGENTSITE.home / "files" / "incoming"
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / new_id("file")
        self.size = 0
        self._room = room
        self._digest = hashlib.sha256()
        self._out = self.path.open("xb")

    def write(self, chunk: bytes) -> None:
        """Take more. Raises TooLarge or InvalidRequest where there is no room."""
        self.size += len(chunk)
        self._room.refuse(self.size)
        self._out.write(chunk)
        self._digest.update(chunk)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def close(self) -> None:
        self._out.close()

    def discard(self) -> None:
        """Forget what came in, unless it was adopted."""
        self._out.close()
        self.path.unlink(missing_ok=True)


def upload(
    actor: Actor,
    *,
    filename: str,
    mime_type: str,
    chunks: Iterable[bytes],
    expires_in: int | None = None,
) -> File:
    """Keep what somebody uploads. It can be mounted, not downloaded."""
    actor.require(Act.RUN)
    lifetime = timedelta(seconds=expires_in) if expires_in is not None else None
    return store(
        actor.workspace,
        filename=filename,
        mime_type=mime_type,
        chunks=chunks,
        expires_at=timezone.now() + lifetime if lifetime else None,
    )


def store(
    workspace: Workspace,
    *,
    filename: str,
    chunks: Iterable[bytes],
    mime_type: str = "",
    scope_id: str = "",
    downloadable: bool = False,
    expires_at: datetime | None = None,
) -> File:
    """Write the bytes, then the row: a row never points at nothing."""
    incoming = Incoming(room(workspace.pk))
    try:
        for chunk in chunks:
            incoming.write(chunk)
        incoming.close()
        return adopt(
            incoming,
            workspace_id=workspace.pk,
            filename=filename,
            mime_type=mime_type,
            scope_id=scope_id,
            downloadable=downloadable,
            expires_at=expires_at,
        )
    finally:
        incoming.discard()


def adopt(
    incoming: Incoming,
    *,
    workspace_id: str,
    filename: str,
    mime_type: str = "",
    **fields: Any,
) -> File:
    """Make a row of bytes that have come in whole; other fields are the row's."""
    name = safe_name(filename)
    file = File(
        id=new_id("file"),
        workspace_id=workspace_id,
        filename=name,
        mime_type=_type_of(name, mime_type),
        size_bytes=incoming.size,
        sha256=incoming.sha256,
        **fields,
    )
    file.path.parent.mkdir(parents=True, exist_ok=True)
    incoming.path.replace(file.path)
    file.save(force_insert=True)
    return file


def _type_of(name: str, said: str) -> str:
    """The type that was said, where it is one; else the one that the name tells."""
    if len(said) <= LONGEST_TYPE and TYPE.fullmatch(said):
        return said
    return mimetypes.guess_type(name)[0] or UNKNOWN_TYPE


def room(workspace_id: str) -> Room:
    """What one more file may hold."""
    conf = settings.AGENTSITE
    left = conf.files_gb * GB - used_bytes(workspace_id)
    return Room(most=conf.file_mb * MB, left=left)


def used_bytes(workspace_id: str) -> int:
    """What counts: uploads and what sessions put out, not the copies they mount."""
    counted = Q(scope_id="") | Q(downloadable=True)
    found = File.objects.filter(counted, workspace=workspace_id)
    return found.aggregate(sum=Sum("size_bytes"))["sum"] or 0


def copy_to_session(file: File, session_id: str) -> File:
    """Return a copy that belongs to a session and goes with it."""
    copy = File(
        id=new_id("file"),
        workspace_id=file.workspace_id,
        filename=file.filename,
        mime_type=file.mime_type,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        scope_id=session_id,
    )
    copy.path.parent.mkdir(parents=True, exist_ok=True)
    os.link(file.path, copy.path)  # files are never changed in place
    copy.save(force_insert=True)
    return copy


def find_file(actor: Actor, file_id: str) -> File:
    """Return a file that is still there.

    Raises:
        NotFound: unknown here, or expired.
    """
    file = find(File, actor, file_id)
    if file.expires_at is not None and file.expires_at <= timezone.now():
        raise NotFound(
            f"file {file_id} has expired", details={"error_code": "file_expired"}
        )
    return file


def listed(actor: Actor) -> QuerySet[File]:
    """Every file that has not expired."""
    living = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    return rows(File, actor).filter(living)


def downloadable(actor: Actor, file_id: str) -> File:
    """Return a file whose bytes the caller may have.

    Raises:
        InvalidRequest: it was uploaded; only what a session made can be downloaded.
    """
    file = find_file(actor, file_id)
    if not file.downloadable:
        raise InvalidRequest(
            f"file {file_id} was uploaded and cannot be downloaded",
            details={"error_code": "file_not_downloadable"},
        )
    return file


def delete_file(actor: Actor, file_id: str) -> None:
    actor.require(Act.RUN)
    remove(find(File, actor, file_id))


def delete_session_files(session_id: str) -> None:
    """Remove everything that belongs to a session."""
    for file in File.objects.filter(scope_id=session_id):
        remove(file)


def delete_expired() -> None:
    for file in File.objects.filter(expires_at__lt=timezone.now()):
        remove(file)


def delete_abandoned() -> None:
    """Remove what was coming in when its process died."""
    folder: Path = settings.AGENTSITE.home / "files" / "incoming"
    for path in folder.glob("*"):
        if path.stat().st_mtime < time.time() - ABANDONED_SECONDS:
            path.unlink(missing_ok=True)


def delete_left_behind(living: QuerySet[Any, Any]) -> None:
    """Remove files of sessions that are gone: their deletion was cut off midway."""
    scoped = File.objects.exclude(scope_id="").exclude(scope_id__in=living)
    for file in scoped:
        remove(file)


def safe_name(filename: str) -> str:
    """The last component of a name, short enough to keep; `unnamed` for none."""
    name = PurePosixPath(filename.replace("\\", "/")).name
    name = "".join(letter for letter in name if letter.isprintable())
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 - keeps a leading dot whole
    short = stem[: 255 - len(suffix[:32])] + suffix[:32]
    return short if short.strip(".") else "unnamed"


def remove(file: File) -> None:
    """The row first: bytes without a row are never shown."""
    path = file.path
    file.delete()
    path.unlink(missing_ok=True)
