"""How full the model's window is, and whether to make room: read off the log; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sessions.events import (
    RESULTS,
    ModelRequestEnd,
    ModelRequestStart,
    Record,
    ResultsTrimmed,
    ThreadContextCompacted,
    UserMessage,
)
from sessions.harness.estimate import record_tokens, tokens
from sessions.harness.history import History
from sessions.harness.horizon import CONDENSES, is_reply
from sessions.harness.model import CONTEXT_FULL, ModelRequest
from sessions.harness.reply import TOO_LONG
from sessions.harness.standing import unanswered
from sessions.harness.transcript import is_long
from sessions.harness.windows import room

TRIM_AT = 0.70
CONDENSE_AT = 0.85
KEPT_RESULTS = 3
WORTH_IT = 0.20
"""What part of the room must be won: each change loses the provider's prompt cache."""

TAIL = 0.20
"""What part of the room the latest events may keep when room is made."""

ATTEMPTS = 3
"""How often in a row history is condensed without a reply coming of it."""

NO_SUMMARY = "no_summary"
"""Marks the end of a request for a summary that brought none."""


@dataclass(frozen=True, kw_only=True)
class Fill:
    """`room` and `used` are tokens; `refused` when the provider said it is too much."""

    room: int
    used: int
    refused: bool
    attempts: int

    @property
    def is_hopeless(self) -> bool:
        return self.refused and self.attempts >= ATTEMPTS


def measure(request: ModelRequest, records: History) -> Fill:
    """Return how full the window would be with this request."""
    used, refused = _used(request, records), _is_refused(records)
    allowed = room(request.model, request.max_tokens)
    return Fill(
        # Whoever refuses has a smaller window than we thought.
        room=min(allowed, used) if refused else allowed,
        used=used,
        refused=refused,
        attempts=_attempts(records),
    )


def trimming(fill: Fill, records: History) -> ResultsTrimmed | None:
    """Return which tool results to leave out now; None where that wins too little."""
    if fill.refused or fill.used <= fill.room * TRIM_AT:
        return None
    horizon = records.horizon
    seen = [each for each in horizon.live(_seen(records)) if _is_result(each)]
    old = seen[: -_results_kept(fill, seen)]
    gone = [
        record_tokens(each)
        for each in old
        if (each.position or 0) > horizon.trimmed and is_long(each.payload)
    ]
    if not gone or sum(gone) < fill.room * WORTH_IT:
        return None
    return ResultsTrimmed(
        through=old[-1].position or 0, results=len(gone), tokens=sum(gone)
    )


def _results_kept(fill: Fill, results: Sequence[Record]) -> int:
    """How many of the latest stay: what fits into the tail, and a few in any case."""
    left, count = int(fill.room * TAIL), 0
    for result in reversed(results):
        left -= record_tokens(result)
        if left < 0:
            break
        count += 1
    return max(count, KEPT_RESULTS)


def _is_result(record: Record) -> bool:
    return isinstance(record.payload, RESULTS)


def must_condense(fill: Fill, records: History) -> bool:
    if fill.refused:
        return True
    if fill.used <= fill.room * CONDENSE_AT or fill.attempts >= ATTEMPTS:
        return False
    covered = records.horizon.live(records[: cut(fill, records)])
    return sum(map(record_tokens, covered)) >= fill.room * WORTH_IT


def cut(fill: Fill, records: History) -> int:
    """Return how many of the events to condense.

    The latest stay, from the beginning of a model request on: there no call is open.
    """
    place, left = len(records), 0 if fill.attempts else int(fill.room * TAIL)
    behind = len(records) - len(records.horizon.live(records))
    for at in range(len(records) - 1, behind, -1):
        left -= record_tokens(records[at])
        if left < 0:
            break
        if isinstance(records[at].payload, ModelRequestStart):
            place = at
    return len(records) if unanswered(records[:place]) else place


def _used(request: ModelRequest, records: History) -> int:
    """What the last reply's usage says, and what came since."""
    since = 0
    for record in reversed(records):
        match record.payload:
            case ThreadContextCompacted():
                break
            case ResultsTrimmed(tokens=saved):
                since -= saved
            case ModelRequestEnd(model_usage=usage) if is_reply(record):
                if not (exact := _spent(usage)):
                    break
                return exact + since
            case _:
                since += record_tokens(record)
    said = records.transcript.tokens
    return said + tokens(request.system) + tokens(request.tools)


def _spent(usage: Mapping[str, Any]) -> int:
    return sum(
        int(usage.get(name) or 0)
        for name in (
            "input_tokens",
            "output_tokens",
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
        )
    )


def _is_refused(records: Sequence[Record]) -> bool:
    """Say whether what the model was shown last did not fit."""
    for record in reversed(records):
        match record.payload:
            case ThreadContextCompacted():
                return False
            case ModelRequestEnd() if record.private.get(TOO_LONG):
                return True
            case ModelRequestEnd() if is_reply(record):
                return record.private.get("stop_reason") == CONTEXT_FULL
    return False


def _attempts(records: Sequence[Record]) -> int:
    """Count how often history was condensed, or that failed, since the last reply."""
    count, fruitless = 0, set()
    for record in reversed(records):
        match record.payload:
            case UserMessage():
                break
            case ThreadContextCompacted():
                count += 1
            case ModelRequestEnd(model_request_start_id=start):
                if _is_whole_reply(record):
                    break
                if record.private.get(TOO_LONG) or record.private.get(NO_SUMMARY):
                    fruitless.add(start)
            case ModelRequestStart() if record.private.get(CONDENSES):
                count += record.id in fruitless
    return count


def _is_whole_reply(record: Record) -> bool:
    return is_reply(record) and record.private.get("stop_reason") != CONTEXT_FULL


def _seen(records: Sequence[Record]) -> Sequence[Record]:
    """What the model had before it when it last replied."""
    for at in range(len(records) - 1, -1, -1):
        if is_reply(records[at]):
            return records[:at]
    return ()
