"""Calls that wait for somebody: confirmations, custom tools, and stops meanwhile."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import sync_to_async

from agents import definitions, files
from agents.actors import Actor
from agents.errors import Conflict, Forbidden, InvalidRequest
from agents.models import Agent, AgentVersion
from agents.params import AgentCreate
from sessions import actions, asks, log
from sessions.events import (
    Draft,
    SystemMessage,
    UserCustomToolResult,
    UserInterrupt,
    UserToolConfirmation,
)
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
    numbers,
    scripted,
    seen,
    send,
    types,
    until,
)

pytestmark = pytest.mark.django_db(transaction=True)

ASK = {"type": "always_ask"}
WEATHER = {
    "type": "custom",
    "name": "weather",
    "description": "Says how the weather is.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


@pytest.fixture
def agent(workspace):
    """Its bash asks first, its other tools do not, and a client answers `weather`."""
    toolset = {
        "type": "agent_toolset_20260401",
        "configs": [{"name": "bash", "permission_policy": ASK}],
    }
    params = AgentCreate(
        name="Careful", model="scripted-demo", tools=[toolset, WEATHER]
    )
    agent = Agent.objects.create(workspace=workspace, name=params.name)
    config = definitions.resolve_agent(params)
    AgentVersion.objects.create(agent=agent, version=1, config=config)
    return agent


def word(call, result="allow", **more):
    payload = UserToolConfirmation(tool_use_id=call, result=result, **more)
    return Draft(payload=payload, queued=True)


def answer(call, text="Sunny", **more):
    content = [{"type": "text", "text": text}]
    payload = UserCustomToolResult(custom_tool_use_id=call, content=content, **more)
    return Draft(payload=payload, queued=True)


def weather(city):
    return {"name": "weather", "input": {"city": city}}


@sync_to_async
def waiting(session):
    reason = Session.objects.get(pk=session.pk).stop_reason
    return (reason or {}).get("event_ids", [])


@sync_to_async
def result_texts(session):
    rows = Event.objects.filter(session=session, type="agent.tool_result")
    return [
        block["text"]
        for row in rows.order_by("seq")
        for block in row.payload["content"]
    ]


async def asked(actor, agent, environment, *calls, said="Done."):
    return await begin(
        actor, agent, environment, scripted({"tools": list(calls)}, {"say": said})
    )


async def test_a_call_that_asks_waits_and_runs_once_allowed(
    actor, agent, environment, hands
):
    session = await asked(actor, agent, environment, bash("echo hi"))
    async with hosting(hands):
        await is_idle(session)
        (call,) = await waiting(session)
        assert not hands.provider.executed
        await send(actor, session, [word(call)])
        await until(seen(session, "agent.message"))
        await is_idle(session)
    assert await result_texts(session) == ["hi"]
    assert hands.provider.executed == [call]
    assert await waiting(session) == []


async def test_usage_stands_immediately_before_every_idle(
    actor, agent, environment, hands
):
    session = await asked(actor, agent, environment, bash("echo hi"))
    async with hosting(hands):
        await is_idle(session)
        await send(actor, session, [word((await waiting(session))[0])])
        await until(seen(session, "session.status_idle", 2))
    order = await types(session)
    idles = [at for at, kind in enumerate(order) if kind == "session.status_idle"]
    assert [order[at - 1] for at in idles] == ["session.usage"] * 2


async def test_a_denied_call_does_not_run_and_the_model_hears_why(
    actor, agent, environment, hands, model
):
    session = await asked(actor, agent, environment, bash("rm -rf /"))
    async with hosting(hands):
        await is_idle(session)
        (call,) = await waiting(session)
        await send(actor, session, [word(call, "deny", deny_message="Not today.")])
        await until(seen(session, "agent.message"))
        await is_idle(session)
    assert not hands.provider.executed
    (told,) = await result_texts(session)
    assert "Not today." in told
    assert "Not today." in str(model.requests[-1])


async def test_some_answers_leave_the_rest_and_say_so(actor, agent, environment, hands):
    session = await asked(
        actor, agent, environment, bash("echo 1"), bash("echo 2"), weather("Rome")
    )
    async with hosting(hands):
        await is_idle(session)
        first, second, custom = await waiting(session)
        await send(actor, session, [word(second)])
        assert await waiting(session) == [first, custom]
        await send(actor, session, [answer(custom)])
        assert await waiting(session) == [first]
        assert not hands.provider.executed
        await send(actor, session, [word(first)])
        await until(seen(session, "agent.message"))
        await is_idle(session)
    idles = [
        row.payload["stop_reason"]
        for row in await events(session, "session.status_idle")
    ]
    assert [len(each.get("event_ids", [])) for each in idles] == [3, 2, 1, 0]
    assert sorted(hands.provider.executed) == sorted([first, second])


async def test_what_needs_no_word_runs_while_the_rest_waits(
    actor, agent, environment, hands
):
    read = {"name": "glob", "input": {"pattern": "*"}}
    session = await asked(actor, agent, environment, bash("echo 1"), read)
    async with hosting(hands):
        await is_idle(session)
        (asking,) = await waiting(session)
        (free,) = hands.provider.executed
    assert free != asking


async def test_a_custom_tool_is_answered_by_a_client_days_later(
    actor, agent, environment, hands, model
):
    session = await asked(actor, agent, environment, weather("Rome"))
    async with hosting(hands):
        await is_idle(session)
    (call,) = await waiting(session)
    elsewhere = Actor(workspace=actor.workspace, name="Cron", role="operator")
    image = {"type": "base64", "media_type": "image/png", "data": "aGk="}
    given = answer(call, "Rain", is_error=True)
    given.payload.content.append({"type": "image", "source": image})
    await send(elsewhere, session, [given])
    async with hosting(FakeHands(model.url)):
        await until(seen(session, "agent.message"))
        await is_idle(session)
    (result,) = model.requests[-1]["messages"][-1]["content"]
    assert result["is_error"] is True
    assert [block["type"] for block in result["content"]] == ["text", "image"]
    (stored,) = await events(session, "user.custom_tool_result")
    assert stored.position == stored.seq  # processed on receipt


async def test_an_answer_before_the_idle_event_counts(actor, agent, environment, hands):
    hands.holding = hold = asyncio.Event()
    read = {"name": "glob", "input": {"pattern": "*"}}
    session = await asked(actor, agent, environment, weather("Rome"), read)
    async with hosting(hands):
        await until(seen(session, "agent.custom_tool_use"))
        (use,) = await events(session, "agent.custom_tool_use")
        await send(actor, session, [answer(use.pk)])
        hold.set()
        await until(seen(session, "agent.message"))
        await is_idle(session)
    (idle,) = await events(session, "session.status_idle")
    assert idle.payload["stop_reason"] == {"type": "end_turn"}


async def test_a_message_waits_until_the_calls_are_answered(
    actor, agent, environment, hands
):
    session = await asked(actor, agent, environment, bash("echo hi"))
    async with hosting(hands):
        await is_idle(session)
        await send(actor, session, [message("And hurry.")])
        assert await has(session, status=Status.IDLE)
        (call,) = await waiting(session)
        await send(actor, session, [word(call)])
        await until(seen(session, "agent.message"))
        await is_idle(session)
    order = await types(session)
    assert (
        order.index("agent.tool_result")
        < len(order) - order[::-1].index("user.message") - 1
    )


async def test_an_interrupt_answers_pending_calls_and_asks_nobody(
    actor, agent, environment, hands, model
):
    session = await asked(actor, agent, environment, bash("echo hi"), weather("Rome"))
    async with hosting(hands):
        await is_idle(session)
        asked_before = len(model.requests)
        await send(actor, session, [STOP])
        assert await has(session, status=Status.IDLE)
        assert await waiting(session) == []
    assert len(model.requests) == asked_before
    assert not hands.provider.executed
    told = await result_texts(session)
    assert len(told) == 2
    assert all("interrupted" in each for each in told)
    (*_, last) = await events(session, "session.status_idle")
    assert last.payload["stop_reason"] == {"type": "end_turn"}


async def test_an_interrupt_with_a_message_opens_the_next_turn(
    actor, agent, environment, hands
):
    session = await asked(actor, agent, environment, bash("echo hi"))
    async with hosting(hands):
        await is_idle(session)
        await send(actor, session, [STOP, message("Rather this.")])
        await until(seen(session, "agent.message"))
        await is_idle(session)
    assert not hands.provider.executed
    order = await types(session)
    assert order.index(
        "session.status_idle", order.index("user.interrupt")
    ) < order.index("agent.message")


async def test_a_message_queued_behind_an_ask_is_read_after_the_interrupt(
    actor, agent, environment, hands
):
    session = await asked(actor, agent, environment, bash("echo hi"))
    async with hosting(hands):
        await is_idle(session)
        await send(actor, session, [message("Later.")])
        await send(actor, session, [STOP])
        await until(seen(session, "agent.message"))
        await is_idle(session)
    assert not await sync_to_async(log.queued_types)(session.pk)


async def test_the_same_word_twice_is_harmless_and_another_is_refused(
    actor, agent, environment, hands
):
    session = await asked(actor, agent, environment, bash("echo hi"), bash("echo ho"))
    async with hosting(hands):
        await is_idle(session)
        first, _ = await waiting(session)
        (once,) = await send(actor, session, [word(first)])
        before = await sync_to_async(numbers)(session)
        (twice,) = await send(actor, session, [word(first)])
        assert once.id == twice.id
        assert await sync_to_async(numbers)(session) == before
        with pytest.raises(InvalidRequest, match="answered before"):
            await send(actor, session, [word(first, "deny")])
        with pytest.raises(InvalidRequest, match="answered before"):
            await send(actor, session, [message("x"), word(first, "deny")])
        assert await sync_to_async(numbers)(session) == before


async def test_a_call_that_never_asked_takes_no_word(actor, agent, environment, hands):
    read = {"name": "glob", "input": {"pattern": "*"}}
    session = await asked(actor, agent, environment, read, weather("Rome"))
    async with hosting(hands):
        await is_idle(session)
    (free,) = await events(session, "agent.tool_use")
    (custom,) = await events(session, "agent.custom_tool_use")
    for wrong in (word(free.pk), word(custom.pk), answer(free.pk), word("sevt_x")):
        with pytest.raises(InvalidRequest, match="has no call"):
            await send(actor, session, [wrong])


async def test_a_settled_call_takes_no_word(actor, agent, environment, hands):
    session = await asked(actor, agent, environment, bash("echo hi"))
    async with hosting(hands):
        await is_idle(session)
        (call,) = await waiting(session)
        await send(actor, session, [STOP])
    with pytest.raises(InvalidRequest, match="settled before"):
        await send(actor, session, [word(call)])


async def test_a_session_of_somebody_else_s_hears_no_word(
    actor, agent, environment, hands
):
    session = await asked(actor, agent, environment, bash("echo hi"))
    other = await asked(actor, agent, environment, bash("echo hi"))
    async with hosting(hands):
        await is_idle(session)
        await is_idle(other)
    (call,) = await waiting(session)
    with pytest.raises(InvalidRequest, match="has no call"):
        await send(actor, other, [word(call)])


async def test_a_viewer_may_not_confirm(actor, agent, environment, hands):
    session = await asked(actor, agent, environment, bash("echo hi"))
    async with hosting(hands):
        await is_idle(session)
    viewer = Actor(workspace=actor.workspace, name="Victor", role="viewer")
    with pytest.raises(Forbidden):
        await send(viewer, session, [word((await waiting(session))[0])])


async def test_an_archived_session_takes_no_word(actor, agent, environment, hands):
    session = await asked(actor, agent, environment, bash("echo hi"))
    async with hosting(hands):
        await is_idle(session)
    (call,) = await waiting(session)
    await sync_to_async(actions.archive_session)(actor, session)
    with pytest.raises(Conflict):
        await send(actor, session, [word(call)])


async def test_a_host_that_dies_before_the_allowed_call_runs_loses_nothing(
    actor, agent, environment, hands, model
):
    session = await asked(actor, agent, environment, bash("echo hi"))
    async with hosting(hands):
        await is_idle(session)
    (call,) = await waiting(session)
    await send(actor, session, [word(call)])
    async with hosting(FakeHands(model.url, hands.provider)):
        await until(seen(session, "agent.message"))
        await is_idle(session)
    assert hands.provider.executed == [call]


async def test_too_many_waiting_events_are_refused(
    actor, agent, environment, monkeypatch
):
    monkeypatch.setattr("sessions.inbox.MOST_QUEUED", 3)
    session = await begin(actor, agent, environment, message("1"), message("2"))
    with pytest.raises(InvalidRequest, match="has 2 messages waiting, and 3 of"):
        await send(actor, session, [message("3"), message("4")])
    await send(actor, session, [message("3")])


async def test_system_text_reaches_the_model_as_its_own_turn(
    actor, agent, environment, hands, model
):
    brief = SystemMessage(content=[{"type": "text", "text": "Be brief."}])
    session = await begin(actor, agent, environment, scripted({"say": "Ok."}))
    await send(actor, session, [message("And now?"), Draft(payload=brief, queued=True)])
    async with hosting(hands):
        await is_idle(session)
    roles = [each["role"] for each in model.requests[-1]["messages"]]
    assert roles == ["user", "system"]


@sync_to_async
def _with_model(session, model):
    thread = session.threads.get()
    thread.agent_snapshot["model"]["id"] = model
    thread.save()


async def test_system_text_is_refused_where_the_model_takes_none(
    actor, agent, environment
):
    session = await begin(actor, agent, environment)
    await _with_model(session, "claude-sonnet-4-5")
    brief = SystemMessage(content=[{"type": "text", "text": "Be brief."}])
    with pytest.raises(InvalidRequest, match="does_not_support_mid_conversation"):
        await send(actor, session, [message("x"), Draft(payload=brief, queued=True)])
    assert not await sync_to_async(log.queued_types)(session.pk)


async def test_a_stop_of_an_unknown_thread_is_refused(actor, agent, environment):
    session = await begin(actor, agent, environment)
    stop = Draft(payload=UserInterrupt(session_thread_id="sthr_x"), queued=True)
    with pytest.raises(InvalidRequest, match="has no thread"):
        await send(actor, session, [stop])


async def test_unsettled_calls_are_read_off_the_log(actor, agent, environment, hands):
    session = await asked(actor, agent, environment, bash("echo hi"))
    async with hosting(hands):
        await is_idle(session)
    thread = await sync_to_async(log.primary_id)(session.pk)
    (open_call,) = await sync_to_async(asks.unsettled)(session.pk, thread)
    assert open_call.waits


async def test_a_full_queue_holds_up_no_stop_and_no_answer(
    actor, agent, environment, hands, monkeypatch
):
    session = await asked(actor, agent, environment, bash("echo hi"), weather("Rome"))
    async with hosting(hands):
        await is_idle(session)
        monkeypatch.setattr("sessions.inbox.MOST_QUEUED", 2)
        await send(actor, session, [message("1"), message("2")])
        with pytest.raises(InvalidRequest, match="waiting"):
            await send(actor, session, [message("3")])
        command, custom = await waiting(session)
        await send(actor, session, [answer(custom)])
        await send(actor, session, [word(command)])
        await until(seen(session, "agent.message"))
        await is_idle(session)
        await send(actor, session, [STOP])
    assert hands.provider.executed == [command]


async def test_the_same_word_twice_in_one_request_counts_once(
    actor, agent, environment, hands
):
    session = await asked(actor, agent, environment, bash("echo hi"))
    async with hosting(hands):
        await is_idle(session)
        (call,) = await waiting(session)
        with pytest.raises(InvalidRequest, match="answered before"):
            await send(actor, session, [word(call), word(call, "deny")])
        first, second = await send(actor, session, [word(call), word(call)])
        assert first.id == second.id
        await until(seen(session, "agent.message"))
        await is_idle(session)
    assert len(await events(session, "user.tool_confirmation")) == 1


async def test_a_word_given_before_the_stop_does_not_wait_for_ever(
    actor, agent, environment, hands
):
    session = await asked(actor, agent, environment, bash("echo 1"), bash("echo 2"))
    async with hosting(hands):
        await is_idle(session)
        first, second = await waiting(session)
        await send(actor, session, [word(first)])
        await send(actor, session, [word(second), STOP])
    assert not await sync_to_async(log.queued_types)(session.pk)
    assert not hands.provider.executed
    assert len(await result_texts(session)) == 2


async def test_system_text_beside_an_ask_comes_only_with_an_answer(
    actor, agent, environment, hands
):
    brief = SystemMessage(content=[{"type": "text", "text": "Be brief."}])
    text = Draft(payload=brief, queued=True)
    session = await asked(actor, agent, environment, bash("echo hi"), weather("Rome"))
    async with hosting(hands):
        await is_idle(session)
        command, custom = await waiting(session)
        with pytest.raises(InvalidRequest, match="waits for answers"):
            await send(actor, session, [message("And hurry."), text])
        assert not await sync_to_async(log.queued_types)(session.pk)
        await send(actor, session, [answer(custom), text])
        await send(actor, session, [word(command)])
        await until(seen(session, "agent.message"))
        await is_idle(session)
    assert len(await events(session, "system.message")) == 1


async def test_a_custom_result_may_hold_files_and_documents(
    actor, agent, environment, hands, model
):
    report = await sync_to_async(files.store)(
        actor.workspace, filename="report.txt", chunks=[b"All is well."]
    )
    session = await asked(actor, agent, environment, weather("Rome"))
    async with hosting(hands):
        await is_idle(session)
        (call,) = await waiting(session)
        by_id = {"type": "file", "file_id": report.pk}
        inline = {"type": "text", "media_type": "text/plain", "data": "Sunny."}
        found = {
            "type": "search_result",
            "source": "https://weather.example",
            "title": "Rome",
            "content": [{"type": "text", "text": "Warm."}],
        }
        blocks = [
            {"type": "document", "source": by_id},
            {"type": "document", "source": inline},
            found,
        ]
        payload = UserCustomToolResult(custom_tool_use_id=call, content=blocks)
        await send(actor, session, [Draft(payload=payload, queued=True)])
        await until(seen(session, "agent.message"))
        await is_idle(session)
    (result,) = model.requests[-1]["messages"][-1]["content"]
    told = [block.get("source") for block in result["content"]]
    assert [each["data"] for each in told[:2]] == ["All is well.", "Sunny."]
    assert told[2] == "https://weather.example"
