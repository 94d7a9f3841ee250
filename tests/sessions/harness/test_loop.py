"""The loop: order of events, tool calls, endings, interrupts."""

from __future__ import annotations

import asyncio
import json

import pytest

from sessions.events import Draft, SessionStatusIdle, UserInterrupt
from sessions.harness.contract import (
    END_TURN,
    RETRIES_EXHAUSTED,
    LeaseLost,
    ToolResult,
)
from sessions.harness.fake import FakeTurn, fake_agent
from sessions.harness.loop import RETRY_SECONDS, close_interrupted, run_turn
from sessions.harness.standing import is_interrupted
from tests.sessions.harness.kit import (
    DeterministicModel,
    HangingModel,
    calls,
    failure,
    payloads,
    reply,
    said,
    types,
    within,
)


async def test_a_plain_answer_is_taken_in_asked_shown_and_appended(turn):
    turn.queue_message("Hello")
    ending = await run_turn(turn, DeterministicModel(said("Good day")))
    assert ending == END_TURN
    assert types(turn) == [
        "user.message",
        "span.model_request_start",
        "agent.message",
        "span.model_request_end",
    ]
    assert [frame["type"] for frame in turn.frames] == ["event_start", "event_delta"]
    assert turn.frames[0]["event"]["id"] == turn.log[2].id
    assert turn.log[3].payload.model_request_start_id == turn.log[1].id
    assert turn.log[3].payload.model_usage == {
        "input_tokens": 7,
        "output_tokens": 3,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
    }


async def test_tool_calls_follow_the_end_of_their_request(turn):
    turn.queue_message("Look")
    await run_turn(turn, DeterministicModel(calls("bash"), said("Seen")))
    assert types(turn) == [
        "user.message",
        "span.model_request_start",
        "span.model_request_end",
        "agent.tool_use",
        "agentsite.tool_started",
        "agent.tool_result",
        "span.model_request_start",
        "agent.message",
        "span.model_request_end",
    ]
    use = turn.log[3]
    assert use.payload.evaluated_permission == "allow"
    assert use.payload.evaluation == {"type": "always_allow"}
    assert turn.log[5].payload.tool_use_id == use.id


async def test_parallel_calls_run_side_by_side_and_each_answers_when_it_ends():
    first_may_end = asyncio.Event()

    async def run(call):
        if call.input["n"] == 0:
            await first_may_end.wait()
        else:
            first_may_end.set()
        return ToolResult(content=({"type": "text", "text": f"n{call.input['n']}"},))

    turn = FakeTurn(run=run)
    turn.queue_message("Both")
    model = DeterministicModel(calls("bash", "read"), said("Done"))
    await run_turn(turn, model)
    texts = [r.content[0]["text"] for r in payloads(turn, "agent.tool_result")]
    assert texts == ["n1", "n0"]
    results = model.requests[1].messages[-1]["content"]
    assert {block["tool_use_id"] for block in results} == {
        "toolu_0_bash",
        "toolu_1_read",
    }


async def test_a_message_sent_meanwhile_is_taken_in_after_the_results(turn):
    async def run(call):
        turn.queue_message("And hurry")
        return ToolResult(content=({"type": "text", "text": "ok"},))

    turn._run = run
    turn.queue_message("Go")
    model = DeterministicModel(calls("bash"), said("Hurrying"))
    await run_turn(turn, model)
    kinds = [block["type"] for block in model.requests[1].messages[-1]["content"]]
    assert kinds == ["tool_result", "text"]


async def test_a_message_sent_during_the_last_reply_is_left_to_the_host(turn):
    turn.queue_message("One")

    class Model(DeterministicModel):
        async def stream(self, request, listener):
            turn.queue_message("Two")
            return await super().stream(request, listener)

    assert await run_turn(turn, Model(said("1"))) == END_TURN
    assert types(turn).count("user.message") == 1
    assert await run_turn(turn, DeterministicModel(said("2"))) == END_TURN
    assert types(turn).count("user.message") == 2


async def test_a_turn_without_anything_to_answer_does_not_ask_the_model(turn):
    assert await run_turn(turn, DeterministicModel()) == END_TURN
    assert types(turn) == []


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("bash", "The tool bash is turned off for this agent; nothing was run."),
        ("launch", "There is no tool named launch; nothing was run."),
    ],
)
async def test_a_call_of_a_tool_the_agent_lacks_is_denied_unrun(name, sentence):
    agent = fake_agent()
    agent["tools"][0]["configs"][0]["enabled"] = False
    turn = FakeTurn(agent=agent)
    turn.queue_message("Go")
    model = DeterministicModel(calls(name), said("I see"))
    assert await run_turn(turn, model) == END_TURN
    assert turn.executed == []
    (use,) = payloads(turn, "agent.tool_use")
    assert (use.evaluated_permission, use.evaluation) == ("deny", None)
    (result,) = payloads(turn, "agent.tool_result")
    assert result.is_error
    assert result.content[0]["text"] == sentence
    assert "bash" not in [tool["name"] for tool in model.requests[0].tools]


