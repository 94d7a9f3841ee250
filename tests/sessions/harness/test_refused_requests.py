"""A host may stand against the next model request; what was to do is then still to do."""

from __future__ import annotations

from sessions.events import Draft, SessionStatusIdle, ThreadStatusIdle
from sessions.harness.contract import BUDGET_REACHED, END_TURN
from sessions.harness.loop import run_turn
from sessions.harness.standing import requests_this_turn
from tests.sessions.harness.kit import DeterministicModel, calls, failure, said, types


def rest(turn, reason):
    why = {"stop_reason": {"type": reason}}
    naming = {"session_thread_id": turn.thread_id, "agent_name": "x"}
    turn.write(Draft(payload=ThreadStatusIdle(**naming, **why)))
    turn.write(Draft(payload=SessionStatusIdle(**why)))


async def test_a_refused_request_is_not_begun(turn):
    turn.queue_message("Hello")
    turn.refusal = BUDGET_REACHED
    model = DeterministicModel()
    assert await run_turn(turn, model) == BUDGET_REACHED
    assert model.requests == []
    assert types(turn) == ["user.message"]


async def test_what_was_called_is_run_before_the_next_request_is_refused(turn):
    turn.queue_message("Look")
    model = DeterministicModel(calls("bash"))

    class Once:
        async def stream(self, request, listener):
            turn.refusal = BUDGET_REACHED
            return await model.stream(request, listener)

    assert await run_turn(turn, Once()) == BUDGET_REACHED
    assert types(turn)[-1] == "agent.tool_result"


async def test_after_a_pause_the_same_turn_goes_on(turn):
    turn.queue_message("Hello")
    turn.refusal = BUDGET_REACHED
    await run_turn(turn, DeterministicModel())
    rest(turn, "budget_reached")
    turn.refusal = None
    assert await run_turn(turn, DeterministicModel(said("Good day"))) == END_TURN


async def test_the_requests_of_a_turn_are_counted_with_those_that_failed(turn):
    turn.queue_message("Look")
    model = DeterministicModel(failure(), calls("bash"), said("Seen"))
    await run_turn(turn, model)
    assert requests_this_turn(turn.log) == 3


async def test_rests_within_a_turn_do_not_begin_a_new_count(turn):
    turn.queue_message("Look")
    await run_turn(turn, DeterministicModel(said("Seen")))
    for reason in ("requires_action", "budget_reached"):
        rest(turn, reason)
        assert requests_this_turn(turn.log) == 1
    rest(turn, "end_turn")
    assert requests_this_turn(turn.log) == 0
