"""A conversation that outgrows the model's window goes on, and the log stays whole."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import replace
from itertools import pairwise

import pytest
from anthropic.types.beta.sessions import (
    BetaManagedAgentsAgentThreadContextCompactedEvent,
    BetaManagedAgentsSessionErrorEvent,
)

from sessions.events import (
    AgentCustomToolUse,
    Draft,
    EventType,
    ModelRequestEnd,
    ModelRequestStart,
    ResultsTrimmed,
    ThreadContextCompacted,
    UserCustomToolResult,
    UserInterrupt,
    UserMessage,
)
from sessions.harness.compaction import OPENING, RETOLD
from sessions.harness.contract import END_TURN, RETRIES_EXHAUSTED, ToolResult
from sessions.harness.fake import FakeTurn, fake_agent
from sessions.harness.fill import ATTEMPTS, KEPT_RESULTS
from sessions.harness.loop import close_interrupted, run_turn
from sessions.harness.model import Usage
from sessions.harness.request import build_request
from sessions.harness.retelling import retell
from sessions.harness.scripted_model.checks import check
from sessions.harness.transcript import LOST_RESULT, fold
from sessions.harness.windows import DEFAULT_WINDOW, LONG_WINDOW, room, window
from tests.acceptance.strict import problems
from tests.sessions.harness.kit import (
    DeterministicModel,
    HangingModel,
    calls,
    failure,
    payloads,
    reply,
    said,
    taken_in,
    types,
    within,
)
from tests.sessions.harness.test_transcript import RandomModel, body, unmarked

COMPACTED = "agent.thread_context_compacted"
TRIMMED = "agentsite.results_trimmed"
WINDOW = 16_000
LOOK = {"tools": [{"name": "bash", "input": {"command": "look"}}]}


def small_agent(window_size=WINDOW):
    return fake_agent(model={"id": f"scripted-window-{window_size}"})


def turn_with_results(letters, **more):
    """A turn whose tools answer with so many letters."""

    async def run(call):
        return ToolResult(content=({"type": "text", "text": "x" * letters},))

    return FakeTurn(agent=small_agent(), run=run, **more)


def is_condensing(request) -> bool:
    return OPENING in str(request["messages"][-1])


def too_long():
    return failure("model_request_failed_error", retryable=False, too_long=True)


class SizedModel(DeterministicModel):
    """Reports what the request would take, as a provider does."""

    async def stream(self, request, listener):
        check(body(request))
        output = await super().stream(request, listener)
        used = sum(len(str(message)) for message in request.messages) // 4
        usage = Usage(input_tokens=used, output_tokens=20)
        return replace(output, usage=usage)


# A long session, through the real client.


async def test_a_session_of_ten_times_the_window_runs_to_its_end(server, model, script):
    turn = turn_with_results(2_000)
    turn.queue_message(script(*[LOOK] * 325, {"say": "All {{last_result}}"}))
    assert await run_turn(turn, model) == END_TURN
    results = payloads(turn, "agent.tool_result")
    sizes = sum(len(result.content[0]["text"]) for result in results)
    assert sizes >= 10 * WINDOW * 4
    assert len(results) == len(turn.executed) == 325
    (message,) = payloads(turn, "agent.message")
    assert message.content[0]["text"] == "All " + "x" * 2_000
    assert types(turn).count(COMPACTED) >= 2
    assert "session.error" not in types(turn)


async def test_the_scripted_model_refuses_what_its_window_does_not_hold(model):
    turn = FakeTurn(agent=small_agent(1_000))
    turn.queue_message("word " * 2_000)
    request = await build_request(turn, await taken_in(turn))
    with pytest.raises(
        Exception, match=r"prompt is too long: \d+ tokens > 1000 max"
    ) as e:
        await model.stream(request, None)
    assert e.value.too_long
    assert not e.value.retryable


async def test_a_refusal_for_length_is_answered_by_a_summary(model, script):
    """The estimate was too small: here the agent's prompt counts for nothing."""
    turn = FakeTurn(agent=small_agent(3_000))
    turn.queue_message(script(LOOK, LOOK, {"say": "Done"}) + "word " * 1_200)
    assert await run_turn(turn, model) == END_TURN
    assert COMPACTED in types(turn)
    assert payloads(turn, "agent.message")[-1].content[0]["text"] == "Done"


