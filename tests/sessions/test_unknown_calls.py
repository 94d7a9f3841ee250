"""A call whose outcome is unknown: looked at, run again, marked as done."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import sync_to_async

from agents.actors import Actor
from agents.errors import Conflict, Forbidden, InvalidRequest, NotFound
from sandbox.errors import OutcomeUnknown
from sandbox.fake import FakeProvider
from sessions import actions, ledger
from sessions.ledger import State
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
    numbers,
    scripted,
    seen,
    send,
    types,
    until,
)

pytestmark = pytest.mark.django_db(transaction=True)

COUNT = bash("echo one >> counted")


@pytest.fixture
def agent(working_agent):
    return working_agent


class MuteProvider(FakeProvider):
    """The answer to the first call gets lost on its way; what it does goes on."""

    def __init__(self):
        super().__init__()
        self.lost = []

    async def provision(self, spec):
        sandbox = await super().provision(spec)
        run = sandbox.execute

        async def execute(call_id, tool, input):
            if self.lost:
                return await run(call_id, tool, input)
            self.lost.append(asyncio.ensure_future(run(call_id, tool, input)))
            await asyncio.sleep(0)
            raise OutcomeUnknown(f"The answer to {call_id} was lost.")

        sandbox.execute = execute
        return sandbox

    def forget(self, session, call_id):
        """As a tool server does that was started anew."""
        self.machines[session.pk].tools.memory.outcomes.pop(call_id, None)


@pytest.fixture
def provider():
    return MuteProvider()


@pytest.fixture
async def hands(model, provider):
    return FakeHands(model.url, provider)


@sync_to_async
def the_call(session):
    (found,) = ledger.calls_of(session.pk)
    return found


@sync_to_async
def counted(provider, session):
    return provider.files[session.pk].get("/workspace/counted", b"").decode().split()


async def unknown(actor, agent, environment, *calls, then="Hm."):
    """A session whose first call had an unknown outcome, as it will be once hosted."""
    script = scripted({"tools": [*calls]}, {"say": then})
    return await begin(actor, agent, environment, script)


async def is_unknown(session):
    await is_idle(session)
    call = await the_call(session)
    assert call.state is State.UNKNOWN
    return call


run_again = sync_to_async(actions.run_call_again)
look = sync_to_async(actions.look_at_call)
mark_done = sync_to_async(actions.mark_call_done)


def said_to(model):
    """What stood in the last request, message by message; without the marks of caches."""
    return [
        {
            "role": each["role"],
            "content": [
                {
                    name: value
                    for name, value in block.items()
                    if name != "cache_control"
                }
                for block in each["content"]
            ],
        }
        for each in model.requests[-1]["messages"]
    ]


async def test_run_again_runs_it_once_more_and_the_model_is_told(
    actor, agent, environment, hands, model, provider
):
    session = await unknown(actor, agent, environment, COUNT)
    async with hosting(hands):
        call = await is_unknown(session)
        before = said_to(model)
        await run_again(actor, session, call.id)
        await until(seen(session, "agentsite.tool_late_result"))
        await is_idle(session)
        assert len(model.requests) == 2, "the model is told with the next message"
        await send(actor, session, [scripted({"say": "Good."})])
        await until(seen(session, "agent.message", 2))
        await is_idle(session)
    assert await counted(provider, session) == ["one", "one"]
    assert provider.executed == [call.id, f"{call.id}:2"]
    now = await the_call(session)
    assert (now.state, now.attempt, now.settled_by) == (State.DONE, 2, "Alice")
    assert (await types(session)).count("agent.tool_result") == 1
    after = said_to(model)
    assert after[: len(before)] == before
    told = str(after[len(before) :])
    assert "Alice had your call bash" in told
    assert "run again" in told
    gapless = await sync_to_async(numbers)(session)
    assert gapless == list(range(1, len(gapless) + 1))


async def test_two_people_and_a_double_click_run_it_once(
    actor, workspace, agent, environment, hands, provider
):
    bob = Actor(workspace=workspace, name="Bob", role="operator")
    session = await unknown(actor, agent, environment, COUNT)
    async with hosting(hands):
        call = await is_unknown(session)
    first = await run_again(actor, session, call.id)
    again = await run_again(actor, session, call.id)
    of_bob = await run_again(bob, session, call.id)
    assert first.id == again.id == of_bob.id
    async with hosting(hands):
        await until(seen(session, "agentsite.tool_late_result"))
        await is_idle(session)
    assert len(await counted(provider, session)) == 2
    with pytest.raises(InvalidRequest, match="is done, by Alice"):
        await run_again(bob, session, call.id)


async def test_a_run_that_is_killed_in_the_middle_is_unknown_and_not_repeated(
    actor, agent, environment, model, provider
):
    session = await unknown(actor, agent, environment, bash("sleep 600"))
    async with hosting(FakeHands(model.url, provider)):
        call = await is_unknown_after_loss(session, provider)
        await run_again(actor, session, call.id)
        await until(runs(provider, session, call))
    await provider.lose(session.pk)
    async with hosting(FakeHands(model.url, provider)):
        await until(seen(session, "agentsite.tool_late_result"))
        await is_idle(session)
    now = await the_call(session)
    assert (now.state, now.attempt, now.settled_by) == (State.UNKNOWN, 2, None)
    assert provider.executed == [call.id, f"{call.id}:2"]
    await run_again(actor, session, call.id)
    (late,) = await events(session, "agentsite.tool_late_result")
    assert late.payload["outcome"] == "unknown"
    asked = await events(session, "agentsite.tool_rerun")
    assert [each.payload["attempt"] for each in asked] == [2, 3]


async def is_unknown_after_loss(session, provider):
    """The sandbox is lost as well: it remembers nothing."""
    call = await is_unknown(session)
    await provider.lose(session.pk)
    await asyncio.gather(*provider.lost, return_exceptions=True)
    return call


def runs(provider, session, call):
    """It was begun anew, and the sandbox has heard of that."""

    async def look():
        machine = provider.machines.get(session.pk)
        return machine is not None and f"{call.id}:2" in machine.tools.running

    return look


async def test_a_run_that_another_host_takes_over_is_collected(
    actor, agent, environment, model, provider
):
    session = await unknown(actor, agent, environment, bash("sleep 0.4"))
    async with hosting(FakeHands(model.url, provider)):
        call = await is_unknown(session)
        await run_again(actor, session, call.id)
        await until(runs(provider, session, call))
    async with hosting(FakeHands(model.url, provider)):
        await is_idle(session)
    assert (await the_call(session)).state is State.DONE
    assert provider.executed == [call.id, f"{call.id}:2"]


async def test_a_look_at_a_call_that_still_runs_says_so_and_changes_nothing(
    actor, agent, environment, hands, model, provider
):
    session = await unknown(actor, agent, environment, bash("sleep 600"))
    async with hosting(hands):
        call = await is_unknown(session)
        provider.files[session.pk]["/workspace/report.txt"] = b"x"
        await look(actor, session, call.id)
        await until(seen(session, "agentsite.tool_looked"))
        await is_idle(session)
    (looked,) = await events(session, "agentsite.tool_looked")
    assert looked.payload["found"] == "running"
    assert looked.payload["files"] == ["/workspace/report.txt"]
    assert (await the_call(session)).state is State.UNKNOWN
    assert len(model.requests) == 2
    assert call.id in provider.machines[session.pk].tools.running
    await provider.lose(session.pk)
    await asyncio.gather(*provider.lost, return_exceptions=True)


async def test_a_look_collects_what_has_ended_and_the_model_is_told(
    actor, agent, environment, hands, model, provider
):
    session = await unknown(actor, agent, environment, bash("echo all is well"))
    async with hosting(hands):
        call = await is_unknown(session)
        await asyncio.gather(*provider.lost)
        await look(actor, session, call.id)
        await until(seen(session, "agentsite.tool_looked"))
        await is_idle(session)
        await send(actor, session, [scripted({"say": "Good."})])
        await until(seen(session, "agent.message", 2))
        await is_idle(session)
    now = await the_call(session)
    assert (now.state, now.attempt, now.settled_how) == (State.DONE, 1, "look")
    told = str(said_to(model))
    assert "Alice looked what became of your call bash" in told
    assert "all is well" in told


async def test_a_look_where_nothing_is_remembered_leaves_it_unknown(
    actor, agent, environment, hands, provider
):
    session = await unknown(actor, agent, environment, bash("true"))
    async with hosting(hands):
        call = await is_unknown(session)
        await asyncio.gather(*provider.lost)
        provider.forget(session, call.id)
        await look(actor, session, call.id)
        await until(seen(session, "agentsite.tool_looked"))
        await is_idle(session)
    (looked,) = await events(session, "agentsite.tool_looked")
    assert looked.payload["found"] == "nothing"
    assert (await the_call(session)).state is State.UNKNOWN


async def test_marked_as_done_it_is_done_and_the_model_is_told_by_whom(
    actor, agent, environment, hands, model
):
    session = await unknown(actor, agent, environment, COUNT)
    async with hosting(hands):
        call = await is_unknown(session)
        before = said_to(model)
        record = await mark_done(actor, session, call.id)
        assert record.position is not None
        assert (await the_call(session)).settled_how == "mark_done"
        with pytest.raises(InvalidRequest, match="is done, by Alice"):
            await mark_done(actor, session, call.id)
        await send(actor, session, [scripted({"say": "Good."})])
        await until(seen(session, "agent.message", 2))
        await is_idle(session)
    after = said_to(model)
    assert after[: len(before)] == before
    assert "Alice says that your call bash" in str(after[len(before) :])


async def test_a_mark_while_the_agent_works_stands_behind_what_it_is_doing(
    actor, agent, environment, hands, model
):
    session = await unknown(actor, agent, environment, COUNT)
    async with hosting(hands):
        call = await is_unknown(session)
        await send(actor, session, [scripted({"say": "Slow.", "wait_ms": 500})])
        await until(lambda: has(session, status=Status.RUNNING))
        await until(asked(model, 3))
        record = await mark_done(actor, session, call.id)
        assert record.position is None
        await is_idle(session)
        await until(lambda: taken_in(record))
    reply = (await events(session, "agent.message"))[-1]
    mark = await Event.objects.aget(pk=record.id)
    assert mark.position > reply.position


def asked(model, count):
    async def look():
        return len(model.requests) >= count

    return look


async def taken_in(record):
    return await Event.objects.filter(pk=record.id, position__isnull=False).aexists()


async def test_a_stop_cuts_the_run_and_it_is_unknown_again(
    actor, agent, environment, hands, provider
):
    session = await unknown(actor, agent, environment, bash("sleep 600"))
    async with hosting(hands):
        call = await is_unknown_after_loss(session, provider)
        await run_again(actor, session, call.id)
        await until(runs(provider, session, call))
        await send(actor, session, [STOP])
        await is_idle(session)
    assert provider.machines[session.pk].tools.running == {}
    assert (await the_call(session)).state is State.UNKNOWN


async def test_it_is_run_again_while_another_call_waits_for_somebody(
    actor, agent, environment, hands, provider
):
    session = await unknown(actor, agent, environment, COUNT)
    async with hosting(hands):
        call = await is_unknown(session)
        await ask_from_now_on(session)
        await send(actor, session, [scripted({"tools": [bash("true")]}, {"say": "x"})])
        await until(seen(session, "agent.tool_use", 2))
        await is_idle(session)
        await run_again(actor, session, call.id)
        await until(seen(session, "agentsite.tool_late_result"))
        await is_idle(session)
    found = await Session.objects.aget(pk=session.pk)
    assert found.stop_reason["type"] == "requires_action"
    assert len(await counted(provider, session)) == 2


@sync_to_async
def ask_from_now_on(session):
    policy = {"type": "always_ask"}
    toolset = {
        "type": "agent_toolset_20260401",
        "default_config": {"enabled": True, "permission_policy": policy},
    }
    actions.update_session(
        Actor(workspace=session.workspace, name="Alice", role="owner"),
        Session.objects.get(pk=session.pk),
        {"agent": {"tools": [toolset]}},
    )


async def test_what_is_not_unknown_is_refused(
    actor, workspace, agent, environment, hands, provider
):
    session = await unknown(actor, agent, environment, COUNT)
    viewer = Actor(workspace=workspace, name="Charlie", role="viewer")
    async with hosting(hands):
        call = await is_unknown(session)
    for verb in (look, run_again, mark_done):
        with pytest.raises(NotFound, match="no tool call sevt_x"):
            await verb(actor, session, "sevt_x")
        with pytest.raises(Forbidden):
            await verb(viewer, session, call.id)
    await look(actor, session, call.id)
    for verb in (run_again, mark_done):
        with pytest.raises(InvalidRequest, match="wait for what"):
            await verb(actor, session, call.id)
    assert await Event.objects.filter(type__startswith="agentsite.tool_").acount() == 2


async def test_a_call_that_ended_and_a_session_that_is_archived_are_refused(
    actor, agent, environment, hands, provider
):
    provider.lost.append(asyncio.ensure_future(asyncio.sleep(0)))  # nothing gets lost
    session = await unknown(actor, agent, environment, COUNT)
    async with hosting(hands):
        await is_idle(session)
    call = await the_call(session)
    for verb in (look, run_again, mark_done):
        with pytest.raises(InvalidRequest, match="is done: only where"):
            await verb(actor, session, call.id)
    await sync_to_async(actions.archive_session)(actor, session)
    for verb in (look, run_again, mark_done):
        with pytest.raises(Conflict, match="is archived"):
            await verb(actor, session, call.id)


async def test_a_message_sent_meanwhile_is_read_after_the_run(
    actor, agent, environment, model, provider
):
    session = await unknown(actor, agent, environment, COUNT)
    async with hosting(FakeHands(model.url, provider)):
        call = await is_unknown(session)
    await run_again(actor, session, call.id)
    await send(actor, session, [scripted({"say": "And now."})])
    async with hosting(FakeHands(model.url, provider)):
        await until(seen(session, "agent.message", 2))
        await is_idle(session)
    assert "run again" in str(said_to(model)[-1])
    assert "And now." in str(said_to(model)[-1])
