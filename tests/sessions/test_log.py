"""The event log: numbers without gaps, each event once, and only by who holds it."""

from __future__ import annotations

import random

import pytest

from sessions import log
from sessions.events import (
    AgentMessage,
    AgentToolUse,
    Draft,
    EventType,
    ThreadMessageReceived,
    ThreadStatusRunning,
    Unknown,
    UserInterrupt,
    UserMessage,
)
from sessions.models import Event, Session

pytestmark = pytest.mark.django_db


def said(text):
    return Draft(payload=AgentMessage(content=[{"type": "text", "text": text}]))


def asked(text):
    message = UserMessage(content=[{"type": "text", "text": text}])
    return Draft(payload=message, queued=True)


def told(text):
    message = ThreadMessageReceived(
        from_session_thread_id="sthr_1",
        from_agent_name="Worker",
        content=[{"type": "text", "text": text}],
    )
    return Draft(payload=message, queued=True)


def hold(session, fence=1):
    Session.objects.filter(pk=session.pk).update(fence=fence, owner="host")
    return fence


def numbers(session):
    rows = Event.objects.filter(session=session).values_list("seq", "position")
    return sorted({number for row in rows for number in row if number})


def test_it_numbers_events_from_one(session):
    written = log.append(session.pk, [said("a"), said("b")])
    assert [record.seq for record in written] == [1, 2]


def test_what_the_platform_writes_is_taken_in_at_once(session):
    (record,) = log.append(session.pk, [said("a")])
    assert record.position == record.seq
    assert record.processed_at is not None


def test_what_a_client_sends_waits_without_a_time(session):
    (record,) = log.append(session.pk, [asked("a")])
    assert record.position is None
    assert record.wire()["processed_at"] is None


def test_taking_in_gives_a_later_number_and_a_time(session):
    fence = hold(session)
    log.append(session.pk, [asked("a"), said("b")])
    (taken,) = log.take_in(session.pk, fence=fence)
    assert (taken.seq, taken.position) == (1, 3)
    assert taken.processed_at is not None


def test_taking_in_leaves_other_types_waiting(session):
    fence = hold(session)
    log.append(session.pk, [asked("a"), Draft(payload=UserInterrupt(), queued=True)])
    taken = log.take_in(session.pk, fence=fence, types=[EventType.USER_INTERRUPT])
    assert [record.type for record in taken] == [EventType.USER_INTERRUPT]
    assert "user.message" in log.queued_types(session.pk)


def test_numbers_have_no_gap_whatever_happens(session):
    fence = hold(session)
    chance = random.Random(7)
    for _ in range(60):
        match chance.choice(["say", "ask", "take"]):
            case "say":
                log.append(session.pk, [said("x")] * chance.randint(1, 3), fence=fence)
            case "ask":
                log.append(session.pk, [asked("y")])
            case _:
                log.take_in(session.pk, fence=fence)
    assert numbers(session) == list(range(1, log.last_number(session.pk) + 1))


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_lost_its_lease_writes_nothing(session):
    hold(session, fence=2)
    with pytest.raises(log.Fenced):
        log.append(session.pk, [said("late")], fence=1)
    assert Event.objects.count() == 0
    assert log.last_number(session.pk) == 0


def test_a_deleted_session_takes_no_events(session):
    pk = session.pk
    session.delete()
    with pytest.raises(log.SessionGone):
        log.append(pk, [said("a")], thread_id="sthr_x")


def test_an_idempotency_key_writes_once(session):
    first = Draft(payload=said("a").payload, idempotency_key="k")
    (one,) = log.append(session.pk, [first])
    (two,) = log.append(session.pk, [first])
    assert one.id == two.id
    assert log.last_number(session.pk) == 1


def test_a_known_key_beside_a_new_event_keeps_the_order(session):
    keyed = Draft(payload=said("a").payload, idempotency_key="k")
    log.append(session.pk, [keyed])
    again, fresh = log.append(session.pk, [keyed, said("b")])
    assert (again.seq, fresh.seq) == (1, 2)


def test_a_reader_sees_a_taken_event_twice(session):
    fence = hold(session)
    log.append(session.pk, [asked("a")])
    log.take_in(session.pk, fence=fence)
    frames = log.since(session.pk, 0)
    assert [(f.number, f.queued) for f in frames] == [(1, True), (2, False)]
    assert frames[0].wire()["processed_at"] is None
    assert frames[1].wire()["processed_at"] is not None
    assert frames[0].record.id == frames[1].record.id


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_reading_in_pages_misses_nothing(session, limit):
    fence = hold(session)
    for turn in range(8):
        log.append(session.pk, [asked(str(turn)), asked("more")])
        if turn % 3 == 2:
            log.take_in(session.pk, fence=fence)
        log.append(session.pk, [said(str(turn))], fence=fence)
    seen = []
    while frames := log.since(session.pk, seen[-1] if seen else 0, limit=limit):
        seen += [frame.number for frame in frames]
    assert seen == list(range(1, log.last_number(session.pk) + 1))


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_a_message_between_threads_is_read_once_where_it_was_taken_in(session, limit):
    fence = hold(session)
    log.append(session.pk, [told("a"), told("b"), told("c"), told("d"), said("e")])
    log.append(session.pk, [said("f")])
    log.take_in(session.pk, fence=fence)
    log.append(session.pk, [said("g")])
    seen = []
    while frames := log.since(session.pk, seen[-1] if seen else 0, limit=limit):
        seen += [frame.number for frame in frames]
    assert seen == list(range(5, 12))


