"""The fold: what the model sees is what it saw before, plus what came since."""

from __future__ import annotations

import json
import random

import pytest

from sessions.events import (
    AgentToolResult,
    Draft,
    ModelRequestStart,
    UserInterrupt,
    UserMessage,
)
from sessions.harness.anthropic_model import body_of
from sessions.harness.contract import ToolResult
from sessions.harness.fake import FakeTurn
from sessions.harness.loop import close_interrupted, run_turn
from sessions.harness.request import build_request
from sessions.harness.scripted_model.checks import check, signature
from sessions.harness.transcript import EMPTY_MESSAGE, EMPTY_RESULT, fold
from tests.sessions.harness.kit import (
    DeterministicModel,
    calls,
    failure,
    reply,
    said,
    taken_in,
)

PNG = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}


def flattened(messages) -> list:
    return [(m["role"], block) for m in messages for block in m["content"]]


def test_blocks_of_every_source_reach_the_model():
    image = {"type": "image", "source": PNG}
    linked = {
        "type": "image",
        "source": {"type": "url", "url": "https://example.org/a"},
    }
    text = {"type": "text", "media_type": "text/plain", "data": "Dear all"}
    letter = {"type": "document", "source": text, "title": "Letter", "context": None}
    turn = FakeTurn()
    turn.write(Draft(payload=UserMessage(content=[image, linked, letter])))
    (message,) = fold(turn.log)
    assert message["content"] == [
        image,
        linked,
        {"type": "document", "source": text, "title": "Letter"},
    ]


async def test_a_file_is_sent_with_its_bytes():
    files = {
        "file_png": ("image/png", b"\x89PNG"),
        "file_txt": ("text/plain", b"Dear all"),
    }
    turn = FakeTurn(files=files)
    for kind, file_id in (
        ("image", "file_png"),
        ("document", "file_txt"),
        ("image", "file_gone"),
    ):
        source = {"type": "file", "file_id": file_id}
        turn.queue_message({"type": kind, "source": source})
    request = await build_request(turn, await taken_in(turn))
    image, document, gone = request.messages[0]["content"]
    assert image["source"] == {
        "type": "base64",
        "media_type": "image/png",
        "data": "iVBORw==",
    }
    assert document["source"]["data"] == "Dear all"
    assert gone["text"] == "(The file file_gone cannot be read.)"


async def test_blank_texts_are_never_sent(turn):
    async def run(call):
        return ToolResult(content=({"type": "text", "text": "  "},))

    turn._run = run
    turn.queue_message(" ")
    await run_turn(turn, DeterministicModel(calls("bash"), said("Ok")))
    blocks = flattened(fold(turn.log))
    assert blocks[0] == ("user", {"type": "text", "text": EMPTY_MESSAGE})
    assert blocks[2][1]["content"] == [{"type": "text", "text": EMPTY_RESULT}]


async def test_a_call_without_a_result_is_still_paired(turn):
    turn.queue_message("Go")
    await run_turn(turn, DeterministicModel(calls("bash", "read"), said("Ok")))
    cut = [r for r in turn.log if r.payload.to_json().get("tool_use_id") is None]
    results = flattened(fold(cut))[3:5]
    assert [block["is_error"] for _, block in results] == [True, True]


async def test_a_message_between_results_waits_for_the_last_of_them(turn):
    turn.queue_message("Go")
    await run_turn(turn, DeterministicModel(calls("bash", "read"), said("Ok")))
    first = next(
        at for at, r in enumerate(turn.log) if isinstance(r.payload, AgentToolResult)
    )
    (late,) = turn.write(
        Draft(payload=UserMessage(content=[{"type": "text", "text": "Late"}]))
    )
    log = [*turn.log[: first + 1], late, *turn.log[first + 1 : -1]]
    kinds = [block["type"] for _, block in flattened(fold(log))]
    uses, results = ["tool_use"] * 2, ["tool_result"] * 2
    assert kinds == ["text", *uses, *results, "text", "text"]


async def test_a_second_result_of_a_call_is_not_sent(turn):
    turn.queue_message("Go")
    await run_turn(turn, DeterministicModel(calls("bash"), said("Ok")))
    again = next(r for r in turn.log if isinstance(r.payload, AgentToolResult))
    before = fold(turn.log)
    assert fold([*turn.log, again]) == before


