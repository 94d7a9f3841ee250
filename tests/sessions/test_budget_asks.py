"""Budgets beside calls that wait for somebody, and beside other threads."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async

from agents import definitions
from agents.models import Agent, AgentVersion, ModelPrice
from agents.params import AgentCreate
from sessions import actions
from sessions.events import Draft, ThreadCreated, UserToolConfirmation
from sessions.harness.loop import run_turn
from sessions.models import Session, Status
from tests.sessions.hosting import (
    STOP,
    bash,
    events,
    has,
    hosting,
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

PAUSED = {"type": "budget_reached"}
DONE = {"type": "end_turn"}
ONCE = ({"tools": [bash("true")]}, {"say": "Done."})


@pytest.fixture
def agent(workspace):
    """Asks before each call. Each reply costs a cent a token at least."""
    ModelPrice.objects.update(output=10_000)
    params = AgentCreate(
        name="Careful",
        model="scripted-demo",
        tools=[
            {
                "type": "agent_toolset_20260401",
                "default_config": {"permission_policy": {"type": "always_ask"}},
            }
        ],
    )
    agent = Agent.objects.create(workspace=workspace, name=params.name)
    config = definitions.resolve_agent(params)
    AgentVersion.objects.create(agent=agent, version=1, config=config)
    return agent


@pytest.fixture
async def session(actor, agent, environment):
    @sync_to_async
    def create():
        return actions.create_session(
            actor,
            agent=agent.latest,
            environment=environment,
            initial_events=[scripted(*ONCE)],
            budget=1,
        )

    return await create()


async def rests(session, reason):
    await until(lambda: has(session, status=Status.IDLE, stop_reason=reason))


async def waits(session):
    """Wait until it asks; return the call it asks about."""
    waiting = {"stop_reason__type": "requires_action", "status": Status.IDLE}
    await until(lambda: has(session, **waiting))
    found = await Session.objects.aget(pk=session.pk)
    (call_id,) = found.stop_reason["event_ids"]
    return call_id


def allow(call_id):
    payload = UserToolConfirmation(tool_use_id=call_id, result="allow")
    return Draft(payload=payload, queued=True)


@sync_to_async
def change(actor, session, cents):
    return actions.update_session(actor, session, {"budget": cents})


async def test_an_ask_is_settled_before_the_budget_is_told(actor, session, hands):
    async with hosting(hands):
        call_id = await waits(session)  # the reply that asks cost more than the cap
        await send(actor, session, [allow(call_id)])
        await rests(session, PAUSED)
    order = await types(session)
    assert order.count("span.model_request_start") == 1
    assert order.count("agent.tool_result") == 1


async def test_a_message_beside_an_ask_is_queued_and_waits_for_the_raise(
    actor, session, hands
):
    async with hosting(hands):
        call_id = await waits(session)
        await send(actor, session, [message("And this."), allow(call_id)])
        await rests(session, PAUSED)
        await change(actor, session, 100_000)
        await rests(session, DONE)
    assert (await types(session)).count("user.message") == 2


async def test_a_raise_beside_an_ask_does_not_answer_it(actor, session, hands):
    async with hosting(hands):
        call_id = await waits(session)
        await change(actor, session, 100_000)
        assert await waits(session) == call_id
        await send(actor, session, [allow(call_id)])
        await rests(session, DONE)


async def test_the_same_answer_again_is_harmless_while_it_is_paused(
    actor, session, hands
):
    async with hosting(hands):
        call_id = await waits(session)
        await send(actor, session, [allow(call_id)])
        await rests(session, PAUSED)
        (again,) = await send(actor, session, [STOP, allow(call_id)])
    assert again.payload.tool_use_id == call_id
    assert len(await events(session, "user.tool_confirmation")) == 1
    assert not await events(session, "user.interrupt")
    assert await has(session, status=Status.IDLE, stop_reason=PAUSED)


def free(agent):
    """The same agent, where nothing asks."""
    params = {"type": "agent_toolset_20260401"}
    return definitions.apply_overrides(dict(agent), {"tools": [params]})


async def delegating(turn, model):
    """The native loop; the primary thread hands the same work to a child as it ends."""
    known = [record.payload for record in await turn.records()]
    is_new = not any(isinstance(payload, ThreadCreated) for payload in known)
    ending = await run_turn(turn, model)
    if turn.child_thread_id is None and is_new:
        await turn.create_thread(free(turn.agent), scripted(*ONCE).payload.content)
    return ending


async def test_one_thread_at_the_cap_and_one_that_asks(actor, session, hands):
    hands.run_turn = delegating
    async with hosting(hands):
        call_id = await waits(session)
        child = await session.threads.exclude(parent=None).aget()
        assert child.stop_reason == PAUSED
        await send(actor, session, [allow(call_id)])
        await rests(session, PAUSED)
        assert (await types(session)).count("span.model_request_start") == 1
        raised = await change(actor, session, 100_000)
        assert raised.status == Status.RUNNING
        await rests(session, DONE)
    async for thread in session.threads.all():
        assert (thread.status, thread.stop_reason) == (Status.IDLE, DONE)


async def test_archiving_the_thread_that_is_at_the_cap_frees_the_session(
    actor, session, hands
):
    hands.run_turn = delegating
    async with hosting(hands):
        await waits(session)
        await send(actor, session, [STOP])  # the call is not wanted any more
        await rests(session, PAUSED)
        child = await session.threads.exclude(parent=None).aget()
        await sync_to_async(actions.archive_thread)(actor, child)
        await rests(session, DONE)
        await change(actor, session, None)
        await send(actor, session, [scripted({"say": "Hello."})])
        await until(lambda: _said(session, "Hello."))


async def _said(session, text):
    said = [
        each.payload["content"][0]["text"]
        for each in await events(session, "agent.message")
    ]
    return text in said