async def test_results_are_trimmed_before_history_is_condensed(model, script):
    turn = turn_with_results(2_000)
    turn.queue_message(script(*[LOOK] * 60, {"say": "Done"}))
    await run_turn(turn, model)
    moved = [kind for kind in types(turn) if kind in {TRIMMED, COMPACTED}]
    assert moved[0] == TRIMMED
    assert COMPACTED in moved
    assert types(turn).index(TRIMMED) < types(turn).index(COMPACTED)


# Trimming.


async def trimmed_turn(model, script):
    turn = turn_with_results(2_000)
    turn.queue_message(script(*[LOOK] * 18, {"say": "Done"}))
    await run_turn(turn, model)
    assert types(turn).count(TRIMMED) == 1
    assert COMPACTED not in types(turn)
    return turn


async def test_a_trimmed_result_says_what_it_was_and_how_to_have_it_back(
    server, model, script
):
    turn = await trimmed_turn(model, script)
    (trimmed,) = payloads(turn, TRIMMED)
    results = [
        block["content"][0]["text"]
        for message in server.requests[-1]["messages"]
        for block in message["content"]
        if block["type"] == "tool_result"
    ]
    notices = [text for text in results if "2,000 characters" in text]
    assert len(notices) == trimmed.results > 0
    assert "make the call again" in notices[0]
    assert results[-KEPT_RESULTS:] == ["x" * 2_000] * KEPT_RESULTS


async def test_trimming_leaves_the_log_and_the_wire_as_they_were(model, script):
    turn = await trimmed_turn(model, script)
    results = payloads(turn, "agent.tool_result")
    assert {result.content[0]["text"] for result in results} == {"x" * 2_000}


async def test_results_the_model_has_not_seen_are_not_trimmed(script):
    turn = turn_with_results(2_000)
    turn.queue_message("Go")
    model = SizedModel(calls(*["bash"] * 18), said("Seen"))
    await run_turn(turn, model)
    assert TRIMMED not in types(turn)


async def test_short_results_stay(model, script):
    turn = turn_with_results(100)
    turn.queue_message(script(*[LOOK] * 150, {"say": "Done"}))
    await run_turn(turn, model)
    assert TRIMMED not in types(turn)
    assert COMPACTED in types(turn)


# Condensing.


async def condensed_turn(script, server, model, steps=60):
    turn = turn_with_results(2_000)
    turn.queue_message(script(*[LOOK] * steps, {"say": "Done"}))
    assert await run_turn(turn, model) == END_TURN
    return turn


async def test_a_request_is_a_prefix_of_the_next_unless_the_horizon_moved(
    server, model, script
):
    await condensed_turn(script, server, model, 100)
    asked = [unmarked(r["messages"]) for r in server.requests if not is_condensing(r)]
    kept = [b[: len(a)] == a for a, b in pairwise(asked)]
    assert kept.count(False) < len(kept) / 5
    assert kept.count(True) > 60


async def test_the_summary_is_asked_for_in_the_same_conversation(server, model, script):
    """So that the provider's prompt cache is read."""
    await condensed_turn(script, server, model)
    at = next(at for at, r in enumerate(server.requests) if is_condensing(r))
    before, asking = server.requests[at - 1], server.requests[at]
    assert (asking["system"], asking["tools"]) == (before["system"], before["tools"])
    history = unmarked(asking["messages"])[:-1]
    assert history == unmarked(before["messages"])[: len(history)]


async def test_a_summary_is_counted_and_neither_shown_nor_folded(server, model, script):
    turn = await condensed_turn(script, server, model)
    (compacted, *_) = [r for r in turn.log if r.type.value == COMPACTED]
    end = turn.log[turn.log.index(compacted) - 1]
    assert end.payload.model_usage["input_tokens"] > 0
    assert "content" not in end.private
    summary = compacted.payload.agentsite_summary
    assert summary.startswith("Scripted summary")
    assert "Scripted summary" not in str(turn.frames)
    assert all(
        "Scripted summary" not in str(m.content)
        for m in payloads(turn, "agent.message")
    )
    opening, *rest = fold(turn.log)
    assert "Scripted summary" in str(opening)
    assert "Scripted summary" not in str(rest)


async def test_on_the_wire_a_compaction_has_no_more_than_its_time(
    server, model, script
):
    turn = await condensed_turn(script, server, model)
    compacted = next(
        r for r in turn.log if r.type is EventType.THREAD_CONTEXT_COMPACTED
    )
    raw = json.dumps(compacted.wire()).encode()
    assert problems(BetaManagedAgentsAgentThreadContextCompactedEvent, raw) == []


