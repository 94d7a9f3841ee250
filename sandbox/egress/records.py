"""What left a sandbox, one line of JSON per request, in a file of bounded size."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

FILE_BYTES = 8 * 1024 * 1024
TEXT_CHARACTERS = 1000


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True, kw_only=True)
class Record:
    """One request: where it went, what became of it and why.

    `rule` is the word for what decided, `reason` the sentence. `path` is without its
    query, which may hold secrets.
    """

    session_id: str
    host: str
    port: int
    method: str
    path: str | None
    verdict: Literal["allowed", "refused", "failed"]
    rule: str
    reason: str
    bytes_up: int
    bytes_down: int
    seconds: float
    ended_at: str = field(default_factory=now)


class Sink(Protocol):
    """Takes records."""

    def take(self, record: Record) -> None: ...


class RecordFile:
    """Appends records to a file; a full one is kept once, beside it."""

    def __init__(self, path: Path, most: int = FILE_BYTES) -> None:
        self.path = path
        self.most = most

    def take(self, record: Record) -> None:
        line = json.dumps(shortened(record)) + "\n"
        if self.path.exists() and self.path.stat().st_size + len(line) > self.most:
            self.path.replace(self.path.with_suffix(".old.jsonl"))
        with self.path.open("a") as file:
            file.write(line)


def shortened(record: Record) -> dict[str, object]:
    return {
        name: value[:TEXT_CHARACTERS] if isinstance(value, str) else value
        for name, value in asdict(record).items()
    }
