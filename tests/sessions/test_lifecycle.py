"""The life of a session: who may claim it, how a turn ends, what a status change tells."""

from __future__ import annotations

import pytest
from django.db import connection

from sessions import actions, lifecycle, log
from sessions.events import Draft, EventType, UserInterrupt, UserMessage
from sessions.models import Event, Session, Status

pytestmark = pytest.mark.django_db


def message(text="Go"):
    payload = UserMessage(content=[{"type": "text", "text": text}])
    return Draft(payload=payload, queued=True)


HOST_A = f"{lifecycle.boot_id()}:a"
HOST_B = f"{lifecycle.boot_id()}:b"
STOP = Draft(payload=UserInterrupt(), queued=True)


@pytest.fixture
def running(actor, session):
    actions.send_events(actor, session, [message()])
    session.refresh_from_db()
    return session


@pytest.fixture
def held(running):
    (claim,) = lifecycle.claim(HOST_A, 10)
    running.refresh_from_db()
    return running


def types(session):
    rows = Event.objects.filter(session=session).order_by("seq")
    return list(rows.values_list("type", flat=True))


def test_an_idle_session_is_not_claimed(session):
    assert lifecycle.claim(HOST_A, 10) == []


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


def test_one_host_claims_it(running):
    assert [c.session_id for c in lifecycle.claim(HOST_A, 10)] == [running.pk]
    assert lifecycle.claim(HOST_B, 10) == []


def test_a_claim_raises_the_fence(held):
    assert held.fence == 1
    assert held.owner == HOST_A


def test_it_claims_no_more_than_asked(actor, agent, environment):
    for _ in range(3):
        actions.create_session(
            actor,
            agent=agent.latest,
            environment=environment,
            initial_events=[message()],
        )
    assert len(lifecycle.claim(HOST_A, 2)) == 2
    assert lifecycle.waiting_count() == 1


def test_an_expired_lease_is_taken_over(held):
    Session.objects.update(lease_until=1)
    (claim,) = lifecycle.claim(HOST_B, 10)
    assert claim.taken_over
    assert claim.fence == 2


def test_a_dead_host_loses_its_sessions_at_once(held):
    assert lifecycle.expire([HOST_A]) == 1
    assert [c.session_id for c in lifecycle.claim(HOST_B, 1)] == [held.pk]


@pytest.mark.skipif(
    connection.vendor == "postgresql", reason="PostgreSQL's clock goes on over boots"
)
def test_a_lease_of_another_boot_is_free(held, monkeypatch):
    monkeypatch.setattr(lifecycle, "boot_id", lambda: "otherboot")
    assert len(lifecycle.claim(HOST_B, 1)) == 1


def test_handing_back_is_no_take_over(held):
    lifecycle.hand_back(HOST_A)
    (claim,) = lifecycle.claim(HOST_B, 10)
    assert not claim.taken_over


def test_renewing_tells_what_is_still_held(held):
    assert lifecycle.renew(HOST_A, [held.pk]) == {held.pk: 1}
    assert lifecycle.renew(HOST_B, [held.pk]) == {}


def test_a_turn_ends_with_usage_then_idle(held):
    log.take_in(held.pk, fence=1)
    assert lifecycle.finish(held.pk, fence=1)
    assert types(held)[-3:] == [
        "session.usage",
        "session.thread_status_idle",
        "session.status_idle",
    ]
    held.refresh_from_db()
    assert (held.status, held.owner) == (Status.IDLE, "")
    assert held.stop_reason == {"type": "end_turn"}


def test_a_message_that_arrives_while_the_turn_ends_keeps_it_going(actor, held):
    log.take_in(held.pk, fence=1)
    actions.send_events(actor, held, [message("one more")])
    assert not lifecycle.finish(held.pk, fence=1)
    held.refresh_from_db()
    assert (held.status, held.owner) == (Status.RUNNING, HOST_A)


def test_a_message_behind_an_interrupt_opens_the_next_turn(actor, held):
    log.take_in(held.pk, fence=1)
    actions.send_events(actor, held, [STOP, message("instead")])
    log.take_in(held.pk, fence=1, types=[EventType.USER_INTERRUPT])
    assert not lifecycle.finish(held.pk, fence=1, cut=True)
    assert types(held)[-4:] == [
        "session.thread_status_idle",
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
    lifecycle.expire([HOST_A])
    lifecycle.claim(HOST_B, 1)
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


def test_usage_is_summed(held):
    for _ in range(2):
        lifecycle.count_usage(held.pk, {"input_tokens": 5, "output_tokens": 2})
    held.refresh_from_db()
    assert lifecycle.usage_of(held)["input_tokens"] == 10
