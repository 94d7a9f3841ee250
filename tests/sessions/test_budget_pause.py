"""Budgets at work: real hosts and turns, where the model costs what the table says."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import sync_to_async

from agents.errors import InvalidRequest
from agents.models import ModelPrice
from agents.models.price import CENT
from sessions import actions, leases, lifecycle, log
from sessions.harness.contract import BUDGET_REACHED
from sessions.models import Event, Session, Status
from sessions.usage import list_cost, usage_of
from tests.sessions.hosting import (
    STOP,
    FakeHands,
    bash,
    events,
    has,
    hosting,
    is_idle,
    message,
    scripted,
    send,
    types,
    until,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("prices"),
]

TURN_IS_OVER = ["session.thread_status_idle", "session.usage", "session.status_idle"]
PAUSED = {"type": "budget_reached"}
DONE = {"type": "end_turn"}


@pytest.fixture
def agent(working_agent):
    return working_agent


@pytest.fixture
def cent_a_reply(prices):
    """Each reply costs a cent for each of the tokens it says, and reading is free."""
    ModelPrice.objects.update(
        input=0, output=10_000, cache_read=0, cache_write_5m=0, cache_write_1h=0
    )


def steps(count, last="Done."):
    """Calls one after another, and a word at the end."""
    return scripted(*({"tools": [bash("true")]} for _ in range(count)), {"say": last})


@sync_to_async
def begin(actor, agent, environment, *sent, **more):
    return actions.create_session(
        actor, agent=agent.latest, environment=environment, initial_events=sent, **more
    )


@sync_to_async
def change(actor, session, cents):
    return actions.update_session(actor, session, {"budget": cents})


@sync_to_async
def fresh(session):
    return Session.objects.get(pk=session.pk)


@sync_to_async
def costs(session):
    """What each request cost, in picodollars, as the log has it."""
    rows = Event.objects.filter(session=session, type="span.model_request_end")
    said = [row.payload["model_usage"] for row in rows.order_by("seq")]
    return [usage["output_tokens"] * CENT for usage in said]


async def rests(session, reason):
    await until(lambda: has(session, status=Status.IDLE, stop_reason=reason))


async def test_the_model_is_not_asked_once_the_cap_is_reached(
    actor, agent, environment, hands, cent_a_reply
):
    session = await begin(actor, agent, environment, steps(9), budget=1)
    async with hosting(hands):
        await rests(session, PAUSED)
    order = await types(session)
    assert order.count("span.model_request_start") == 1
    # What was called is still run: only the next question is not put.
    assert order[-4:] == ["agent.tool_result", *TURN_IS_OVER]
    for kind in ("session.status_idle", "session.thread_status_idle"):
        (idle,) = await events(session, kind)
        assert idle.payload["stop_reason"] == PAUSED


async def test_it_overshoots_by_one_request_at_most(
    actor, agent, environment, hands, cent_a_reply
):
    session = await begin(actor, agent, environment, steps(30), budget=100)
    async with hosting(hands):
        await rests(session, PAUSED)
    paid = await costs(session)
    assert len(paid) > 1
    assert sum(paid[:-1]) < 100 * CENT <= sum(paid)
    assert list_cost(await fresh(session)) == sum(paid)
    (used,) = await events(session, "session.usage")
    assert used.payload["usage"]["list_cost"]["amount"] == str(sum(paid) // CENT)
    assert used.payload["budget"]["max_list_cost"]["amount"] == "100"


async def test_a_turn_that_ends_at_the_cap_says_that_it_ended(
    actor, agent, environment, hands, cent_a_reply
):
    session = await begin(actor, agent, environment, steps(0), budget=1)
    async with hosting(hands):
        await rests(session, DONE)
        assert list_cost(await fresh(session)) >= CENT
        await send(actor, session, [message("More.")])
        await rests(session, PAUSED)
    assert (await types(session)).count("span.model_request_start") == 1


async def test_a_raise_resumes_by_itself(
    actor, agent, environment, hands, cent_a_reply
):
    session = await begin(actor, agent, environment, steps(2), budget=1)
    async with hosting(hands):
        await rests(session, PAUSED)
        raised = await change(actor, session, 100_000)
        assert raised.status == Status.RUNNING
        await rests(session, DONE)
    order = await types(session)
    at = order.index("session.updated")
    assert order[at - 1] == "session.status_idle"
    assert order[at + 1 : at + 4] == [
        "session.status_running",
        "session.thread_status_running",
        "span.model_request_start",
    ]
    assert order.count("user.message") == 1
    assert order.count("agent.tool_result") == 2


async def test_a_removal_resumes_by_itself(
    actor, agent, environment, hands, cent_a_reply
):
    session = await begin(actor, agent, environment, steps(2), budget=1)
    async with hosting(hands):
        await rests(session, PAUSED)
        assert (await change(actor, session, None)).budget is None
        await rests(session, DONE)
    assert (await types(session)).count("agent.tool_result") == 2


async def test_a_small_raise_buys_one_request_and_pauses_again(
    actor, agent, environment, hands, cent_a_reply
):
    session = await begin(actor, agent, environment, steps(5), budget=1)
    async with hosting(hands):
        await rests(session, PAUSED)
        spent = list_cost(await fresh(session))
        await change(actor, session, spent // CENT + 1)
        await until(lambda: _paused_times(session, 2))
    assert len(await costs(session)) == 2


async def _paused_times(session, count):
    idle = await events(session, "session.status_idle")
    return len(idle) == count


async def test_a_worker_that_is_replaced_between_pause_and_raise_changes_nothing(
    actor, agent, environment, hands, model, cent_a_reply
):
    session = await begin(actor, agent, environment, steps(2), budget=1)
    async with hosting(hands):
        await rests(session, PAUSED)
    await change(actor, session, 100_000)
    async with hosting(FakeHands(model.url, hands.provider)):
        await rests(session, DONE)
    order = await types(session)
    assert order.count("agent.tool_result") == 2
    assert list_cost(await fresh(session)) == sum(await costs(session))


async def test_a_change_that_crosses_the_pause_is_not_overlooked(
    actor, agent, environment, cent_a_reply
):
    session = await begin(actor, agent, environment, steps(2), budget=1)

    @sync_to_async
    def cross():
        leases.claim(f"{leases.boot_id()}:a", 1)
        log.take_in(session.pk, fence=1)
        Session.objects.update(usage={"output_tokens": 1, "picodollars": 2 * CENT})
        actions.update_session(actor, session, {"budget": 500})
        lifecycle.finish(session.pk, fence=1, ending=BUDGET_REACHED)

    await cross()
    assert await has(session, status=Status.RUNNING)


async def test_ten_sessions_at_once_hold_ten_caps(
    actor, agent, environment, model, cent_a_reply
):
    caps = [40 + 10 * number for number in range(10)]
    sessions = [
        await begin(actor, agent, environment, steps(40), budget=cap) for cap in caps
    ]
    async with hosting(FakeHands(model.url)), hosting(FakeHands(model.url)):
        await asyncio.gather(*(rests(session, PAUSED) for session in sessions))
    for session, cap in zip(sessions, caps, strict=True):
        paid = await costs(session)
        assert sum(paid[:-1]) < cap * CENT <= sum(paid)
        assert list_cost(await fresh(session)) == sum(paid)


async def test_a_price_that_goes_away_stops_the_session(
    actor, agent, environment, hands, prices
):
    session = await begin(actor, agent, environment, steps(2), budget=1_000)
    await ModelPrice.objects.all().adelete()
    async with hosting(hands):
        await rests(session, PAUSED)
    assert "span.model_request_start" not in await types(session)


async def test_without_a_budget_nothing_is_stopped(
    actor, agent, environment, hands, cent_a_reply
):
    session = await begin(actor, agent, environment, steps(3))
    async with hosting(hands):
        await rests(session, DONE)
    (used,) = await events(session, "session.usage")
    assert used.payload["budget"] is None
    assert usage_of(await fresh(session))["list_cost"] is not None


# While it is paused.


@pytest.fixture
async def paused(actor, agent, environment, hands, cent_a_reply):
    session = await begin(actor, agent, environment, steps(2), budget=1)
    async with hosting(hands):
        await rests(session, PAUSED)
    return await fresh(session)


async def test_a_message_is_refused_and_the_refusal_says_what_is_taken(actor, paused):
    with pytest.raises(InvalidRequest) as refused:
        await send(actor, paused, [STOP, message("Go on.")])
    said = str(refused.value)
    assert paused.pk in said
    for kind in (
        "user.tool_confirmation",
        "user.tool_result",
        "user.custom_tool_result",
        "user.interrupt",
    ):
        assert kind in said
    assert len(await events(paused, "user.message")) == 1


async def test_a_stop_is_taken_and_leaves_no_trace(actor, paused):
    before = (await fresh(paused)).next_seq
    assert await send(actor, paused, [STOP, STOP]) == []
    assert (await fresh(paused)).next_seq == before
    assert (await fresh(paused)).stop_reason == PAUSED


async def test_a_title_does_not_resume_it(actor, paused):
    await sync_to_async(actions.update_session)(actor, paused, {"title": "New"})
    assert await has(paused, status=Status.IDLE, stop_reason=PAUSED)


async def test_it_can_be_archived(actor, paused):
    archived = await sync_to_async(actions.archive_session)(actor, paused)
    assert archived.status == Status.TERMINATED


# A limit on the requests of one turn.


async def test_a_turn_ends_at_its_last_request_and_says_so(
    actor, agent, environment, hands, prices
):
    session = await begin(actor, agent, environment, steps(9), max_model_requests=3)
    async with hosting(hands):
        await rests(session, {"type": "retries_exhausted"})
        assert (await types(session)).count("span.model_request_start") == 3
        (told,) = await events(session, "session.error")
        error = told.payload["error"]
        assert error["type"] == "tool_use_limit_reached_error"
        assert "after 3 model requests" in error["message"]
        assert error["retry_status"] == {"type": "exhausted"}
        # The next message opens a turn with requests of its own.
        await send(actor, session, [steps(1)])
        await rests(session, DONE)
    assert (await types(session)).count("span.model_request_start") == 5


async def test_a_turn_within_the_limit_hears_nothing_of_it(
    actor, agent, environment, hands, prices
):
    session = await begin(actor, agent, environment, steps(2), max_model_requests=3)
    async with hosting(hands):
        await is_idle(session)
    assert (await fresh(session)).stop_reason == DONE
    assert not await events(session, "session.error")
