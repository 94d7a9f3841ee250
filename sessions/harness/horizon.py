"""What the model no longer sees of a thread: read off its log; pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sessions.events import (
    ModelRequestEnd,
    Record,
    ResultsTrimmed,
    ThreadContextCompacted,
)

CONDENSES = "condenses"
"""Marks a model request whose reply is a summary and no part of the conversation."""


@dataclass(frozen=True, kw_only=True)
class Horizon:
    """History up to `condensed` is a summary; results up to `trimmed` are left out."""

    condensed: int = 0
    trimmed: int = 0
    summary: str = ""
    kept: frozenset[str] = frozenset()  # condensed messages that are shown all the same

    def live(self, records: Sequence[Record]) -> Sequence[Record]:
        """What is still shown record by record, of events in order."""
        if not self.condensed:
            return records
        return records[bisect_right(records, self.condensed, key=_position) :]

    def moved_by(self, record: Record) -> Horizon:
        """The horizon after an event: nearly always the same."""
        match record.payload:
            case ResultsTrimmed(through=through):
                return replace(self, trimmed=through)
            case ThreadContextCompacted(agentsite_summary=summary):
                return replace(
                    self,
                    condensed=record.private["through"],
                    kept=frozenset(record.private["kept"]),
                    summary=summary,
                )
        return self


def horizon_of(records: Sequence[Record]) -> Horizon:
    """Return where these events have moved the horizon."""
    horizon = Horizon()
    for record in records:
        horizon = horizon.moved_by(record)
    return horizon


def _position(record: Record) -> int:
    return record.position or 0


def is_reply(record: Record) -> bool:
    """Say whether a reply ends here that the model sees as its own."""
    end = record.payload
    if not isinstance(end, ModelRequestEnd) or end.is_error:
        return False
    return not record.private.get(CONDENSES)
