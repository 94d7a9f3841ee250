"""Leases: who may claim a session, and what a take-over knows of who held it."""

from __future__ import annotations

import pytest
from django.db import connection

from sessions import actions, leases
from sessions.events import Draft, UserMessage
from sessions.models import Session

pytestmark = pytest.mark.django_db

HOST_A = f"{leases.boot_id()}:a"
HOST_B = f"{leases.boot_id()}:b"


def message(text="Go"):
    payload = UserMessage(content=[{"type": "text", "text": text}])
    return Draft(payload=payload, queued=True)


@pytest.fixture
def running(actor, session):
    actions.send_events(actor, session, [message()])
    session.refresh_from_db()
    return session


@pytest.fixture
def held(running):
    leases.claim(HOST_A, 10)
    running.refresh_from_db()
    return running


def test_an_idle_session_is_not_claimed(session):
    assert leases.claim(HOST_A, 10) == []


def test_one_host_claims_it(running):
    assert [c.session_id for c in leases.claim(HOST_A, 10)] == [running.pk]
    assert leases.claim(HOST_B, 10) == []


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
    assert len(leases.claim(HOST_A, 2)) == 2
    assert leases.waiting_count() == 1


def test_an_expired_lease_is_taken_over(held):
    Session.objects.update(lease_until=1)
    (claim,) = leases.claim(HOST_B, 10)
    assert claim.taken_over
    assert claim.fence == 2


def test_a_dead_host_loses_its_sessions_at_once(held):
    assert leases.expire([HOST_A]) == 1
    assert [c.session_id for c in leases.claim(HOST_B, 1)] == [held.pk]


@pytest.mark.skipif(
    connection.vendor == "postgresql", reason="PostgreSQL's clock goes on over boots"
)
def test_a_lease_of_another_boot_is_free(held, monkeypatch):
    monkeypatch.setattr(leases, "boot_id", lambda: "otherboot")
    assert len(leases.claim(HOST_B, 1)) == 1


def test_handing_back_is_no_take_over(held):
    leases.hand_back(HOST_A)
    (claim,) = leases.claim(HOST_B, 10)
    assert not claim.taken_over


def test_renewing_tells_what_is_still_held(held):
    assert leases.renew(HOST_A, [held.pk]) == {held.pk: 1}
    assert leases.renew(HOST_B, [held.pk]) == {}


def test_a_take_over_knows_how_long_nothing_was_heard(held):
    now = leases.lease_clock()
    heard = now - 7
    Session.objects.update(lease_until=heard + leases.LEASE_SECONDS)
    leases.expire([HOST_A])
    (claim,) = leases.claim(HOST_B, 1)
    assert claim.seconds_lost == pytest.approx(7, abs=5)
    assert claim.seconds_lost >= 7


def test_it_knows_so_too_where_the_lease_ran_out(held):
    heard = leases.lease_clock() - leases.LEASE_SECONDS - 7
    if heard < 0:
        pytest.skip("this machine has not run for long enough")
    Session.objects.update(lease_until=heard + leases.LEASE_SECONDS)
    (claim,) = leases.claim(HOST_B, 1)
    assert claim.seconds_lost >= 7 + leases.LEASE_SECONDS


def test_a_host_that_is_wrongly_taken_for_dead_renews_what_nobody_claimed(held):
    leases.expire([HOST_A])
    assert leases.renew(HOST_A, [held.pk]) == {held.pk: 1}
    assert leases.claim(HOST_B, 1) == []


def test_what_is_put_off_waits_and_is_no_take_over(held):
    leases.put_off(held.pk, fence=1)
    assert leases.claim(HOST_B, 1) == []
    Session.objects.update(retry_at=1)
    (claim,) = leases.claim(HOST_B, 1)
    assert (claim.taken_over, claim.seconds_lost) == (False, None)


def test_a_retry_that_was_set_before_a_boot_is_due(held):
    leases.put_off(held.pk, fence=1)
    Session.objects.update(retry_at=leases.lease_clock() + 1_000_000)
    assert len(leases.claim(HOST_B, 1)) == 1


def test_who_lost_a_session_cannot_put_it_off(held):
    leases.expire([HOST_A])
    leases.claim(HOST_B, 1)
    leases.put_off(held.pk, fence=1)
    held.refresh_from_db()
    assert held.owner == HOST_B


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL plans by values")
def test_looking_for_work_reads_no_session_that_rests():
    waiting = Session.objects.filter(leases.claimable(5.0)).order_by("updated_at")
    assert "session_claimable" in waiting.explain()
