"""The life of a session: who may claim it, how a turn ends, what a status change tells."""

from __future__ import annotations

import pytest

from sessions import actions, leases, lifecycle, log
from sessions.events import (
    AgentToolUse,
    Draft,
    EventType,
    ModelRequestEnd,
    ModelRequestStart,
    UserInterrupt,
    UserMessage,
)
from sessions.lifecycle import Finished
from sessions.models import Event, Session, Status, Thread
from sessions.usage import usage_of

pytestmark = pytest.mark.django_db


def message(text="Go"):
    payload = UserMessage(content=[{"type": "text", "text": text}])
    return Draft(payload=payload, queued=True)


HOST_A = f"{leases.boot_id()}:a"
HOST_B = f"{leases.boot_id()}:b"
STOP = Draft(payload=UserInterrupt(), queued=True)


@pytest.fixture
def running(actor, session):
    actions.send_events(actor, session, [message()])
    session.refresh_from_db()
    return session


@pytest.fixture
def held(running):
    (_claim,) = leases.claim(HOST_A, 10)
    running.refresh_from_db()
    return running


def types(session):
    rows = Event.objects.filter(session=session).order_by("seq")
    return list(rows.values_list("type", flat=True))


def test_a_message_makes_it_running_and_says_so(running):
    assert running.status == Status.RUNNING
    assert types(running) == [
        "user.message",
        "session.status_running",
        "session.thread_status_running",
    ]


def test_a_second_message_does_not_say_running_again(actor, running):
    actions.send_events(actor, running, [message("more")])
    assert types(running).count("session.status_running") == 1


def test_a_turn_ends_with_usage_then_idle(held):
    log.take_in(held.pk, fence=1)
    assert lifecycle.finish(held.pk, fence=1) is Finished.SESSION_IDLE
    assert types(held)[-3:] == [
        "session.thread_status_idle",
        "session.usage",
        "session.status_idle",
    ]
    held.refresh_from_db()
    assert (held.status, held.owner) == (Status.IDLE, "")
    assert held.stop_reason == {"type": "end_turn"}


def test_a_message_that_arrives_while_the_turn_ends_keeps_it_going(actor, held):
    log.take_in(held.pk, fence=1)
    actions.send_events(actor, held, [message("one more")])
    assert lifecycle.finish(held.pk, fence=1) is Finished.GOES_ON
    held.refresh_from_db()
    assert (held.status, held.owner) == (Status.RUNNING, HOST_A)


def test_a_message_behind_an_interrupt_opens_the_next_turn(actor, held):
    log.take_in(held.pk, fence=1)
    actions.send_events(actor, held, [STOP, message("instead")])
    log.take_in(held.pk, fence=1, types=[EventType.USER_INTERRUPT])
    assert lifecycle.finish(held.pk, fence=1, cut=True) is Finished.NEXT_TURN
    assert types(held)[-4:] == [
        "session.usage",
        "session.status_idle",
        "session.status_running",
        "session.thread_status_running",
    ]


def test_an_interrupt_of_an_idle_session_changes_nothing(actor, session):
    actions.send_events(actor, session, [STOP])
    session.refresh_from_db()
    assert session.status == Status.IDLE
    (event,) = Event.objects.filter(session=session)
    assert event.processed_at is not None


def test_a_worker_that_lost_its_lease_cannot_end_the_turn(held):
    leases.expire([HOST_A])
    leases.claim(HOST_B, 1)
    with pytest.raises(log.Fenced):
        lifecycle.finish(held.pk, fence=1)


def test_rescheduling_says_so_and_goes_on(held):
    lifecycle.reschedule(held.pk, fence=1)
    held.refresh_from_db()
    assert held.status == Status.RESCHEDULING
    lifecycle.go_on(held.pk, fence=1)
    assert types(held)[-4:] == [
        "session.status_rescheduled",
        "session.thread_status_rescheduled",
        "session.status_running",
        "session.thread_status_running",
    ]


def test_an_interrupt_that_came_too_late_is_taken_in_with_the_end(actor, held):
    log.take_in(held.pk, fence=1)
    actions.send_events(actor, held, [STOP])
    assert lifecycle.finish(held.pk, fence=1) is Finished.SESSION_IDLE
    assert not log.stopped_threads(held.pk)
    assert types(held).count("session.status_running") == 1


def test_a_late_interrupt_still_parts_the_turn_from_what_follows(actor, held):
    log.take_in(held.pk, fence=1)
    actions.send_events(actor, held, [STOP, message("instead")])
    assert lifecycle.finish(held.pk, fence=1) is Finished.NEXT_TURN
    assert types(held)[-3:] == [
        "session.status_idle",
        "session.status_running",
        "session.thread_status_running",
    ]
    assert not log.stopped_threads(held.pk)
    assert "user.message" in log.queued_types(held.pk)


def ended(**usage):
    by_ttl = {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4}
    payload = ModelRequestEnd(model_request_start_id="sevt_1", model_usage=usage)
    return Draft(payload=payload, private={"cache_creation": by_ttl})


