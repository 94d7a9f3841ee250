"""What a sandbox hands back: /mnt/session/outputs, captured into Files.

The host opens no path of the sandbox: names and bytes come from its tool server, and a
name is only a label here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from django.db import transaction

from agents import files
from agents.errors import ApiError, InvalidRequest
from agents.models import File
from sandbox.base import Sandbox
from sandbox.errors import FileUnavailable, SandboxError
from sandbox.spec import OUTPUTS, FoundFile
from sessions import log
from sessions.database import Database
from sessions.events import Draft, OutputsCaptured
from sessions.models import Session

logger = logging.getLogger(__name__)

CAPTURE_SECONDS = 120.0
CUT_SECONDS = 10.0
"""How long the end of a turn waits for outputs; the second where it was interrupted."""
MOST = 1_000
"""Files that one session hands back."""
LISTED = 20_000
"""Files that are looked at; what lies beyond them is not seen at all."""
BATCH_FILES, BATCH_BYTES = 50, 64 * 1024 * 1024
"""What is fetched before it is kept: a capture that is cut off loses no more."""
NAMED = 20
"""Files that are named in the log of those that were left out."""


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A file whose bytes are here, and not yet shown."""

    found: FoundFile
    bytes: files.Incoming


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A file that cannot be kept, and why; without a path it is not one alone."""

    path: str
    reason: str


class Outputs:
    """Captures what changed since it last looked; one capture at a time."""

    def __init__(
        self, *, session: Session, fence: int | None, database: Database
    ) -> None:
        self._session = session
        self._fence = fence
        self._database = database
        self._captured: dict[str, str] | None = None  # marks by label
        self._refused: dict[str, str] = {}  # marks by label, of what was told already
        self._turn = asyncio.Lock()
        self._soon: asyncio.Task[None] | None = None

    def capture_soon(self, sandbox: Sandbox) -> None:
        """Beside what comes next; whoever waits for all of it captures once more."""
        if self._soon is None or self._soon.done():
            self._soon = asyncio.create_task(self._capture_beside(sandbox))

    async def _capture_beside(self, sandbox: Sandbox) -> None:
        try:
            await self.capture(sandbox, CAPTURE_SECONDS)
        except Exception:
            # Nobody waits for this one: the capture at the turn's end meets it again.
            logger.exception("outputs of %s", self._session.pk)

    async def close(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            await asyncio.wait({self._soon})

    async def capture(self, sandbox: Sandbox, seconds: float) -> None:
        """Keep what is new. What cannot be kept is told in the log, once."""
        try:
            await self._capture(sandbox, seconds)
        except (SandboxError, OSError) as error:
            logger.warning("outputs of %s: %s", self._session.pk, error)
        except (log.Fenced, log.SessionGone) as gone:
            logger.info("outputs of %s given up: %s", self._session.pk, gone)

    async def _capture(self, sandbox: Sandbox, seconds: float) -> None:
        try:
            # The wait for a capture that is under way counts too.
            async with asyncio.timeout(seconds), self._turn:
                if fresh := await self._fresh(sandbox):
                    await self._fetch_all(sandbox, fresh)
        except TimeoutError:
            late = f"fetching took longer than {seconds:g} s; the rest comes later"
            await self._keep([], [LeftOut(path="", reason=late)])

    async def _fresh(self, sandbox: Sandbox) -> list[FoundFile]:
        listing = await sandbox.files_below(OUTPUTS, LISTED)
        captured = await self._known()
        return [
            each
            for each in listing.files
            if each.mark
            not in (captured.get(each.label), self._refused.get(each.label))
        ]

    async def _known(self) -> dict[str, str]:
        if self._captured is None:
            self._captured = await self._database(captured_marks, self._session.pk)
        return self._captured

    async def _fetch_all(self, sandbox: Sandbox, fresh: Sequence[FoundFile]) -> None:
        room = await self._database(files.room, self._session.workspace_id)
        batch: list[Fetched] = []
        refused: list[LeftOut] = []
        try:
            for found in fresh:
                try:
                    self._refuse_too_many(await self._known(), batch, found)
                    fetched = await fetch(sandbox, found, room)
                except (ApiError, FileUnavailable) as error:
                    refused.append(LeftOut(path=found.label, reason=str(error)))
                    self._refused[found.label] = found.mark
                    continue
                room = replace(room, left=room.left - fetched.bytes.size)
                batch.append(fetched)
                if is_full(batch):
                    await self._keep(batch, [])
                    batch = []
            await self._keep(batch, refused)
        finally:
            for fetched in batch:
                await asyncio.to_thread(fetched.bytes.discard)

    @staticmethod
    def _refuse_too_many(
        known: Iterable[str], batch: Iterable[Fetched], found: FoundFile
    ) -> None:
        labels = {*known, *(each.found.label for each in batch), found.label}
        if len(labels) > MOST:
            raise InvalidRequest(
                f"a session hands back {MOST:,} files at most: pack many into one"
            )

    async def _keep(self, batch: Sequence[Fetched], refused: Sequence[LeftOut]) -> None:
        if batch or refused:
            await self._database(keep, self._session, batch, refused, fence=self._fence)
            known = await self._known()
            known.update((each.found.label, each.found.mark) for each in batch)


async def fetch(sandbox: Sandbox, found: FoundFile, room: files.Room) -> Fetched:
    """Bring a file's bytes here. Raises FileUnavailable, TooLarge, InvalidRequest."""
    if len(found.label) > files.LONGEST_PATH:
        raise InvalidRequest(f"its path is longer than {files.LONGEST_PATH} characters")
    room.refuse(found.size)
    incoming = await asyncio.to_thread(files.Incoming, room)
    try:
        async for piece in sandbox.pieces(f"{OUTPUTS}/{found.path}"):
            await asyncio.to_thread(incoming.write, piece)
        await asyncio.to_thread(incoming.close)
    except BaseException:
        incoming.discard()
        raise
    return Fetched(found=found, bytes=incoming)


