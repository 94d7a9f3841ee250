"""Hosts and clients at the same moment, on real connections of their own."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from sessions import actions, leases, lifecycle, log
from sessions.lifecycle import Finished
from sessions.models import Event, Session, Status
from tests.sessions.hosting import STOP, message, numbers

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*works):
    """Run functions side by side; return what they return."""
    gate = threading.Barrier(len(works))

    def run(work):
        gate.wait()
        try:
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as threads:
        return list(threads.map(run, works))


def test_two_hosts_never_claim_the_same_session(actor, agent, environment):
    for _ in range(12):
        actions.create_session(
            actor,
            agent=agent.latest,
            environment=environment,
            initial_events=[message("Go")],
        )
    hosts = [f"{leases.boot_id()}:{name}" for name in "abc"]
    claims = at_once(*[lambda host=host: leases.claim(host, 8) for host in hosts])
    claimed = [claim.session_id for each in claims for claim in each]
    assert len(claimed) == len(set(claimed))
    assert all(claim.fence == 1 for each in claims for claim in each)


@pytest.mark.parametrize("events", [[message("More")], [STOP], [STOP, message("More")]])
def test_what_arrives_while_a_turn_ends_is_never_forgotten(actor, session, events):
    host = f"{leases.boot_id()}:a"
    for _ in range(8):
        actions.send_events(actor, session, [message("Go")])
        (claim,) = leases.claim(host, 1)
        log.take_in(session.pk, fence=claim.fence)
        finished, _ = at_once(
            lambda claim=claim: lifecycle.finish(session.pk, fence=claim.fence),
            lambda: actions.send_events(actor, session, events),
        )
        now = Session.objects.get(pk=session.pk)
        waiting = log.queued_types(session.pk)
        assert "user.interrupt" not in waiting or now.status == Status.RUNNING
        assert "user.message" not in waiting or now.status == Status.RUNNING
        _end(now, claim.fence, finished=finished)
    found = numbers(session)
    assert found == list(range(1, len(found) + 1))


def _end(session, fence, *, finished):
    """Bring the session to rest for the next round."""
    if session.status == Status.RUNNING:
        if finished is Finished.SESSION_IDLE:
            (claim,) = leases.claim(f"{leases.boot_id()}:b", 1)
            fence = claim.fence
        log.take_in(session.pk, fence=fence)
        log.take_in_interrupts(session.pk, fence=fence)
        assert lifecycle.finish(session.pk, fence=fence) is Finished.SESSION_IDLE


def test_one_key_at_once_is_one_event(session):
    draft = message("Once")
    keyed = type(draft)(payload=draft.payload, queued=True, idempotency_key="k")
    both = at_once(*[lambda: log.append(session.pk, [keyed])] * 4)
    assert len({record.id for (record,) in both}) == 1
    assert Event.objects.count() == 1


def test_a_message_and_an_archive_at_once_leave_nothing_unanswered(
    actor, agent, environment
):
    for _ in range(8):
        session = actions.create_session(
            actor, agent=agent.latest, environment=environment
        )
        at_once(
            lambda session=session: _tried(actions.archive_session, actor, session),
            lambda session=session: _tried(
                actions.send_events, actor, session, [message("Go")]
            ),
        )
        now = Session.objects.get(pk=session.pk)
        answered = Event.objects.filter(session=session, type="user.message").exists()
        assert now.status == (Status.RUNNING if answered else Status.TERMINATED)


def _tried(verb, *arguments):
    from agents.errors import ApiError

    try:
        verb(*arguments)
    except ApiError as refusal:
        return refusal
    return None
