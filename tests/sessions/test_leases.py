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


def test_what_a_host_holds_is_not_claimable_by_its_time_where_that_is_in_doubt(held):
    Session.objects.update(lease_until=1)
    in_doubt = leases.claimable(leases.lease_clock(), by_time=False)
    assert leases.claim(HOST_B, 10, in_doubt) == []
    leases.expire([HOST_A])
    assert len(leases.claim(HOST_B, 10, in_doubt)) == 1


def test_a_lease_from_before_the_clock_was_set_back_is_free(held):
    Session.objects.update(lease_until=leases.lease_clock() + 3600)
    assert len(leases.claim(HOST_B, 10)) == 1


@pytest.fixture
def look(monkeypatch):
    """Trust, asked at a moment of the boot clock about one of the lease clock."""
    trust = leases.Trust()

    def at(here, now):
        monkeypatch.setattr(leases, "boot_clock", lambda: here)
        return trust.look(now)

    return at


def steadily(look, since, until, ahead=0.0):
    return [look(here, here + ahead) for here in range(since, until)]


def test_a_host_trusts_the_lease_clock_once_it_has_watched_it(look):
    assert not any(steadily(look, 100, 115))
    assert all(steadily(look, 115, 120))


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_a_clock_that_was_set_is_trusted_once_everybody_could_renew(look, jump):
    steadily(look, 100, 120)
    assert not any(steadily(look, 120, 135, jump))
    assert look(135, 135 + jump)


def test_after_an_outage_everybody_may_renew_first(look):
    steadily(look, 100, 120)
    assert not any(steadily(look, 150, 165))
    assert look(165, 165)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL plans by values")
def test_looking_for_work_reads_no_session_that_rests():
    waiting = Session.objects.filter(leases.claimable(5.0)).order_by("updated_at")
    assert "session_claimable" in waiting.explain()