async def test_the_latest_messages_and_events_stay_word_for_word(server, model, script):
    turn = await condensed_turn(script, server, model)
    at = next(at for at, r in enumerate(server.requests) if is_condensing(r))
    opening, reply_kept, result_kept, *_ = server.requests[at + 1]["messages"]
    first = payloads(turn, "user.message")[0].content[0]["text"]
    assert opening["content"][1]["text"] == first
    assert reply_kept["content"][-1]["type"] == "tool_use"
    assert result_kept["content"][0]["content"][0]["text"] == "x" * 2_000


async def test_a_message_too_long_for_the_window_is_summed_up():
    turn = FakeTurn(agent=small_agent())
    turn.queue_message("y" * 400_000)
    model = DeterministicModel(said("SUMMARY"), said("Done"))
    assert await run_turn(turn, model) == END_TURN
    asked, answered = model.requests
    assert asked.messages[0]["content"][0]["text"].startswith(RETOLD)
    assert len(str(asked.messages)) < WINDOW * 4
    assert len(str(answered.messages)) < WINDOW
    assert "characters left out" in str(asked.messages)


async def test_ten_thousand_queued_messages_are_summed_up():
    turn = FakeTurn(agent=small_agent())
    for number in range(10_000):
        turn.queue_message(f"message {number}")
    model = DeterministicModel(said("SUMMARY"), said("Done"))
    assert await run_turn(turn, model) == END_TURN
    opening = str(fold(turn.log)[0])
    assert "message 9999" in opening
    assert "message 5000" not in opening


async def test_a_second_summary_covers_the_first():
    turn = FakeTurn(agent=small_agent())
    model = DeterministicModel(said("ONE"), said("Ok"), said("TWO"), said("Ok"))
    for _ in range(2):
        turn.queue_message("y" * 100_000)
        assert await run_turn(turn, model) == END_TURN
    assert "ONE" in str(model.requests[2].messages)
    assert "ONE" not in str(fold(turn.log))
    assert "TWO" in str(fold(turn.log)[0])


async def test_a_reply_cut_by_the_window_is_gone_on_with_after_a_summary(turn):
    turn.queue_message("Go")
    full = said("So far", stop_reason="model_context_window_exceeded")
    model = DeterministicModel(full, said("SUMMARY"), said("The rest"))
    assert await run_turn(turn, model) == END_TURN
    assert types(turn).count(COMPACTED) == 1
    assert "SUMMARY" in str(model.requests[2].messages[0])


# What goes wrong.


async def test_a_summary_that_does_not_help_ends_the_turn_and_says_so(turn):
    turn.queue_message("Go")
    outputs = [too_long(), *[said("SUMMARY"), too_long()] * ATTEMPTS]
    assert await run_turn(turn, DeterministicModel(*outputs)) == RETRIES_EXHAUSTED
    assert types(turn).count(COMPACTED) == ATTEMPTS
    (error,) = payloads(turn, "session.error")
    assert error.error["type"] == "compaction_limit_reached_error"
    assert error.error["retry_status"] == {"type": "exhausted"}
    assert turn.session_id in error.error["message"]
    told = next(r for r in turn.log if r.type is EventType.SESSION_ERROR)
    raw = json.dumps(told.wire()).encode()
    assert problems(BetaManagedAgentsSessionErrorEvent, raw) == []
    assert await run_turn(turn, DeterministicModel()) == RETRIES_EXHAUSTED


async def test_after_the_limit_a_new_message_tries_again(turn):
    turn.queue_message("Go")
    outputs = [too_long(), *[said("SUMMARY"), too_long()] * ATTEMPTS]
    await run_turn(turn, DeterministicModel(*outputs))
    turn.queue_message("Try again")
    model = DeterministicModel(said("SUMMARY"), said("Ok"))
    assert await run_turn(turn, model) == END_TURN


@pytest.mark.parametrize(
    "nothing", [reply([]), calls("bash"), said("No", stop_reason="refusal")]
)
async def test_without_a_summary_it_is_asked_for_again_as_plain_text(turn, nothing):
    turn.queue_message("Go")
    model = DeterministicModel(too_long(), nothing, said("SUMMARY"), said("Ok"))
    assert await run_turn(turn, model) == END_TURN
    assert turn.executed == []
    again = model.requests[2]
    assert again.messages[0]["content"][0]["text"].startswith(RETOLD)
    assert again.tools == ()