async def test_thinking_comes_back_exactly_and_is_nowhere_on_the_wire(turn):
    thought = {"type": "thinking", "thinking": "SECRET plan", "signature": "s1"}
    hidden = {"type": "redacted_thinking", "data": "SECRET data"}
    use = {"type": "tool_use", "id": "toolu_1", "name": "bash", "input": {}}
    turn.queue_message("Think")
    first = reply([thought, hidden, use], stop_reason="tool_use")
    model = DeterministicModel(first, said("Thought"))
    await run_turn(turn, model)
    assert model.requests[1].messages[1]["content"] == [thought, hidden, use]
    assert types(turn).count("agent.thinking") == 1
    wire = json.dumps([record.wire() for record in turn.log]) + json.dumps(turn.frames)
    assert "SECRET" not in wire
    assert turn.frames[0]["event"]["type"] == "agent.thinking"
    (thinking,) = [r for r in turn.log if r.type.value == "agent.thinking"]
    assert turn.frames[0]["event"]["id"] == thinking.id


async def test_a_refusal_ends_the_turn_with_its_details_and_runs_nothing(turn):
    details = {"type": "refusal", "category": "cyber", "explanation": "No."}
    use = {"type": "tool_use", "id": "toolu_1", "name": "bash", "input": {}}
    turn.queue_message("Break in")
    refused = reply([use], stop_reason="refusal", stop_details=details)
    ending = await run_turn(turn, DeterministicModel(refused))
    assert ending.stop_reason == {"type": "refusal"}
    assert ending.stop_details == details
    assert turn.executed == []
    turn.queue_message("Then something else")
    model = DeterministicModel(said("Gladly"))
    assert await run_turn(turn, model) == END_TURN
    assert [m["role"] for m in model.requests[0].messages] == ["user"]


async def test_a_text_cut_at_the_output_limit_is_gone_on_with(turn):
    turn.queue_message("Long")
    model = DeterministicModel(said("Once upon", stop_reason="max_tokens"), said("end"))
    assert await run_turn(turn, model) == END_TURN
    last = model.requests[1].messages[-1]
    assert last["role"] == "user"
    assert "cut off at the output limit" in last["content"][0]["text"]


async def test_a_call_that_did_not_arrive_whole_is_answered_with_its_fault(turn):
    turn.queue_message("Go")
    cut = calls("write", faults={"toolu_0_write": "This call was cut off."})
    assert await run_turn(turn, DeterministicModel(cut, said("Again"))) == END_TURN
    assert turn.executed == []
    (result,) = payloads(turn, "agent.tool_result")
    assert (result.is_error, result.content[0]["text"]) == (
        True,
        "This call was cut off.",
    )


async def test_pause_turn_is_asked_again(turn):
    turn.queue_message("Go")
    model = DeterministicModel(said("One", stop_reason="pause_turn"), said("Two"))
    assert await run_turn(turn, model) == END_TURN
    assert model.requests[1].messages[-1]["role"] == "assistant"


async def test_a_reply_that_promises_calls_and_makes_none_ends_the_turn(turn):
    turn.queue_message("Go")
    model = DeterministicModel(said("Calling…", stop_reason="tool_use"))
    assert await run_turn(turn, model) == END_TURN


async def test_an_empty_reply_ends_the_turn_and_leaves_no_empty_message(turn):
    turn.queue_message("Go")
    model = DeterministicModel(calls("bash"), reply([]), said("Yes?"))
    assert await run_turn(turn, model) == END_TURN
    assert "agent.message" not in types(turn)
    turn.queue_message("Hello?")
    await run_turn(turn, model)
    assert all(message["content"] for message in model.requests[2].messages)


async def test_passing_failures_are_told_waited_for_and_tried_again(turn):
    turn.queue_message("Go")
    model = DeterministicModel(failure(), failure(retry_after=9), said("At last"))
    assert await run_turn(turn, model) == END_TURN
    assert turn.waits == [RETRY_SECONDS[0], 9]
    errors = [error.error for error in payloads(turn, "session.error")]
    assert (
        errors
        == [
            {
                "type": "model_overloaded_error",
                "message": "The model failed (req_1).",
                "retry_status": {"type": "retrying"},
            }
        ]
        * 2
    )
    ends = payloads(turn, "span.model_request_end")
    assert [end.is_error for end in ends] == [True, True, False]


