"""What passes through a stream: stored frames and previews, encoded once for all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.utils import timezone

from agents.ids import new_id
from sessions import log
from sessions.bus.publisher import event_id_of
from sessions.events import EventType, Record, SessionDeleted

LAST_TYPES = frozenset({EventType.SESSION_DELETED, EventType.SESSION_STATUS_TERMINATED})
"""After these nothing more can happen: a stream ends."""


@dataclass(kw_only=True)
class Entry:
    """A frame of the log, and what the pages show of it, once somebody needs that."""

    frame: log.Frame
    json: str
    row: str | None = None  # on the session's page
    own_row: str | None = None  # on its child thread's page

    @classmethod
    def of(cls, frame: log.Frame) -> Entry:
        return cls(frame=frame, json=encode(frame.wire()))

    @property
    def number(self) -> int:
        return self.frame.number

    @property
    def type(self) -> EventType:
        return self.frame.record.type

    @property
    def is_last(self) -> bool:
        return self.type in LAST_TYPES

    def is_of(self, thread_id: str | None) -> bool:
        """Say whether a thread's stream shows it; null is the session's own stream."""
        record = self.frame.record
        if thread_id is None:
            return not record.inner
        return record.thread_id == thread_id or self.is_last

    def lacks_row(self, page: str | None) -> bool:
        """Say whether what a thread's page shows is still to be rendered."""
        if page is None:
            return self.row is None
        return self.own_row is None and self.is_of(page)

    def ends(self, thread_id: str | None) -> bool:
        """Say whether a thread's stream ends here, since the thread does."""
        over = self.type is EventType.THREAD_STATUS_TERMINATED
        return over and self.frame.record.thread_id == thread_id

    def sse(self, thread_id: str | None) -> bytes:
        return self._sse if thread_id is None else self._sse_of_thread

    @cached_property
    def _sse(self) -> bytes:
        return _framed(self.type, self.number, self.json)

    @cached_property
    def _sse_of_thread(self) -> bytes:
        json = encode(self.frame.wire(own_thread=True))
        return _framed(self.type, self.number, json)


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A preview frame, with its number among the pieces of its event."""

    number: int
    frame: Mapping[str, Any]

    @cached_property
    def json(self) -> str:
        return encode(self.frame)

    @cached_property
    def sse(self) -> bytes:
        return f"event: {self.frame['type']}\ndata: {self.json}\n\n".encode()

    @property
    def event_id(self) -> str:
        return event_id_of(self.frame)

    @property
    def starts(self) -> str | None:
        """The type of the event that begins here, if one does."""
        if self.frame["type"] != "event_start":
            return None
        kind: str = self.frame["event"]["type"]
        return kind


def _framed(type: EventType, number: int, json: str) -> bytes:
    return f"event: {type.value}\nid: {number}\ndata: {json}\n\n".encode()


def load(session_id: str, after: int, limit: int) -> list[Entry]:
    """Read stored frames after a number."""
    return [Entry.of(frame) for frame in log.since(session_id, after, limit=limit)]


def deletion(number: int) -> Entry:
    """The last frame of a session whose log is gone; it is stored nowhere."""
    now = timezone.now()
    record = Record(
        id=new_id("sevt"),
        seq=number,
        position=number,
        payload=SessionDeleted(),
        created_at=now,
        processed_at=now,
    )
    return Entry.of(log.Frame(number=number, record=record, queued=False))


def encode(value: object) -> str:
    # In ASCII: some readers of event streams take U+2028 or U+0085 for a line's end.
    return json.dumps(value, separators=(",", ":"))
