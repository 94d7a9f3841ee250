"""What a session cost: exact sums, told in whole cents, unknown where a price is."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from agents.models import ModelPrice, UnitPrice
from agents.models.price import CENT
from sessions import actions, leases, lifecycle, log, threads
from sessions.api import serialise
from sessions.consumers.rows import standings
from sessions.events import Draft, ModelRequestEnd, UserMessage
from sessions.models import Session, Thread
from sessions.usage import list_cost, money, usage_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("prices")]

GO = UserMessage(content=[{"type": "text", "text": "Go"}])
UNPRICED = {"agent_snapshot": {"name": "x", "model": {"id": "nobody-knows"}}}


@pytest.fixture
def held(actor, session):
    actions.send_events(actor, session, [Draft(payload=GO, queued=True)])
    leases.claim(f"{leases.boot_id()}:a", 1)
    log.take_in(session.pk, fence=1)
    session.refresh_from_db()
    return session


def spend(session, thread=None, private=None, **usage):
    thread = thread or session.threads.get(parent=None)
    payload = ModelRequestEnd(model_request_start_id="sevt_1", model_usage=usage)
    draft = Draft(payload=payload, private=private)
    lifecycle.append_and_count(session.pk, [draft], fence=1, thread_id=thread.pk)
    session.refresh_from_db()
    thread.refresh_from_db()
    return thread


def dollars(session):
    return usage_of(session)["list_cost"]


def test_a_new_session_of_a_priced_model_cost_nothing_yet(session):
    assert dollars(session) == {"amount": "0", "currency": "USD"}


def test_a_new_session_of_an_unpriced_model_has_no_cost(actor, agent, environment):
    session = actions.create_session(
        actor,
        agent=agent.latest,
        environment=environment,
        overrides={"model": {"id": "nobody-knows"}},
    )
    assert dollars(session) is None


def test_requests_add_up_exactly_and_are_told_in_whole_cents(held):
    for _ in range(3):
        thread = spend(held, input_tokens=1, output_tokens=1)  # 0.003 cents each
    assert list_cost(held) == 3 * 30_000_000
    assert dollars(held)["amount"] == "0"
    spend(held, output_tokens=1_000)
    assert list_cost(held) == 3 * 30_000_000 + 2.5 * CENT
    assert dollars(held)["amount"] == "3"
    thread.refresh_from_db()
    assert usage_of(thread)["list_cost"]["amount"] == "3"


@pytest.mark.parametrize(
    ("picodollars", "cents"),
    [(0, "0"), (CENT // 2 - 1, "0"), (CENT // 2, "1"), (2500 * CENT, "2500")],
)
def test_the_nearest_cent_is_told(picodollars, cents):
    assert money(picodollars) == {"amount": cents, "currency": "USD"}


def test_what_the_cache_keeps_for_an_hour_has_its_own_price(held):
    by_ttl = {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4}
    spend(held, cache_creation_input_tokens=7, private={"cache_creation": by_ttl})
    assert list_cost(held) == 3 * 6_250_000 + 4 * 10_000_000


def test_web_searches_are_paid_for_by_the_thousand(held):
    spend(held, private={"server_tool_use": {"web_search_requests": 3}})
    assert dollars(held)["amount"] == "3"
    assert usage_of(held)["server_tool_use"]["web_search_requests"] == 3


def test_one_request_without_a_price_makes_the_sum_unknown_for_good(held):
    spend(held, input_tokens=1_000_000)
    primary = held.threads.get(parent=None)
    child = Thread.objects.create(session=held, parent=primary, **UNPRICED)
    spend(held, child, input_tokens=1)
    assert dollars(held) is None
    assert usage_of(child)["list_cost"] is None
    primary = spend(held, input_tokens=1)
    assert dollars(held) is None
    assert usage_of(primary)["list_cost"]["amount"] == "500"


def test_a_price_that_came_before_the_first_request_counts(held):
    ModelPrice.objects.all().delete()
    Session.objects.update(usage={"picodollars": None})
    ModelPrice.objects.create(
        model="scripted-demo",
        input=1,
        output=0,
        cache_read=0,
        cache_write_5m=0,
        cache_write_1h=0,
    )
    spend(held, input_tokens=1_000_000)
    assert dollars(held)["amount"] == "100"


def test_what_was_used_before_there_were_prices_stays_unknown(held):
    Session.objects.update(usage={"input_tokens": 5})
    spend(held, input_tokens=1_000_000)
    assert dollars(held) is None
    assert usage_of(held)["input_tokens"] == 1_000_005


def test_a_new_price_holds_from_the_next_request_on(held):
    spend(held, input_tokens=1_000_000)
    ModelPrice.objects.update(input=10)
    spend(held, input_tokens=1_000_000)
    assert dollars(held)["amount"] == "1500"


def test_running_time_is_paid_for_by_the_session_and_by_no_thread(held):
    UnitPrice.objects.update_or_create(unit="running_hour", defaults={"price": "0.08"})
    half_an_hour_ago = timezone.now() - timedelta(minutes=30)
    Session.objects.update(running_since=half_an_hour_ago)
    held.refresh_from_db()
    assert dollars(held)["amount"] == "4"
    lifecycle.finish(held.pk, fence=1)
    held.refresh_from_db()
    UnitPrice.objects.update(price=99)  # for hours to come
    assert dollars(held)["amount"] == "4"
    assert usage_of(held.threads.get())["list_cost"] is None


def running_for(session, **more):
    """Set the clocks of a session and its threads back, as if that time had passed."""
    since = timezone.now() - timedelta(**more)
    rows = (Session.objects.filter(pk=session.pk), session.threads.all())
    for row in rows:
        row.exclude(running_since=None).update(running_since=since)
    session.refresh_from_db()


def seconds(row):
    row.refresh_from_db()
    return round(usage_of(row)["active_seconds"])


def test_what_waits_for_a_retry_does_not_run(held):
    UnitPrice.objects.update_or_create(unit="running_hour", defaults={"price": "36"})
    primary = held.threads.get()
    running_for(held, seconds=100)
    lifecycle.reschedule(held.pk, fence=1)
    running_for(held, seconds=3600)
    assert seconds(held) == seconds(primary) == 100
    assert dollars(held)["amount"] == "100"
    lifecycle.go_on(held.pk, fence=1)
    running_for(held, seconds=20)
    lifecycle.finish(held.pk, fence=1)
    assert seconds(held) == seconds(primary) == 120
    assert dollars(held)["amount"] == "120"


def test_time_in_which_two_threads_run_counts_once_for_the_session(held):
    (primary,) = held.threads.all()
    agent = {**primary.agent_snapshot, "name": "Scout"}
    child_id = threads.create(held.pk, agent, GO.content, fence=1, thread_id=primary.pk)
    child = Thread.objects.get(pk=child_id)
    running_for(held, seconds=50)
    lifecycle.finish(held.pk, fence=1, thread_id=primary.pk)
    running_for(held, seconds=80)  # the child's went on
    log.take_in(held.pk, fence=1, thread_id=child.pk)
    lifecycle.finish(held.pk, fence=1, thread_id=child.pk)
    assert (seconds(primary), seconds(child)) == (50, 80)
    assert seconds(held) == 80


def test_a_list_of_working_sessions_looks_a_price_up_once(
    actor, agent, environment, django_assert_max_num_queries
):
    for _ in range(5):
        actions.create_session(
            actor,
            agent=agent.latest,
            environment=environment,
            initial_events=[Draft(payload=GO, queued=True)],
        )
    rows = list(Session.objects.prefetch_related("resources"))
    with django_assert_max_num_queries(1):
        assert len(serialise.sessions(rows)) == 5
    with django_assert_max_num_queries(2):
        assert len(standings([row.pk for row in rows])) == 5
