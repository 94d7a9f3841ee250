"""How far a budget can be overshot: by threads side by side, and by summaries."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async

from agents.models import ModelPrice
from agents.models.price import CENT
from sessions import actions
from sessions.models import Event, Session, Status
from sessions.usage import list_cost
from tests.sessions.hosting import (
    FakeHands,
    bash,
    events,
    has,
    hosting,
    is_idle,
    message,
    scripted,
    types,
    until,
)
from tests.sessions.test_threads import Delegating

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("cent_a_token"),
]

PAUSED = {"type": "budget_reached"}


@pytest.fixture
def cent_a_token(prices):
    """What is said costs a cent a token, and reading is free."""
    ModelPrice.objects.update(
        input=0, output=10_000, cache_read=0, cache_write_5m=0, cache_write_1h=0
    )


@sync_to_async
def begin(actor, agent, environment, *sent, **more):
    return actions.create_session(
        actor, agent=agent.latest, environment=environment, initial_events=sent, **more
    )


@sync_to_async
def paid(session):
    """What each request cost and for which thread, in the order of their ends."""
    rows = Event.objects.filter(session=session, type="span.model_request_end")
    return [
        (row.payload["model_usage"]["output_tokens"] * CENT, row.thread_id)
        for row in rows.order_by("seq")
    ]


async def rests(session, reason):
    await until(lambda: has(session, status=Status.IDLE, stop_reason=reason))


async def test_threads_side_by_side_overshoot_by_one_request_each(
    actor, working_agent, environment, hands
):
    step = {"tools": [bash("true")], "wait_ms": 5}
    hands.run_turn = Delegating(*(scripted(*[step] * 40) for _ in range(4)))
    session = await begin(actor, working_agent, environment, message("Go."), budget=400)
    async with hosting(hands):
        await rests(session, PAUSED)
    costs = await paid(session)
    last = {thread: cost for cost, thread in costs}
    total = sum(cost for cost, _ in costs)
    assert len(last) == 4
    assert total - sum(last.values()) < 400 * CENT <= total
    assert list_cost(await Session.objects.aget(pk=session.pk)) == total
    # The cap was told for each thread, and usage before the session's own idle.
    idle = await events(session, "session.thread_status_idle")
    assert [e.payload["stop_reason"] for e in idle].count(PAUSED) == 4
    assert (await types(session))[-2:] == ["session.usage", "session.status_idle"]


async def test_a_thread_that_pauses_tells_the_usage_while_others_go_on(
    actor, working_agent, environment, hands
):
    slow = scripted({"tools": [bash("sleep 600")]})
    quick = scripted(*[{"tools": [bash("true")]}] * 40)
    hands.run_turn = Delegating(slow, quick)
    session = await begin(actor, working_agent, environment, message("Go."), budget=20)
    async with hosting(hands):
        await until(lambda: _paused(session))
        assert await has(session, status=Status.RUNNING)
        idle = (await _paused(session))[0]
        (used,) = await events(session, "session.usage")
        assert used.position == idle.position + 1
        assert int(used.payload["usage"]["list_cost"]["amount"]) >= 20
        assert used.payload["budget"]["max_list_cost"]["amount"] == "20"


async def _paused(session):
    idle = await events(session, "session.thread_status_idle")
    return [each for each in idle if each.payload["stop_reason"] == PAUSED]


LONG = {"tools": [bash(f"echo {'x' * 1500}")]}


async def long_talk(actor, agent, environment, **more):
    """A session whose history is summed up on its way."""
    session = await begin(
        actor, agent, environment, scripted(*[LONG] * 12, {"say": "Done."}), **more
    )
    session.agent_snapshot["model"]["id"] = "scripted-window-16000"
    await session.threads.aupdate(agent_snapshot=session.agent_snapshot)
    return session


async def summaries(session):
    """For each model request, whether it asked for a summary."""
    ends = await events(session, "span.model_request_end")
    return [bool((end.private or {}).get("condenses")) for end in ends]


async def test_a_summary_is_paid_for_and_held_by_the_cap(
    actor, working_agent, environment, hands, model
):
    free = await long_talk(actor, working_agent, environment)
    async with hosting(hands):
        await is_idle(free)
    costs = [cost for cost, _ in await paid(free)]
    place = (await summaries(free)).index(True)
    assert list_cost(await Session.objects.aget(pk=free.pk)) == sum(costs)

    cap = sum(costs[:place]) // CENT  # used up right where the summary would be asked
    held = await long_talk(actor, working_agent, environment, budget=cap)
    async with hosting(FakeHands(model.url)):
        await rests(held, PAUSED)
        assert True not in await summaries(held)
        await sync_to_async(actions.update_session)(actor, held, {"budget": cap + 1})
        await until(lambda: _paused_again(held))
    assert await summaries(held) == [False] * place + [True]
    assert [cost for cost, _ in await paid(held)] == costs[: place + 1]


async def _paused_again(session):
    return len(await _paused(session)) == 2
