"""What the model no longer sees of a thread: read off its log; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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

    def live(self, records: Iterable[Record]) -> Iterator[Record]:
        """What is still shown record by record."""
        return (each for each in records if (each.position or 0) > self.condensed)


def horizon_of(records: Sequence[Record]) -> Horizon:
    """Return where these events have moved the horizon."""
    horizon = Horizon()
    for record in records:
        match record.payload:
            case ResultsTrimmed(through=through):
                horizon = replace(horizon, trimmed=through)
            case ThreadContextCompacted(agentsite_summary=summary):
                horizon = replace(
                    horizon,
                    condensed=record.private["through"],
                    kept=frozenset(record.private["kept"]),
                    summary=summary,
                )
    return horizon


def is_reply(record: Record) -> bool:
    """Say whether a reply ends here that the model sees as its own."""
    end = record.payload
    if not isinstance(end, ModelRequestEnd) or end.is_error:
        return False
    return not record.private.get(CONDENSES)