async def test_only_a_thought_is_followed_by_a_text_that_the_provider_accepts(turn):
    thought = {"type": "thinking", "thinking": "Hm", "signature": signature("Hm")}
    turn.queue_message("Go")
    await run_turn(turn, DeterministicModel(reply([thought])))
    turn.queue_message("And?")
    request = await build_request(turn, await taken_in(turn))
    check(body(request))


async def test_an_unsigned_thought_that_was_cut_is_dropped(turn):
    thought = {"type": "thinking", "thinking": "Hm", "signature": ""}
    turn.queue_message("Go")
    model = DeterministicModel(reply([thought], stop_reason="max_tokens"), said("Ok"))
    await run_turn(turn, model)
    check(body(model.requests[1]))


async def test_marks_stand_on_the_prompt_and_the_last_two_user_messages(turn):
    turn.queue_message("Go")
    model = DeterministicModel(calls("bash"), calls("bash"), said("Ok"))
    await run_turn(turn, model)
    request = model.requests[2]
    assert "cache_control" in request.system[-1]
    marked = [
        at
        for at, message in enumerate(request.messages)
        if "cache_control" in message["content"][-1]
    ]
    assert marked == [2, 4]
    assert "cache_control" not in str(fold(turn.log))


def body(request) -> dict:
    return {
        "model": request.model,
        "max_tokens": request.max_tokens,
        "system": request.system,
        "tools": request.tools,
        "messages": request.messages,
    }


def unmarked(messages) -> list:
    """The blocks without their cache marks, which move and are not content."""
    return [
        (role, {k: v for k, v in block.items() if k != "cache_control"})
        for role, block in flattened(messages)
    ]


class RandomModel:
    """Says, thinks, calls, fails and breaks off by the dice; checks what it is asked."""

    def __init__(self, dice, turn) -> None:
        self.dice, self.turn, self.seen = dice, turn, []
        self.number = 0

    async def stream(self, request, listener):
        check(body(request))
        assert unmarked(request.messages) == flattened(fold(self.turn.log))
        assert json.loads(body_of(request))["messages"] == request.messages
        self.seen.append(unmarked(request.messages))
        if self.dice.random() < 0.3:
            self.turn.queue_message(f"meanwhile {len(self.seen)}")
        if self.dice.random() < 0.15:
            raise failure()
        if self.dice.random() < 0.05:
            raise failure(retryable=False)
        return self.answer()

    def answer(self):
        blocks = [self.block() for _ in range(self.dice.randrange(4))]
        tools = any(block["type"] == "tool_use" for block in blocks)
        others = ["end_turn", "end_turn", "max_tokens", "refusal"]
        stop = "tool_use" if tools else self.dice.choice(others)
        return reply(blocks, stop_reason=stop)

    def block(self):
        self.number += 1
        kind = self.dice.choice(["text", "blank", "thinking", "tool_use", "unknown"])
        thought = f"thought {self.number}"
        use = {"type": "tool_use", "id": f"toolu_{self.number}", "input": {}}
        return {
            "text": {"type": "text", "text": f"text {self.number}"},
            "blank": {"type": "text", "text": "\n"},
            "thinking": {
                "type": "thinking",
                "thinking": thought,
                "signature": signature(thought),
            },
            "tool_use": {**use, "name": self.dice.choice(["bash", "read"])},
            "unknown": {**use, "name": "launch"},
        }[kind]


@pytest.mark.parametrize("seed", range(150))
async def test_every_request_begins_with_the_one_before_it(seed):
    dice = random.Random(seed)

    async def run(call):
        text = dice.choice(["", "some output"])
        return ToolResult(content=({"type": "text", "text": text},) if text else ())

    turn = FakeTurn(run=run)
    model = RandomModel(dice, turn)
    for number in range(dice.randrange(1, 6)):
        turn.queue_message(f"message {number}")
        while turn.queue:
            await run_turn(turn, model)
            if dice.random() < 0.3:
                await _die_somewhere(turn, dice)
    for earlier, later in zip(model.seen, model.seen[1:], strict=False):
        assert later[: len(earlier)] == earlier


async def _die_somewhere(turn, dice) -> None:
    """Leave a request open or the log interrupted, as a crash or a person may."""
    turn.write(Draft(payload=ModelRequestStart()))
    if dice.random() < 0.5:
        turn.write(Draft(payload=UserInterrupt()))
        await close_interrupted(turn)