def test_usage_is_summed_by_how_long_the_cache_keeps(held):
    thread = held.threads.get()
    spent = ended(input_tokens=5, output_tokens=2, cache_creation_input_tokens=7)
    for _ in range(2):
        lifecycle.append_and_count(held.pk, [spent], fence=1, thread_id=thread.pk)
    held.refresh_from_db()
    used = usage_of(held)
    assert (used["input_tokens"], used["output_tokens"]) == (10, 4)
    assert used["cache_creation"] == {
        "ephemeral_5m_input_tokens": 6,
        "ephemeral_1h_input_tokens": 8,
    }


def test_each_thread_has_its_own_usage(held):
    primary = held.threads.get()
    child = Thread.objects.create(session=held, parent=primary, agent_snapshot={})
    for thread in (primary, child):
        lifecycle.append_and_count(
            held.pk, [ended(input_tokens=5)], fence=1, thread_id=thread.pk
        )
    child.refresh_from_db()
    held.refresh_from_db()
    assert child.usage["input_tokens"] == 5
    assert held.usage["input_tokens"] == 10


def test_the_clock_of_a_session_that_cannot_be_recovered_stands_still(held):
    error = {"type": "unknown_error", "message": "Lost.", "retry_status": {}}
    lifecycle.terminate(held.pk, fence=1, error=error)
    held.refresh_from_db()
    assert held.running_since is None
    assert (held.status, held.owner) == (Status.TERMINATED, "")


def test_archiving_what_has_ended_says_nothing_twice(held):
    stale = Session.objects.get(pk=held.pk)
    error = {"type": "unknown_error", "message": "Lost.", "retry_status": {}}
    lifecycle.terminate(held.pk, fence=1, error=error)
    assert lifecycle.archive(stale)
    assert types(held).count("session.status_terminated") == 1


def test_a_fault_of_ours_is_an_error_in_the_log_and_tried_again(held):
    lifecycle.set_back(held.pk, fence=1, fault="KeyError")
    held.refresh_from_db()
    assert (held.status, held.owner) == (Status.RESCHEDULING, "")
    error = Event.objects.get(session=held, type="session.error").payload["error"]
    assert "KeyError" in error["message"]
    assert held.pk in error["message"]
    assert error["retry_status"] == {"type": "retrying"}
    assert leases.claim(HOST_B, 1) == []
    Session.objects.update(retry_at=1)
    (claim,) = leases.claim(HOST_B, 1)
    assert not claim.taken_over


def test_a_fault_that_stays_ends_the_turn(held):
    for _ in range(lifecycle.FAULTS + 1):
        Session.objects.update(retry_at=None, owner=HOST_A)
        lifecycle.set_back(held.pk, fence=1, fault="KeyError")
    held.refresh_from_db()
    assert held.status == Status.IDLE
    assert held.stop_reason == {"type": "retries_exhausted"}


def test_a_turn_that_is_given_up_leaves_no_call_and_no_request_open(held):
    call = AgentToolUse(name="bash", input={}, evaluated_permission="allow")
    drafts = [Draft(payload=call), Draft(payload=ModelRequestStart())]
    made, began = log.append(held.pk, drafts, fence=1)
    for _ in range(lifecycle.FAULTS + 1):
        Session.objects.update(retry_at=None, owner=HOST_A)
        lifecycle.set_back(held.pk, fence=1, fault="KeyError")
    result = Event.objects.get(session=held, type="agent.tool_result")
    assert result.payload["tool_use_id"] == made.id
    assert "may have had effects" in result.payload["content"][0]["text"]
    end = Event.objects.get(session=held, type="span.model_request_end")
    assert end.payload["model_request_start_id"] == began.id


def stale(**fields):
    Session.objects.update(**fields)
    return lifecycle.stale()


def test_a_session_stands_as_its_threads_do(held, session):
    assert lifecycle.stale() == []
    assert not lifecycle.settle(held.pk)


def test_a_session_that_works_on_nothing_is_set_idle(session):
    assert stale(status=Status.RUNNING, owner=HOST_A, fence=3) == [session.pk]
    assert lifecycle.settle(session.pk)
    session.refresh_from_db()
    assert (session.status, session.owner, session.fence) == (Status.IDLE, "", 4)
    assert session.stop_reason["type"] == "end_turn"
    *_, last = Event.objects.filter(session=session).order_by("seq")
    assert last.type == "session.status_idle"
    assert lifecycle.stale() == []


def test_a_session_that_rests_beside_a_thread_that_works_can_be_claimed_again(held):
    assert stale(status=Status.IDLE, owner="") == [held.pk]
    assert lifecycle.settle(held.pk)
    assert [claim.session_id for claim in leases.claim(HOST_B, 1)] == [held.pk]


def test_whoever_lost_the_lease_cannot_say_that_the_turn_failed(held):
    leases.expire([HOST_A])
    leases.claim(HOST_B, 1)
    with pytest.raises(log.Fenced):
        lifecycle.set_back(held.pk, fence=1, fault="KeyError")