async def test_failures_that_do_not_pass_exhaust_the_retries(turn):
    turn.queue_message("Go")
    model = DeterministicModel(*[failure()] * (len(RETRY_SECONDS) + 1))
    assert await run_turn(turn, model) == RETRIES_EXHAUSTED
    assert turn.waits == list(RETRY_SECONDS)
    last = payloads(turn, "session.error")[-1].error
    assert last["retry_status"] == {"type": "exhausted"}
    turn.queue_message("Again, please")
    assert await run_turn(turn, DeterministicModel(failure(), said("Ok"))) == END_TURN


async def test_a_refused_request_is_not_tried_again(turn):
    turn.queue_message("Go")
    model = DeterministicModel(failure("billing_error", retryable=False))
    assert await run_turn(turn, model) == RETRIES_EXHAUSTED
    assert turn.waits == []
    assert await run_turn(turn, model) == RETRIES_EXHAUSTED


async def test_an_interrupt_while_the_model_speaks_closes_its_request(turn):
    turn.queue_message("Go")
    model = HangingModel()
    task = asyncio.create_task(run_turn(turn, model))
    await within(model.began.wait())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    turn.write(Draft(payload=UserInterrupt()))
    await close_interrupted(turn)
    assert types(turn) == [
        "user.message",
        "span.model_request_start",
        "user.interrupt",
        "span.model_request_end",
    ]
    assert await run_turn(turn, DeterministicModel()) == END_TURN
    turn.queue_message("Something else")
    assert await run_turn(turn, DeterministicModel(said("Ok"))) == END_TURN


async def test_an_interrupt_while_tools_run_answers_what_has_no_result():
    stuck = asyncio.Event()

    async def run(call):
        if call.input["n"] == 1:
            stuck.set()
            await asyncio.Event().wait()
        return ToolResult(content=({"type": "text", "text": "ok"},))

    turn = FakeTurn(run=run)
    turn.queue_message("Go")
    task = asyncio.create_task(
        run_turn(turn, DeterministicModel(calls("bash", "bash")))
    )
    await within(stuck.wait())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await close_interrupted(turn)
    results = payloads(turn, "agent.tool_result")
    assert [result.is_error for result in results] == [False, True]
    assert "interrupted before completion" in results[1].content[0]["text"]
    await close_interrupted(turn)
    assert len(payloads(turn, "agent.tool_result")) == 2


async def test_an_interrupt_found_on_resuming_runs_no_tool_and_asks_nothing(turn):
    turn.queue_message("Go")
    model = DeterministicModel(calls("bash"), said("Done"))
    await run_turn(turn, model)
    cut = turn.log[:4]
    resumed = FakeTurn(log=cut)
    resumed.write(Draft(payload=UserInterrupt()))
    assert await run_turn(resumed, DeterministicModel()) == END_TURN
    assert resumed.executed == []


async def test_an_interrupt_of_an_earlier_turn_is_over(turn):
    turn.queue_message("Go")
    await run_turn(turn, DeterministicModel(said("Ok")))
    turn.write(
        Draft(payload=UserInterrupt()),
        Draft(payload=SessionStatusIdle(stop_reason={"type": "end_turn"})),
    )
    assert not is_interrupted(turn.log)
    assert await run_turn(turn, DeterministicModel()) == END_TURN


async def test_a_turn_that_was_closed_keeps_its_ending(turn):
    turn.queue_message("Go")
    refused = reply([], stop_reason="refusal", stop_details={"type": "refusal"})
    ending = await run_turn(turn, DeterministicModel(refused))
    idle = SessionStatusIdle(
        stop_reason=ending.stop_reason, stop_details=ending.stop_details
    )
    turn.write(Draft(payload=idle))
    assert await run_turn(turn, DeterministicModel()) == ending


async def test_a_lost_lease_ends_every_call_of_the_turn():
    began, ended = asyncio.Event(), asyncio.Event()

    async def run(call):
        if call.input["n"] == 0:
            await began.wait()
            turn.lease_lost = True
            return ToolResult(content=())
        try:
            began.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    turn = FakeTurn(run=run)
    turn.queue_message("Go")
    with pytest.raises(LeaseLost, match="sesn_fake"):
        await run_turn(turn, DeterministicModel(calls("bash", "bash")))
    assert ended.is_set()


async def test_white_space_is_previewed_only_when_a_text_comes_of_it(turn):
    turn.queue_message("Go")
    blank = {"type": "text", "text": "\n\n"}
    words = {"type": "text", "text": " So."}
    await run_turn(turn, DeterministicModel(reply([blank, words])))
    (message,) = payloads(turn, "agent.message")
    assert message.content == [words]
    deltas = [frame["delta"] for frame in turn.frames if "delta" in frame]
    assert [(d["index"], d["content"]["text"]) for d in deltas] == [(0, " So.")]
