"""Which previews one connection may see."""

from __future__ import annotations

from collections.abc import Collection

from sessions.consumers.entries import Entry, Piece
from sessions.events import EventType

OVER = -1
REMEMBERED = 500
PREVIEWED = frozenset({EventType.AGENT_MESSAGE, EventType.AGENT_THINKING})


class Previews:
    """Lets a piece through where what the connection got of its event has no hole.

    So a connection sees an event's start once, its text as a contiguous beginning, and
    nothing of it after the event itself or when it came too late for the start. A page
    may come late: somebody who looks sees what is written from then on.
    """

    def __init__(self, types: Collection[str], *, late: bool = False) -> None:
        self._types = frozenset(types)
        self._late = late
        self._expected: dict[str, int] = {}  # the next piece's number, per event

    def admits(self, piece: Piece) -> bool:
        if piece.starts in self._types and piece.number == 0:
            self._expected.setdefault(piece.event_id, 0)
        if self._late:
            self._expected.setdefault(piece.event_id, piece.number)
        if self._expected.get(piece.event_id) != piece.number:
            self._close(piece.event_id)
            return False
        self._expected[piece.event_id] += 1
        return True

    def written(self, entry: Entry) -> None:
        """The event itself is sent: its preview is over, even one that comes late."""
        if entry.type in PREVIEWED:
            self._close(entry.frame.record.id)

    def _close(self, event_id: str) -> None:
        self._expected[event_id] = OVER
        if len(self._expected) > REMEMBERED:
            del self._expected[next(iter(self._expected))]