async def test_summaries_that_are_too_long_or_empty_end_it_too(turn):
    turn.queue_message("Go")
    outputs = [too_long(), too_long(), reply([]), too_long()]
    model = DeterministicModel(*outputs)
    assert await run_turn(turn, model) == RETRIES_EXHAUSTED
    assert not model.outputs
    starts = [r for r in turn.log if isinstance(r.payload, ModelRequestStart)]
    ends = payloads(turn, "span.model_request_end")
    assert [end.model_request_start_id for end in ends] == [r.id for r in starts]


async def test_a_passing_failure_of_the_summary_is_waited_for(turn):
    turn.queue_message("Go")
    model = DeterministicModel(too_long(), failure(), said("SUMMARY"), said("Ok"))
    assert await run_turn(turn, model) == END_TURN
    assert len(turn.waits) == 1
    assert types(turn).count(COMPACTED) == 1


async def test_a_provider_with_a_smaller_window_than_thought_is_believed():
    """Nobody told the platform that this endpoint takes 2,000 tokens."""

    class Narrow(DeterministicModel):
        async def stream(self, request, listener):
            self.requests.append(request)
            size = len(str([request.messages, request.tools, request.system])) // 4
            if size > 2_000:
                raise too_long()
            if OPENING in str(request.messages[-1]):
                return said("SUMMARY")
            return self.outputs.pop(0)

    turn = FakeTurn(agent=fake_agent(tools=[]))
    turn.queue_message("Go")
    talk = [said("z" * 900, stop_reason="max_tokens")] * 30
    model = Narrow(*talk, said("Done"))
    assert await run_turn(turn, model) == END_TURN
    assert types(turn).count(COMPACTED) >= 3


async def test_an_interrupt_while_condensing_closes_its_request():
    turn = FakeTurn(agent=small_agent())
    turn.queue_message("y" * 100_000)
    model = HangingModel()
    task = asyncio.create_task(run_turn(turn, model))
    await within(model.began.wait())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    turn.write(Draft(payload=UserInterrupt()))
    await close_interrupted(turn)
    assert types(turn)[-1] == "span.model_request_end"
    assert turn.frames == []
    turn.queue_message("Go on")
    again = DeterministicModel(said("SUMMARY"), said("Ok"))
    assert await run_turn(turn, again) == END_TURN


async def test_a_crash_between_request_and_record_asks_for_the_summary_again(
    server, model, script
):
    whole = await condensed_turn(script, server, model, 60)
    at = types(whole).index(COMPACTED)
    for kept in (at - 1, at + 1):  # before the append, after it
        resumed = turn_with_results(2_000, log=whole.log[:kept])
        assert await run_turn(resumed, model) == END_TURN
        assert len(payloads(resumed, "agent.tool_result")) == 60
        assert types(resumed).count(COMPACTED) == types(whole).count(COMPACTED)


@pytest.mark.parametrize("share", [n / 8 for n in range(1, 8)])
async def test_wherever_it_is_cut_the_session_ends_the_same(
    share, server, model, script
):
    whole = await condensed_turn(script, server, model, 60)
    starts = [n for n, kind in enumerate(types(whole)) if "request_start" in kind]
    kept = starts[int(len(starts) * share)] + 1
    resumed = turn_with_results(2_000, log=whole.log[:kept])
    assert await run_turn(resumed, model) == END_TURN
    assert resumed.log[:kept] == whole.log[:kept]
    assert len(payloads(resumed, "agent.tool_result")) == 60
    assert payloads(resumed, "agent.message") == payloads(whole, "agent.message")


# Any log.


class RandomSizedModel(RandomModel):
    """Fails, refuses lengths and leaves summaries out by the dice, too."""

    async def stream(self, request, listener):
        check(body(request))
        if self.dice.random() < 0.05:
            raise too_long()
        assert LOST_RESULT not in str(request.messages)
        if OPENING in str(request.messages[-1]["content"][-1]):
            self.check_history(unmarked(request.messages)[:-1])
            return said("SUMMARY" * self.dice.randrange(3))
        answer = await super().stream(request, listener)
        used = sum(len(str(message)) for message in request.messages) // 4
        return replace(answer, usage=Usage(input_tokens=used))

    def check_history(self, history) -> None:
        """What is summed up is a beginning of what the model has seen, or retold."""
        if history and not str(history[0][1].get("text")).startswith(RETOLD):
            assert unmarked(fold(self.turn.log))[: len(history)] == history


