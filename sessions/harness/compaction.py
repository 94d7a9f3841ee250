"""Makes room in the model's window: old results are left out, then history condensed.

Nothing is kept but events, so that whoever goes on sees the same conversation. A
summary that a crash has cut off is asked for again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sessions.events import (
    Draft,
    ModelRequestEnd,
    Record,
    ResultsTrimmed,
    SessionError,
    ThreadContextCompacted,
    UserMessage,
)
from sessions.harness.contract import Ending, Turn
from sessions.harness.estimate import record_tokens, request_tokens
from sessions.harness.fill import (
    ATTEMPTS,
    NO_SUMMARY,
    Fill,
    cut,
    trimming,
)
from sessions.harness.history import History
from sessions.harness.horizon import CONDENSES
from sessions.harness.model import Content, ModelRequest, Reply, Usage
from sessions.harness.reply import lost_end
from sessions.harness.request import build_request
from sessions.harness.retelling import retell
from sessions.harness.windows import window

LIMIT_REACHED = (
    "The conversation of session {} does not fit into the model's window of context, "
    f"though it was condensed or tried {ATTEMPTS} times in a row. Send a message to "
    "try again, or go on in a new session."
)

OPENING = "This conversation is about to be shortened"
CONDENSE = f"""\
{OPENING}, because it nearly fills your window of context. Write a summary to stand \
in its place: you will go on from that alone. Do not call any tool now. Say
- what the user wants, with every limit and correction, in the user's own words where \
they matter;
- what was done and found, with the names of files, commands, ids and figures that \
will be needed again;
- what failed, what was tried against it, and what was decided for which reason;
- what you were just doing, and what comes next.
Leave out what no longer matters, and never repeat a password, key or token. Answer \
with the summary only."""

RETOLD = "Below is a conversation between a user and an assistant, which is you.\n\n"

SUMMARY_TOKENS = 16_000
KEPT = 0.10
"""What part of the room the user's latest messages may keep, word for word."""


async def make_room(turn: Turn, fill: Fill, records: History) -> bool:
    """Leave old results out, or give up; false where neither is due."""
    if fill.is_hopeless:
        await turn.emit(_limit_reached(turn))
        return True
    if trimmed := trimming(fill, records):
        await turn.emit(Draft(payload=trimmed))
        return True
    return False


def _limit_reached(turn: Turn) -> Draft:
    error = {
        "type": "compaction_limit_reached_error",
        "message": LIMIT_REACHED.format(turn.session_id),
        "retry_status": {"type": "exhausted"},
    }
    return Draft(payload=SessionError(error=error))


class Condensing:
    """Asks the model for a summary of its history. Nobody sees that one come."""

    mark: Mapping[str, Any] = {CONDENSES: True}

    def __init__(
        self, request: ModelRequest, *, through: int, kept: Sequence[str]
    ) -> None:
        self.request = request
        self.listener = _Silence()
        self._covers = {"through": through, "kept": kept}

    @classmethod
    async def of(cls, turn: Turn, fill: Fill, records: History) -> Condensing:
        place = cut(fill, records)
        return cls(
            await _condensing_request(turn, fill, records, place),
            through=records[place - 1].position or 0,
            kept=list(_kept(fill, records[:place])),
        )

    def drafts(self, start_id: str, reply: Reply) -> list[Draft]:
        """Return what is appended as one: the request's end and what it brought."""
        summary = _text(reply)
        if not summary:
            fruitless = {**self.mark, NO_SUMMARY: True, "request_id": reply.request_id}
            return [lost_end(start_id, reply.usage, **fruitless)]
        return [
            _end(start_id, reply),
            Draft(
                payload=ThreadContextCompacted(agentsite_summary=summary),
                private=self._covers,
            ),
        ]

    def ending(self, written: Sequence[Record]) -> Ending | None:
        """The turn goes on: now there is room to ask for the reply."""
        return None


class _Silence:
    def __init__(self) -> None:
        self.usage = Usage()

    def thought(self) -> None: ...

    def said(self, block: int, text: str) -> None: ...

    def used(self, usage: Usage) -> None:
        self.usage = usage


async def _condensing_request(
    turn: Turn, fill: Fill, records: History, place: int
) -> ModelRequest:
    """The conversation as it is, so that the provider's prompt cache is read.

    Where that does not fit or has failed, it is retold in as many words as do fit.
    """
    # What moved the horizon since counts as well: it must look as it did before.
    condensed = History([*records[:place], *_markers(records[place:])])
    request = await build_request(turn, condensed)
    limit = (fill.used // 2 if fill.refused else fill.room) >> fill.attempts
    if fill.attempts or request_tokens(request) > limit:
        told = RETOLD + retell(request.messages, limit)
        request = replace(request, messages=[_user(told)], system=(), tools=())
    longest = min(SUMMARY_TOKENS, window(request.model) // 8)
    return replace(
        request,
        messages=_asked_for(request.messages),
        max_tokens=min(request.max_tokens, longest),
    )


def _markers(records: Sequence[Record]) -> Iterator[Record]:
    moved = (ResultsTrimmed, ThreadContextCompacted)
    return (each for each in records if isinstance(each.payload, moved))


def _asked_for(messages: Sequence[Content]) -> list[Content]:
    asking = _user(CONDENSE)
    if messages[-1]["role"] != "user":
        return [*messages, asking]
    last = messages[-1]
    return [*messages[:-1], {**last, "content": [*last["content"], *asking["content"]]}]


def _user(text: str) -> Content:
    return {"role": "user", "content": [{"type": "text", "text": text}]}


def _kept(fill: Fill, condensed: Sequence[Record]) -> Iterator[str]:
    """The ids of the latest messages, as many as fit."""
    left = int(fill.room * KEPT) >> fill.attempts
    for record in reversed(condensed):
        if isinstance(record.payload, UserMessage):
            left -= record_tokens(record)
            if left < 0:
                return
            yield record.id


def _text(reply: Reply) -> str:
    if reply.stop_reason == "refusal":
        return ""
    texts = [block["text"] for block in reply.content if block["type"] == "text"]
    return "\n\n".join(texts).strip()


def _end(start_id: str, reply: Reply) -> Draft:
    payload = ModelRequestEnd(
        model_request_start_id=start_id, model_usage=reply.usage.on_span()
    )
    private = {
        CONDENSES: True,
        "stop_reason": reply.stop_reason,
        "cache_creation": reply.usage.by_ttl(),
        "request_id": reply.request_id,
        "model": reply.model,
    }
    return Draft(payload=payload, private=private)
