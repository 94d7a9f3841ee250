"""A host and its turns: real rows, the real client, the scripted model, a fake sandbox."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from asgiref.sync import sync_to_async

from agents import definitions
from agents.params import AgentCreate
from sandbox.fake import FakeProvider
from sandbox.spec import SandboxSpec
from sessions import actions, lifecycle
from sessions.events import Draft, UserInterrupt, UserMessage
from sessions.harness.anthropic_model import AnthropicModel
from sessions.harness.scripted_model import ScriptedModelServer
from sessions.host import Host
from sessions.models import Event, Session, Status

pytestmark = pytest.mark.django_db(transaction=True)


class FakeHands:
    """Sandboxes in memory; `holding` keeps the sandbox back as a missing image does."""

    def __init__(self, url, provider=None):
        self.provider = provider or FakeProvider()
        self.holding = None
        self._model = AnthropicModel(base_url=url, api_key="none")

    async def sandbox(self, opened, waiting):
        if self.holding is not None:
            await waiting("Waiting for the base image: building")
            await self.holding.wait()
        spec = SandboxSpec(session_id=opened.session.pk, image="base")
        return await self.provider.provision(spec)

    def model(self, agent):
        return self._model

    async def close(self):
        await self._model.close()


def scripted(*steps):
    text = f"Go.\n```script\n{json.dumps(steps)}\n```"
    return message(text)


def message(text):
    payload = UserMessage(content=[{"type": "text", "text": text}])
    return Draft(payload=payload, queued=True)


def bash(command):
    return {"name": "bash", "input": {"command": command}}


STOP = Draft(payload=UserInterrupt(), queued=True)


@pytest.fixture
def agent(workspace):
    from agents.models import Agent, AgentVersion

    params = AgentCreate(
        name="Worker",
        model="scripted-demo",
        tools=[{"type": "agent_toolset_20260401"}],
    )
    agent = Agent.objects.create(workspace=workspace, name=params.name)
    AgentVersion.objects.create(
        agent=agent, version=1, config=definitions.resolve_agent(params)
    )
    return agent


@pytest.fixture
async def model():
    async with ScriptedModelServer(keep=50) as server:
        yield server


@asynccontextmanager
async def hosting(hands, slots=10):
    host = Host(slots=slots, hands=hands)
    running = asyncio.create_task(host.run())
    try:
        yield host
    finally:
        host.drain()
        await running


@pytest.fixture
async def hands(model):
    return FakeHands(model.url)


@sync_to_async
def begin(actor, agent, environment, *events):
    return actions.create_session(
        actor, agent=agent.latest, environment=environment, initial_events=events
    )


send = sync_to_async(actions.send_events)


@sync_to_async
def types(session):
    return [
        event.type
        for event in Event.objects.filter(session=session, position__isnull=False)
        .order_by("position")
        .exclude(type__startswith="agentsite.")
    ]


@sync_to_async
def events(session, kind):
    return list(Event.objects.filter(session=session, type=kind).order_by("seq"))


async def until(condition):
    async with asyncio.timeout(20):
        while not await condition():
            await asyncio.sleep(0.02)


async def is_idle(session):
    await until(lambda: _has(session, status=Status.IDLE))


def _has(session, **fields):
    return Session.objects.filter(pk=session.pk, **fields).aexists()


def _seen(session, kind, count=1):
    async def look():
        rows = Event.objects.filter(session=session, type=kind)
        return await rows.acount() >= count

    return look


async def test_a_turn_happens_in_the_order_of_the_contract(
    actor, agent, environment, hands
):
    session = await begin(
        actor,
        agent,
        environment,
        scripted({"say": "Looking.", "tools": [bash("echo hi")]}, {"say": "Done."}),
    )
    async with hosting(hands):
        await is_idle(session)
    assert await types(session) == [
        "session.status_running",
        "session.thread_status_running",
        "user.message",
        "span.model_request_start",
        "agent.message",
        "span.model_request_end",
        "agent.tool_use",
        "agent.tool_result",
        "span.model_request_start",
        "agent.message",
        "span.model_request_end",
        "session.usage",
        "session.thread_status_idle",
        "session.status_idle",
    ]


async def test_a_tool_runs_in_the_sandbox_and_its_output_returns(
    actor, agent, environment, hands
):
    session = await begin(
        actor,
        agent,
        environment,
        scripted({"tools": [bash("echo hi")]}, {"say": "Saw: {{last_result}}"}),
    )
    async with hosting(hands):
        await is_idle(session)
    (said,) = await events(session, "agent.message")
    assert said.payload["content"][0]["text"].strip() == "Saw: hi"


async def test_an_intent_precedes_each_call(actor, agent, environment, hands):
    session = await begin(
        actor, agent, environment, scripted({"tools": [bash("true")]}, {"say": "ok"})
    )
    async with hosting(hands):
        await is_idle(session)
    (use,) = await events(session, "agent.tool_use")
    (intent,) = await events(session, "agentsite.tool_started")
    (result,) = await events(session, "agent.tool_result")
    assert intent.payload["tool_use_id"] == use.pk == result.payload["tool_use_id"]
    assert use.seq < intent.seq < result.seq


async def test_messages_queued_before_the_turn_are_answered_as_one(
    actor, agent, environment, hands
):
    session = await begin(
        actor, agent, environment, message("a"), message("b"), scripted({"say": "All."})
    )
    async with hosting(hands):
        await is_idle(session)
    assert (await types(session)).count("span.model_request_start") == 1


async def test_a_message_while_it_works_is_taken_in_at_the_next_step(
    actor, agent, environment, hands
):
    session = await begin(
        actor,
        agent,
        environment,
        scripted({"tools": [bash("sleep 1")]}, {"say": "One."}),
    )
    async with hosting(hands):
        await until(_seen(session, "agentsite.tool_started"))
        await send(actor, session, [message("And this.")])
        await is_idle(session)
    order = await types(session)
    assert order.index("agent.tool_result") < len(order) - 1 - order[::-1].index(
        "user.message"
    )
    assert order.count("session.status_idle") == 1


async def test_an_interrupt_while_a_tool_runs_ends_the_turn(
    actor, agent, environment, hands
):
    session = await begin(
        actor, agent, environment, scripted({"tools": [bash("sleep 600")]})
    )
    async with hosting(hands):
        await until(_seen(session, "agentsite.tool_started"))
        await send(actor, session, [STOP])
        await is_idle(session)
    (result,) = await events(session, "agent.tool_result")
    assert result.payload["is_error"]
    assert "interrupted" in result.payload["content"][0]["text"]
    assert (await types(session)).count("span.model_request_start") == 1


async def test_an_interrupt_while_the_model_streams_ends_its_request(
    actor, agent, environment, hands
):
    session = await begin(
        actor, agent, environment, scripted({"words": 5000, "delay_ms": 50})
    )
    async with hosting(hands):
        await until(_seen(session, "span.model_request_start"))
        await send(actor, session, [STOP])
        await is_idle(session)
    order = await types(session)
    assert "agent.message" not in order
    assert order[-5:] == [
        "user.interrupt",
        "span.model_request_end",
        "session.usage",
        "session.thread_status_idle",
        "session.status_idle",
    ]


async def test_a_message_sent_with_the_interrupt_opens_the_next_turn(
    actor, agent, environment, hands
):
    session = await begin(
        actor, agent, environment, scripted({"tools": [bash("sleep 600")]})
    )
    async with hosting(hands):
        await until(_seen(session, "agentsite.tool_started"))
        await send(actor, session, [STOP, scripted({"say": "Instead."})])
        await until(_seen(session, "agent.message"))
        await is_idle(session)
    order = await types(session)
    assert order.count("session.status_idle") == 2
    assert order.count("session.status_running") == 2


async def test_a_session_goes_on_after_an_interrupt(actor, agent, environment, hands):
    session = await begin(
        actor, agent, environment, scripted({"tools": [bash("sleep 600")]})
    )
    async with hosting(hands):
        await until(_seen(session, "agentsite.tool_started"))
        await send(actor, session, [STOP])
        await is_idle(session)
        await send(actor, session, [scripted({"say": "Again."})])
        await until(_seen(session, "agent.message"))
        await is_idle(session)


async def test_what_a_session_waits_for_is_in_its_log(actor, agent, environment, hands):
    hands.holding = asyncio.Event()
    session = await begin(
        actor, agent, environment, scripted({"tools": [bash("echo hi")]}, {"say": "ok"})
    )
    async with hosting(hands):
        await until(_seen(session, "agentsite.waiting"))
        hands.holding.set()
        await is_idle(session)
    told = [event.payload for event in await events(session, "agentsite.waiting")]
    assert [part.get("over") for part in told] == [False, True]
    assert "base image" in told[0]["reason"]


async def test_a_lost_sandbox_is_an_error_the_model_reads(
    actor, agent, environment, hands
):
    session = await begin(
        actor,
        agent,
        environment,
        scripted({"tools": [bash("sleep 600")]}, {"say": "Then: {{last_result}}"}),
    )
    async with hosting(hands):
        await until(_seen(session, "agentsite.tool_started"))
        await hands.provider.lose(session.pk)
        await is_idle(session)
    (result,) = await events(session, "agent.tool_result")
    assert result.payload["is_error"]
    assert "unknown" in result.payload["content"][0]["text"]


async def test_the_provider_refusing_is_an_error_in_the_timeline(
    actor, agent, environment, hands
):
    session = await begin(actor, agent, environment, scripted({"error": 401}))
    async with hosting(hands):
        await is_idle(session)
    (error,) = await events(session, "session.error")
    assert error.payload["error"]["retry_status"]["type"] == "exhausted"
    assert "req_" in error.payload["error"]["message"]
    found = await Session.objects.aget(pk=session.pk)
    assert found.stop_reason == {"type": "retries_exhausted"}


async def test_a_drained_host_hands_its_turn_to_the_next(
    actor, agent, environment, model
):
    provider = FakeProvider()
    session = await begin(
        actor,
        agent,
        environment,
        scripted({"tools": [bash("sleep 1; echo survived")]}, {"say": "ok"}),
    )
    async with hosting(FakeHands(model.url, provider)):
        await until(_seen(session, "agentsite.tool_started"))
    assert await _has(session, status=Status.RUNNING, owner="")
    async with hosting(FakeHands(model.url, provider)):
        await is_idle(session)
    (result,) = await events(session, "agent.tool_result")
    assert result.payload["content"][0]["text"].strip() == "survived"
    assert len(provider.executed) == 1


async def test_a_dead_hosts_session_is_taken_over_and_says_so(
    actor, agent, environment, hands
):
    session = await begin(actor, agent, environment, scripted({"say": "Hello."}))
    ghost = f"{lifecycle.boot_id()}:ghost:1"
    await sync_to_async(lifecycle.claim)(ghost, 1)
    await sync_to_async(lifecycle.expire)([ghost])
    async with hosting(hands):
        await is_idle(session)
    assert len(await events(session, "agentsite.recovery")) == 1


async def test_it_takes_no_more_than_its_slots(actor, agent, environment, hands):
    hands.holding = asyncio.Event()
    sessions = [
        await begin(
            actor,
            agent,
            environment,
            scripted({"tools": [bash("true")]}, {"say": "ok"}),
        )
        for _ in range(3)
    ]
    async with hosting(hands, slots=2) as host:
        await until(_all_waiting(sessions, 2))
        assert len(host.work) == 2
        hands.holding.set()
        for session in sessions:
            await is_idle(session)


def _all_waiting(sessions, count):
    async def look():
        rows = Event.objects.filter(session__in=sessions, type="agentsite.waiting")
        return await rows.acount() >= count

    return look


async def test_thinking_returns_to_the_model_and_reaches_nobody_else(
    actor, agent, environment, hands, model
):
    session = await begin(
        actor,
        agent,
        environment,
        scripted({"think": "a secret", "tools": [bash("true")]}, {"say": "ok"}),
    )
    async with hosting(hands):
        await is_idle(session)
    assert "a secret" in json.dumps(model.requests[-1])
    said = [event.payload async for event in Event.objects.filter(session=session)]
    assert "a secret" not in json.dumps(
        [part for part in said if "```script" not in json.dumps(part)]
    )