@pytest.mark.parametrize("seed", range(150))
async def test_whatever_happens_requests_are_well_formed_and_the_log_only_grows(seed):
    dice = random.Random(seed)

    async def run(call):
        return ToolResult(
            content=({"type": "text", "text": "x" * dice.randrange(3_000)},)
        )

    turn = FakeTurn(agent=small_agent(4_000), run=run)
    model = RandomSizedModel(dice, turn)
    before = []
    for number in range(dice.randrange(4, 16)):
        turn.queue_message(f"message {number} " + "y" * dice.randrange(2_000))
        while turn.queue:
            await run_turn(turn, model)
            if dice.random() < 0.2:
                turn.write(Draft(payload=ModelRequestStart()))
        assert turn.log[: len(before)] == before
        before = list(turn.log)
        _check_alternation(fold(turn.log))
    covered = [r.private["through"] for r in turn.log if r.type.value == COMPACTED]
    assert covered == sorted(covered)
    ended = [e.model_request_start_id for e in payloads(turn, "span.model_request_end")]
    assert len(ended) == len(set(ended))


def _check_alternation(messages) -> None:
    roles = [message["role"] for message in messages]
    assert all(a != b for a, b in pairwise(roles))
    assert roles[0] == "user"


async def test_the_random_logs_do_reach_their_horizon():
    """Or the test above would hold nothing."""
    met = set()
    for seed in range(20):
        dice = random.Random(seed)

        async def run(call):
            return ToolResult(content=({"type": "text", "text": "x" * 1_500},))

        turn = FakeTurn(agent=small_agent(4_000), run=run)
        for number in range(12):
            turn.queue_message(f"message {number}")
            while turn.queue:
                await run_turn(turn, RandomSizedModel(dice, turn))
        met |= set(types(turn))
    assert {TRIMMED, COMPACTED} <= met


# Small things.


def test_windows_go_by_the_longest_beginning():
    assert window("claude-sonnet-4-5-20250929") == DEFAULT_WINDOW
    assert window("claude-sonnet-4-6") == LONG_WINDOW
    assert window("claude-sonnet-4-5[1m]") == LONG_WINDOW
    assert window("scripted-window-8000") == 8_000
    assert window("scripted-demo") == DEFAULT_WINDOW
    assert window("somebody/elses-model") == DEFAULT_WINDOW


def test_a_reply_keeps_its_place_in_the_window():
    assert room("claude-sonnet-4-6", 64_000) == 936_000
    assert room("scripted-window-8000", 32_000) == 6_000


def test_a_retold_conversation_keeps_to_its_limit():
    image = {"type": "image", "source": {}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [image]}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "Больше " * 500}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "SECRET", "signature": "s"},
                {"type": "tool_use", "id": "t", "name": "bash", "input": {"a": 1}},
            ],
        },
        {"role": "user", "content": [result]},
    ]
    whole = retell(messages, 10_000)
    assert "SECRET" not in whole
    assert '(calls bash: {"a": 1})' in whole
    assert "(result: (image))" in whole
    assert len(retell(messages, 200)) < 700


def test_usage_of_another_ending_is_no_reply():
    end = ModelRequestEnd(model_request_start_id="s", model_usage={})
    turn = FakeTurn()
    turn.write(
        Draft(payload=UserMessage(content=[{"type": "text", "text": "Hi"}])),
        Draft(payload=end, private={"condenses": True}),
        Draft(
            payload=ThreadContextCompacted(agentsite_summary="S"),
            private={"through": 1, "kept": []},
        ),
    )
    (message,) = fold(turn.log)
    assert message["role"] == "user"


async def test_a_client_s_long_result_can_be_left_out_too():
    use = AgentCustomToolUse(name="lookup", input={})
    result = UserCustomToolResult(
        custom_tool_use_id="sevt_use", content=[{"type": "text", "text": "x" * 2_000}]
    )
    call = {"type": "tool_use", "id": "toolu_1", "name": "lookup", "input": {}}
    end = ModelRequestEnd(model_request_start_id="sevt_start", model_usage={})
    turn = FakeTurn()
    turn.queue_message("Go")
    await turn.take_in()
    turn.write(
        Draft(payload=end, private={"content": [call], "stop_reason": "tool_use"}),
        Draft(payload=use, id="sevt_use", private={"model_tool_use_id": "toolu_1"}),
        Draft(payload=result),
    )
    assert "x" * 2_000 in str(fold(turn.log))
    turn.write(
        Draft(payload=ResultsTrimmed(through=len(turn.log), results=1, tokens=1))
    )
    assert "x" * 2_000 not in str(fold(turn.log))
    assert "2,000 characters" in str(fold(turn.log))
