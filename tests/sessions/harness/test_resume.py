"""A harness may die between any two records, and another goes on from the log."""

from __future__ import annotations

import pytest

from sessions.events import ModelRequestEnd, ModelRequestStart
from sessions.harness.contract import END_TURN
from sessions.harness.fake import FakeTurn
from sessions.harness.loop import run_turn
from tests.sessions.harness.kit import payloads

STEPS = (
    {"say": "First.", "think": "Hm.", "tools": [{"name": "bash", "input": {"n": 1}}]},
    {
        "say": "Both.",
        "tools": [
            {"name": "read", "input": {"n": 2}},
            {"name": "launch", "input": {"n": 3}},
        ],
    },
    {"say": "Cut", "stop": "max_tokens"},
    {"tools": [{"name": "bash", "input": {"n": 4}}]},
    {"say": "Saw {{last_result}}"},
)

LENGTH = 27
"""Of the log that the steps amount to."""


def story(turn) -> list:
    """What happened, without ids, intents and lost requests."""
    lost = {
        end.model_request_start_id
        for end in payloads(turn, "span.model_request_end")
        if end.is_error
    }
    told = []
    for record in turn.log:
        match record.payload:
            case ModelRequestStart() if record.id in lost:
                continue
            case ModelRequestEnd(is_error=True):
                continue
        if not record.type.is_own:
            said = record.payload.to_json()
            told.append((record.type, said.get("content"), said.get("input")))
    return told


async def whole(model, script) -> FakeTurn:
    turn = FakeTurn()
    turn.queue_message(script(*STEPS))
    assert await run_turn(turn, model) == END_TURN
    return turn


@pytest.mark.parametrize("kept", range(1, LENGTH + 1))
async def test_the_history_is_the_same_wherever_it_was_cut(kept, model, script):
    first = await whole(model, script)
    assert len(first.log) == LENGTH
    second = FakeTurn(log=_cut(first.log, kept))
    had = {r.tool_use_id for r in payloads(second, "agent.tool_result")}
    assert await run_turn(second, model) == END_TURN
    assert story(second) == story(first)
    assert not had & {call.id for call in second.executed}
    _check_pairs(second)


def _cut(log, kept):
    """Cut the log where a crash can: never inside one append."""
    appended_whole = {"agent.thinking", "agent.message", "agent.tool_use"}
    while kept < len(log) and _is_inside_append(log, kept, appended_whole):
        kept -= 1
    return log[:kept]


def _is_inside_append(log, kept, appended_whole) -> bool:
    before, after = log[kept - 1], log[kept]
    if after.type.value == "agent.tool_result":
        return before.type.value == "agent.tool_use"
    if before.type.value in {"agent.thinking", "agent.message"}:
        return True
    return after.type.value == "agent.tool_use"


def _check_pairs(turn) -> None:
    uses = [r.id for r in turn.log if r.type.value == "agent.tool_use"]
    answered = [r.tool_use_id for r in payloads(turn, "agent.tool_result")]
    assert sorted(uses) == sorted(answered)
    starts = [r.id for r in turn.log if r.type.value == "span.model_request_start"]
    ended = [e.model_request_start_id for e in payloads(turn, "span.model_request_end")]
    assert sorted(starts) == sorted(ended)