def test_the_last_frames_end_before_the_given_number(session):
    for n in range(10):
        log.append(session.pk, [said(str(n))])
    assert [f.number for f in log.before(session.pk, 8, limit=3)] == [5, 6, 7]


def test_records_are_what_was_taken_in_by_position(session):
    fence = hold(session)
    log.append(session.pk, [asked("a"), said("b"), asked("c")])
    log.take_in(session.pk, fence=fence)
    log.append(session.pk, [asked("late")])
    assert [record.seq for record in log.records(session.pk)] == [2, 1, 3]


def test_private_parts_stay_off_the_wire(session):
    thought = Draft(
        payload=AgentMessage(content=[{"type": "text", "text": "a"}]),
        private={"content": [{"type": "thinking", "thinking": "secret"}]},
    )
    log.append(session.pk, [thought])
    (record,) = log.records(session.pk)
    assert "secret" in str(record.private)
    assert "secret" not in str(record.wire())


def test_records_can_be_read_on_from_a_position(session):
    for n in range(4):
        log.append(session.pk, [said(str(n))])
    assert [record.seq for record in log.records(session.pk, after=2)] == [3, 4]


STOP = Draft(payload=UserInterrupt(), queued=True)
RUNNING = Draft(
    payload=ThreadStatusRunning(session_thread_id="sthr_1", agent_name="Worker")
)


def test_a_stop_takes_the_message_along_that_no_step_has_seen(session):
    fence = hold(session)
    log.append(session.pk, [asked("a"), RUNNING, STOP])
    taken = log.take_in_interrupts(session.pk, fence=fence)
    assert [record.type for record in taken] == ["user.message", "user.interrupt"]


def test_a_stop_leaves_later_messages_to_the_next_turn(session):
    fence = hold(session)
    log.append(session.pk, [asked("a"), RUNNING])
    log.take_in(session.pk, fence=fence)
    log.append(session.pk, [asked("later"), STOP])
    taken = log.take_in_interrupts(session.pk, fence=fence)
    assert [record.type for record in taken] == ["user.interrupt"]
    assert "user.message" in log.queued_types(session.pk)


def test_no_step_reads_past_a_stop_that_waits(session):
    fence, primary = hold(session), log.primary_id(session.pk)
    log.append(session.pk, [RUNNING, asked("before"), STOP, asked("later")])
    (before,) = log.take_step(session.pk, fence=fence, thread_id=primary)
    assert log.take_step(session.pk, fence=fence, thread_id=primary) == []
    log.take_in_interrupts(session.pk, fence=fence, thread_id=primary)
    (later,) = log.take_step(session.pk, fence=fence, thread_id=primary)
    assert [before.seq, later.seq] == [2, 4]


def test_without_a_stop_no_message_is_taken_in(session):
    fence = hold(session)
    log.append(session.pk, [asked("a"), RUNNING])
    assert log.take_in_interrupts(session.pk, fence=fence) == []
    assert "user.message" in log.queued_types(session.pk)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("nul \0 here", "nul  here"),
        ("half \ud83d pair", "half ? pair"),
        ("Grüße 🎉", "Grüße 🎉"),
        (float("nan"), "nan"),
        ({"deep": ["a\0b", {"k\0": float("inf")}]}, {"deep": ["ab", {"k": "inf"}]}),
    ],
)
def test_what_a_database_cannot_hold_is_left_out(session, given, kept):
    use = AgentToolUse(name="bash", input={"command": given})
    (written,) = log.append(session.pk, [Draft(payload=use, private={"raw": given})])
    (stored,) = log.records(session.pk)
    assert stored.payload.input == written.payload.input == {"command": kept}
    assert stored.private == {"raw": kept}


def test_an_event_of_a_later_version_does_not_hide_the_others(session):
    log.append(session.pk, [said("a"), said("b")])
    Event.objects.filter(seq=1).update(type="agent.daydream", payload={"x": 1})
    unknown, known = log.records(session.pk)
    assert unknown.payload == Unknown(stored_type="agent.daydream")
    assert known.type is EventType.AGENT_MESSAGE
    assert [frame.number for frame in log.since(session.pk, 0)] == [1, 2]


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_lost_its_lease_writes_nothing_under_a_key(session):
    hold(session, fence=2)
    keyed = Draft(payload=said("a").payload, idempotency_key="k")
    with pytest.raises(log.Fenced):
        log.append(session.pk, [keyed], fence=1)
