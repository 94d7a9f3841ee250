"""What left a sandbox, one line of JSON per request, spooled for the database's side.

The proxy has no database. It appends records to files in a folder; each file is closed
after a moment, and whoever has the database takes closed files in and removes them. So
nothing is lost when either side is away: and where the folder is full nothing leaves.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol
from uuid import uuid4

log = logging.getLogger(__name__)

SPOOL_BYTES = 64 * 1024 * 1024
FILE_BYTES = 256 * 1024
OPEN_SECONDS = 0.2
"""How long a record may wait for others before its file is closed."""

LOOK_SECONDS = 1.0
TEXT_CHARACTERS = 1000
OPEN, CLOSED = ".part", ".jsonl"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def new_id() -> str:
    return f"egress_{uuid4().hex}"


@dataclass(frozen=True, kw_only=True)
class Record:
    """One request: where it went, what became of it and why.

    `rule` is the word for what decided, `reason` the sentence. `path` is without its
    query, which may hold secrets. What lasts is recorded twice under one id: when it
    begins, with no `seconds`, and when it has ended.
    """

    id: str = field(default_factory=new_id)
    session_id: str
    host: str
    port: int
    method: str
    path: str | None
    verdict: Literal["allowed", "refused", "failed"]
    rule: str
    reason: str
    credentials: tuple[str, ...] = ()
    bytes_up: int
    bytes_down: int
    seconds: float | None
    began_at: str = field(default_factory=now)


class Sink(Protocol):
    """Takes records."""

    def take(self, record: Record) -> None: ...

    def is_full(self) -> bool:
        """Tell whether what happens now could not be recorded."""


class Spool:
    """A folder of records, of bounded size."""

    def __init__(self, folder: Path, most: int = SPOOL_BYTES) -> None:
        self.folder = folder
        self.most = most
        self._handle: int | None = None
        self._path = folder
        self._written = 0
        self._full = False
        self._looked = -LOOK_SECONDS
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"*{OPEN}"):  # by a proxy that was killed
            left.rename(left.with_suffix(CLOSED))

    def take(self, record: Record) -> None:
        line = json.dumps(shortened(record)).encode() + b"\n"
        try:
            self._append(line)
        except OSError:
            log.exception("The egress record of %s is lost", record.session_id)
            self._full, self._looked = True, time.monotonic()

    def is_full(self) -> bool:
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            self._full = sum(sizes(self.folder)) >= self.most
        return self._full

    def close(self) -> None:
        """Close the file that is written to: from now on it may be taken in."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
            self._path.rename(self._path.with_suffix(CLOSED))

    def _append(self, line: bytes) -> None:
        if self._handle is None:
            self._path = self.folder / f"{time.time_ns():020d}-{os.getpid()}{OPEN}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
            self._handle, self._written = os.open(self._path, flags, 0o660), 0
            asyncio.get_running_loop().call_later(OPEN_SECONDS, self.close)
        os.write(self._handle, line)
        self._written += len(line)
        if self._written >= FILE_BYTES:
            self.close()


def sizes(folder: Path) -> Iterator[int]:
    for entry in os.scandir(folder):
        try:
            yield entry.stat().st_size
        except FileNotFoundError:
            pass  # it was just taken in


def closed_files(folder: Path) -> list[Path]:
    """Return the files that may be taken in, oldest first."""
    return sorted(folder.glob(f"*{CLOSED}"))


def read(path: Path) -> Iterator[Record]:
    """Read a file's records; a line that a killed proxy left torn is skipped."""
    for line in path.read_bytes().splitlines():
        try:
            fields = json.loads(line)
            yield Record(**{**fields, "credentials": tuple(fields["credentials"])})
        except (KeyError, TypeError, ValueError) as error:
            log.warning("A line of %s is no egress record: %s.", path, error)


def shortened(record: Record) -> dict[str, Any]:
    return {
        name: value[:TEXT_CHARACTERS] if isinstance(value, str) else value
        for name, value in asdict(record).items()
    }
