"""What became of each call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sessions import ledger, log
from sessions.events import Draft, Record, parse
from sessions.ledger import State, fold

BEGAN = datetime(2026, 11, 1, tzinfo=UTC)


def records(*events):
    return [
        Record(
            id=f"sevt_{number}",
            seq=number,
            position=number,
            payload=parse(kind, payload),
            created_at=BEGAN + timedelta(seconds=number),
            thread_id="sthr_1",
        )
        for number, (kind, payload) in enumerate(events, start=1)
    ]


def use(permission="allow"):
    said = {"name": "bash", "input": {}, "evaluated_permission": permission}
    return "agent.tool_use", said


CUSTOM = ("agent.custom_tool_use", {"name": "weather", "input": {}})
STARTED = ("agentsite.tool_started", {"tool_use_id": "sevt_1"})
DONE = ("agent.tool_result", {"tool_use_id": "sevt_1"})
FAILED = ("agent.tool_result", {"tool_use_id": "sevt_1", "is_error": True})
LOST = (
    "agent.tool_result",
    {"tool_use_id": "sevt_1", "is_error": True, "agentsite_unknown": True},
)
BY_ALICE = {"tool_use_id": "sevt_1", "call": "bash {}", "sender": "Alice"}
LOOK = ("agentsite.tool_look", BY_ALICE)
LOOKED = (
    "agentsite.tool_looked",
    {"tool_use_id": "sevt_1", "errand_id": "sevt_4", "found": "running"},
)
RERUN = ("agentsite.tool_rerun", {**BY_ALICE, "attempt": 2})
AGAIN = ("agentsite.tool_started", {"tool_use_id": "sevt_1", "attempt": 2})
MARKED = ("agentsite.tool_marked_done", BY_ALICE)


def late(outcome, **more):
    said = {**BY_ALICE, "errand_id": "sevt_4", "attempt": 2, "outcome": outcome}
    return "agentsite.tool_late_result", {**said, **more}


FAILED_LATE = late("run_again", is_error=True)


def word(result):
    said = {"tool_use_id": "sevt_1", "result": result, "agentsite_sender": "Alice"}
    return "user.tool_confirmation", said


def recovered(outcome):
    return "agentsite.recovery", {
        "calls": [{"tool_use_id": "sevt_1", "name": "bash", "outcome": outcome}]
    }


@pytest.mark.parametrize(
    ("events", "state", "attempt"),
    [
        ([use()], State.PENDING, 0),
        ([use("ask")], State.WAITING, 0),
        ([CUSTOM], State.WAITING, 0),
        ([use("deny"), FAILED], State.DENIED, 0),
        ([use("ask"), word("allow")], State.PENDING, 0),
        ([use("ask"), word("deny"), FAILED], State.DENIED, 0),
        ([use(), STARTED], State.RUNNING, 1),
        ([use(), STARTED, DONE], State.DONE, 1),
        ([use(), STARTED, FAILED], State.FAILED, 1),
        ([use(), STARTED, recovered("collected"), DONE], State.DONE, 1),
        ([use(), STARTED, recovered("re-run"), DONE], State.DONE, 2),
        ([use(), STARTED, LOST], State.UNKNOWN, 1),
        ([use(), STARTED, LOST, LOOK], State.UNKNOWN, 1),
        ([use(), STARTED, LOST, LOOK, LOOKED], State.UNKNOWN, 1),
        ([use(), STARTED, LOST, LOOK, late("collected"), LOOKED], State.DONE, 1),
        ([use(), STARTED, LOST, RERUN], State.PENDING, 1),
        ([use(), STARTED, LOST, RERUN, AGAIN], State.RUNNING, 2),
        ([use(), STARTED, LOST, RERUN, AGAIN, late("run_again")], State.DONE, 2),
        ([use(), STARTED, LOST, RERUN, AGAIN, FAILED_LATE], State.FAILED, 2),
        ([use(), STARTED, LOST, RERUN, AGAIN, late("unknown")], State.UNKNOWN, 2),
        ([use(), STARTED, LOST, MARKED], State.DONE, 1),
    ],
)
def test_a_call_stands_as_the_log_says(events, state, attempt):
    (call,) = fold(records(*events))
    assert (call.state, call.attempt) == (state, attempt)


def test_it_says_who_allowed_a_call_and_when():
    (call,) = fold(records(use("ask"), word("allow"), STARTED, DONE))
    assert call.answered_by == "Alice"
    moments = [call.asked_at, call.answered_at, call.started_at, call.ended_at]
    assert moments == [BEGAN + timedelta(seconds=n) for n in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("event", "how"),
    [
        (late("collected"), "look"),
        (late("run_again"), "run_again"),
        (MARKED, "mark_done"),
    ],
)
def test_it_says_who_settled_a_call_and_how(event, how):
    (call,) = fold(records(use(), STARTED, LOST, event))
    assert (call.settled_by, call.settled_how, call.errand) == ("Alice", how, None)


def test_an_event_of_an_unknown_call_changes_nothing():
    assert fold(records(STARTED, DONE, word("allow"), recovered("unknown"))) == []


@pytest.mark.django_db
def test_the_calls_of_every_thread_are_in_it(session):
    kind, said = use()
    hidden = Draft(payload=parse(kind, said), inner=True)
    log.append(session.pk, [Draft(payload=parse(kind, said)), hidden])
    assert len(ledger.calls_of(session.pk)) == 2