def is_full(batch: Sequence[Fetched]) -> bool:
    size = sum(each.bytes.size for each in batch)
    return len(batch) >= BATCH_FILES or size >= BATCH_BYTES


# In the database's thread.


def captured_marks(session_id: str) -> dict[str, str]:
    rows = File.objects.filter(scope_id=session_id).exclude(output_path="")
    return dict(rows.values_list("output_path", "output_mark"))


def keep(
    session: Session,
    batch: Sequence[Fetched],
    refused: Sequence[LeftOut],
    *,
    fence: int | None,
) -> None:
    """Show what was fetched and say so, or neither.

    Raises:
        log.Fenced: another host has the session.
        log.SessionGone: it was deleted.
    """
    labels = [each.found.label for each in batch]
    earlier = [*File.objects.filter(scope_id=session.pk, output_path__in=labels)]
    kept: list[File] = []
    try:
        with transaction.atomic():
            # A new version takes the place of the old: files are not changed in place.
            File.objects.filter(pk__in=[each.pk for each in earlier]).delete()
            kept.extend(_kept(session, fetched) for fetched in batch)
            told = OutputsCaptured(
                files=[_said(file) for file in kept],
                left_out=[asdict(each) for each in refused[:NAMED]],
                left_out_count=len(refused),
            )
            log.append(session.pk, [Draft(payload=told)], fence=fence)
    except BaseException:
        _forget_bytes(kept)
        raise
    _forget_bytes(earlier)


def _forget_bytes(rows: Iterable[File]) -> None:
    for row in rows:
        row.path.unlink(missing_ok=True)


def _kept(session: Session, fetched: Fetched) -> File:
    found = fetched.found
    return files.adopt(
        fetched.bytes,
        workspace_id=session.workspace_id,
        filename=PurePosixPath(found.label).name,
        scope_id=session.pk,
        downloadable=True,
        output_path=found.label,
        output_mark=found.mark,
    )


def _said(file: File) -> dict[str, Any]:
    return {
        "id": file.pk,
        "path": file.output_path,
        "size_bytes": file.size_bytes,
        "mime_type": file.mime_type,
    }
