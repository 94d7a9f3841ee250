"""A thread's events as a turn holds them, folded as they come; pure.

A turn asks for its transcript at every step. Folded anew each time, a step would take
the longer the more was said before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import overload

from sessions.events import Record
from sessions.harness.horizon import Horizon
from sessions.harness.transcript import Transcript, transcript_of


class History(Sequence[Record]):
    """Events ordered by position. It only grows, and only at its end.

    What it says of them is what the log says: whoever goes on from the log elsewhere
    comes to the same.
    """

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._records = [*records]
        self._folded = 0  # how many of them the transcript has
        self._transcript = Transcript()

    @overload
    def __getitem__(self, at: int) -> Record: ...

    @overload
    def __getitem__(self, at: slice) -> list[Record]: ...

    def __getitem__(self, at: int | slice) -> Record | list[Record]:
        return self._records[at]

    def __len__(self) -> int:
        return len(self._records)

    @property
    def newest(self) -> int:
        """The position of the last event; 0 where there is none."""
        return self._records[-1].position or 0 if self._records else 0

    def add(self, records: Iterable[Record]) -> None:
        """Take in what came since, in order."""
        self._records.extend(records)

    @property
    def horizon(self) -> Horizon:
        return self.transcript.horizon

    @property
    def transcript(self) -> Transcript:
        """What all of them amount to."""
        fresh = self._records[self._folded :]
        self._folded = len(self._records)
        if any(self._moves_horizon(record) for record in fresh):
            self._transcript = transcript_of(self._records)
        else:
            for record in fresh:
                self._transcript.take(record)
        return self._transcript

    def _moves_horizon(self, record: Record) -> bool:
        horizon = self._transcript.horizon
        return horizon.moved_by(record) is not horizon
