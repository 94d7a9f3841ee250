"""The checker sees what it is there to see: each log here was doctored by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.faults.checker import Event, Left, count, faults, strays


def event(type, seq, position=0, id="", **payload):
    return Event(
        id=id or f"sevt_{seq}",
        type=type,
        seq=seq,
        position=seq if position == 0 else position,
        payload=payload,
    )


EVENTS = (
    event("user.message", 1, position=2),
    event("span.model_request_start", 3, id="ask"),
    event("agent.tool_use", 4, id="call", name="bash", input={"command": count("a")}),
    event("span.model_request_end", 5, model_request_start_id="ask"),
    event("agentsite.tool_started", 6, tool_use_id="call"),
    event("agent.tool_result", 7, tool_use_id="call", is_error=False),
    event("session.status_idle", 8),
)
WELL = Left(
    id="sesn_1",
    status="idle",
    stop_reason={"type": "end_turn"},
    next_seq=9,
    events=EVENTS,
)


def doctored(*events, without=(), **fields):
    kept = [event for event in EVENTS if event.seq not in without]
    return replace(WELL, events=[*kept, *events], **fields)


def test_it_finds_nothing_in_a_log_that_is_well():
    assert faults(WELL, ["a"]) == []


def test_it_sees_a_gap():
    (fault,) = faults(doctored(without=[6]))
    assert "number 6 was given 0 times" in fault


def test_it_sees_a_number_that_was_given_twice():
    (fault,) = faults(doctored(event("agent.message", 6, id="twin")))
    assert "number 6 was given 2 times" in fault


def test_it_sees_that_the_end_of_a_log_is_lost():
    (fault,) = faults(doctored(next_seq=10))
    assert "number 9 was given 0 times" in fault


def test_it_sees_a_number_beyond_the_counter():
    (fault,) = faults(doctored(next_seq=8))
    assert "number 8 is beyond the counter" in fault


def test_it_sees_a_second_result():
    again = event("agent.tool_result", 9, tool_use_id="call")
    (fault,) = faults(doctored(again, next_seq=10))
    assert "call call has 2 results" in fault


def test_it_sees_a_call_without_a_result():
    missing = event("agent.message", 7)
    (fault,) = faults(doctored(missing, without=[7]))
    assert "call call has 0 results" in fault


def test_it_lets_a_call_wait_that_the_session_says_it_waits_for():
    waits = {"type": "requires_action", "event_ids": ["call"]}
    missing = event("agent.message", 7)
    assert faults(doctored(missing, without=[7], stop_reason=waits)) == []


def test_it_sees_a_result_of_no_call():
    strange = event("agent.tool_result", 9, tool_use_id="other")
    (fault,) = faults(doctored(strange, next_seq=10))
    assert "answers other" in fault


def test_it_sees_a_model_request_without_an_end():
    other = event("agent.message", 5)
    (fault,) = faults(doctored(other, without=[5]))
    assert "model request ask ended 0 times" in fault


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"status": "running"}, "still running"),
        ({"stop_reason": None}, "says no reason"),
        ({"stop_reason": {"type": "requires_action"}}, "does not say for what"),
    ],
)
def test_it_sees_a_session_that_does_not_rest(fields, said):
    (fault,) = faults(doctored(**fields))
    assert said in fault


def test_it_sees_a_message_that_nobody_took_in():
    queued = event("user.message", 9, position=None)
    (fault,) = faults(doctored(queued, next_seq=10))
    assert "never taken in" in fault


def test_it_sees_an_effect_that_came_twice():
    (fault,) = faults(WELL, ["a", "a"])
    assert "(a) took effect 2 times" in fault


def test_it_sees_a_success_that_had_no_effect():
    (fault,) = faults(WELL, [])
    assert "(a) took effect 0 times" in fault


@pytest.mark.parametrize("counted", [[], ["a"]])
def test_a_call_of_unknown_outcome_may_have_happened_or_not(counted):
    unknown = event("agent.tool_result", 7, tool_use_id="call", is_error=True)
    assert faults(doctored(unknown, without=[7]), counted) == []


def test_it_sees_containers_of_nobody_and_second_ones():
    assert strays(["a", "b"], {"a", "b", "c"}) == []
    assert strays(["a", "a"], {"a"}) == ["a has 2 containers"]
    assert strays(["a", "b"], {"a"}) == ["a container is left of b"]
