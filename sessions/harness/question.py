"""What the model is asked next: for a reply, or for a summary of its history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sessions.events import Draft, Record
from sessions.harness.compaction import Condensing, make_room
from sessions.harness.contract import Ending, Turn
from sessions.harness.fill import measure, must_condense
from sessions.harness.history import History
from sessions.harness.model import Listener, ModelRequest, Reply, Usage
from sessions.harness.preview import Preview
from sessions.harness.reply import reply_drafts
from sessions.harness.request import build_request
from sessions.harness.standing import settled


class Metered(Listener, Protocol):
    """A listener that remembers what was used so far."""

    @property
    def usage(self) -> Usage: ...


class Question(Protocol):
    """One request and what becomes of its answer."""

    @property
    def request(self) -> ModelRequest: ...

    @property
    def listener(self) -> Metered: ...

    @property
    def mark(self) -> Mapping[str, Any]:
        """What the private part of the request's start says of it."""

    def drafts(self, start_id: str, reply: Reply) -> list[Draft]:
        """Return what is appended as one when the answer is there."""

    def ending(self, written: Sequence[Record]) -> Ending | None:
        """Return how the turn ends with that, if it does."""


async def next_question(turn: Turn, records: History) -> Question | None:
    """Return what to ask; None where the log has changed and is to be read again."""
    request = await build_request(turn, records)
    fill = measure(request, records)
    if await make_room(turn, fill, records):
        return None
    if must_condense(fill, records):
        return await Condensing.of(turn, fill, records)
    return Replying(turn, request)


class Replying:
    """Asks for the next reply, and shows it while it comes."""

    mark: Mapping[str, Any] = {}

    def __init__(self, turn: Turn, request: ModelRequest) -> None:
        self.request = request
        self.listener = Preview(turn)
        self._turn = turn

    def drafts(self, start_id: str, reply: Reply) -> list[Draft]:
        return reply_drafts(self._turn, start_id, reply, self.listener)

    def ending(self, written: Sequence[Record]) -> Ending | None:
        return settled(written)
