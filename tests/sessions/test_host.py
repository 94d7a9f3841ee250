"""A host and its turns: real rows, the real client, the scripted model, a fake sandbox."""

from __future__ import annotations

import asyncio
import json

import pytest
from asgiref.sync import sync_to_async

from sandbox.fake import FakeProvider
from sessions import actions, leases, log
from sessions.models import Event, Session, Status
from tests.sessions.hosting import (
    STOP,
    FakeHands,
    bash,
    begin,
    events,
    has,
    hosting,
    is_idle,
    message,
    scripted,
    seen,
    send,
    types,
    until,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def agent(working_agent):
    return working_agent


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
        "session.thread_status_idle",
        "session.usage",
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


async def test_a_thousand_messages_that_wait_are_one_turn(
    actor, agent, environment, hands, model
):
    session = await begin(actor, agent, environment)
    script = scripted({"say": "All of it."})
    waiting = [*(message(f"Point {number}.") for number in range(999)), script]
    await send(actor, session, waiting)
    async with hosting(hands):
        await is_idle(session)
    (request,) = model.requests
    (said,) = request["messages"]
    assert [block["text"] for block in said["content"][:999]] == [
        f"Point {number}." for number in range(999)
    ]
    order = await types(session)
    assert order.count("session.status_running") == 1
    assert order.count("agent.message") == 1
    assert not await sync_to_async(log.queued_types)(session.pk)


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
        await until(seen(session, "agentsite.tool_started"))
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
        await until(seen(session, "agentsite.tool_started"))
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
        await until(seen(session, "span.model_request_start"))
        await send(actor, session, [STOP])
        await is_idle(session)
    order = await types(session)
    assert "agent.message" not in order
    assert order[-5:] == [
        "user.interrupt",
        "span.model_request_end",
        "session.thread_status_idle",
        "session.usage",
        "session.status_idle",
    ]


async def test_a_message_sent_with_the_interrupt_opens_the_next_turn(
    actor, agent, environment, hands
):
    session = await begin(
        actor, agent, environment, scripted({"tools": [bash("sleep 600")]})
    )
    async with hosting(hands):
        await until(seen(session, "agentsite.tool_started"))
        await send(actor, session, [STOP, scripted({"say": "Instead."})])
        await until(seen(session, "agent.message"))
        await is_idle(session)
    order = await types(session)
    assert order.count("session.status_idle") == 2
    assert order.count("session.status_running") == 2


async def test_a_message_sent_with_an_interrupt_right_before_a_step_is_answered(
    actor, agent, environment, hands, monkeypatch
):
    look = {"name": "glob", "input": {"pattern": "*"}}
    first = scripted({"tools": [look]}, {"say": "Never."})
    session = await begin(actor, agent, environment, first)
    instead = iter([[], [STOP, scripted({"say": "Instead."})]])

    def take_step(*args, step=log.take_step, **kwargs):
        if sent := next(instead, []):
            actions.send_events(actor, session, sent)
        return step(*args, **kwargs)

    monkeypatch.setattr(log, "take_step", take_step)
    async with hosting(hands):
        await until(seen(session, "session.status_idle", 2))
    *_, said = await events(session, "agent.message")
    assert said.payload["content"][0]["text"] == "Instead."


async def test_a_session_goes_on_after_an_interrupt(actor, agent, environment, hands):
    session = await begin(
        actor, agent, environment, scripted({"tools": [bash("sleep 600")]})
    )
    async with hosting(hands):
        await until(seen(session, "agentsite.tool_started"))
        await send(actor, session, [STOP])
        await is_idle(session)
        await send(actor, session, [scripted({"say": "Again."})])
        await until(seen(session, "agent.message"))
        await is_idle(session)


async def test_what_a_session_waits_for_is_in_its_log(actor, agent, environment, hands):
    hands.holding = asyncio.Event()
    session = await begin(
        actor, agent, environment, scripted({"tools": [bash("echo hi")]}, {"say": "ok"})
    )
    async with hosting(hands):
        await until(seen(session, "agentsite.waiting"))
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
        await until(lambda: _has_begun(hands))
        await hands.provider.lose(session.pk)
        await is_idle(session)
    (result,) = await events(session, "agent.tool_result")
    assert result.payload["is_error"]
    assert "unknown" in result.payload["content"][0]["text"]


async def _has_begun(hands):
    return bool(hands.provider.executed)


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
        await until(lambda: _ran(provider))
    assert await has(session, status=Status.RUNNING, owner="")
    async with hosting(FakeHands(model.url, provider)):
        await is_idle(session)
    (result,) = await events(session, "agent.tool_result")
    assert result.payload["content"][0]["text"].strip() == "survived"
    assert len(provider.executed) == 1


async def _ran(provider):
    """The sandbox has heard of a call: its intent alone stands before that."""
    return bool(provider.executed)


async def test_a_dead_hosts_session_is_taken_over_and_says_so(
    actor, agent, environment, hands
):
    session = await begin(actor, agent, environment, scripted({"say": "Hello."}))
    ghost = f"{leases.boot_id()}:ghost:1"
    await sync_to_async(leases.claim)(ghost, 1)
    await sync_to_async(leases.expire)([ghost])
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


async def test_a_summary_is_stored_and_counted_like_every_request(
    actor, agent, environment, hands
):
    call = {"tools": [bash(f"echo {'x' * 1500}")]}
    session = await begin(
        actor, agent, environment, scripted(*[call] * 12, {"say": "Done."})
    )
    session.agent_snapshot["model"]["id"] = "scripted-window-16000"
    await session.threads.aupdate(agent_snapshot=session.agent_snapshot)
    async with hosting(hands):
        await is_idle(session)
    (said,) = await events(session, "agent.message")
    assert said.payload["content"][0]["text"] == "Done."
    compacted, *_ = await events(session, "agent.thread_context_compacted")
    assert "Scripted summary" in compacted.payload["agentsite_summary"]
    ends = await events(session, "span.model_request_end")
    assert any((end.private or {}).get("condenses") for end in ends)
    await session.arefresh_from_db()
    counted = [end.payload["model_usage"]["output_tokens"] for end in ends]
    assert session.usage["output_tokens"] == sum(counted)


async def test_a_command_may_outlast_every_limit_of_its_host(
    actor, agent, environment, hands, model, monkeypatch
):
    """The lease is renewed meanwhile, and nobody else takes the session."""
    monkeypatch.setattr("sessions.leases.LEASE_SECONDS", 1.5)
    monkeypatch.setattr("sessions.host.RENEW_SECONDS", 0.2)
    monkeypatch.setattr("sessions.turn.STOP_SECONDS", 0.1)
    call = bash("sleep 3.5; echo done")
    session = await begin(
        actor, agent, environment, scripted({"tools": [call]}, {"say": "Ok."})
    )
    other = FakeHands(model.url, hands.provider)
    async with hosting(hands), hosting(other):
        await is_idle(session)
    (result,) = await events(session, "agent.tool_result")
    assert result.payload["content"][0]["text"] == "done"
    assert len(hands.provider.executed) == 1
    assert await has(session, fence=1)
