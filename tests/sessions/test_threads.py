"""Child threads, as a harness makes and uses them."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import sync_to_async

from agents.errors import InvalidRequest
from sessions import actions, log, threads
from sessions.events import Draft, UserInterrupt, UserToolConfirmation
from sessions.harness.contract import END_TURN
from sessions.harness.loop import run_turn
from sessions.harness.standing import settled
from sessions.models import Event, Session, Status, Thread
from tests.sessions.hosting import (
    STOP,
    FakeHands,
    bash,
    begin,
    has,
    hosting,
    is_idle,
    message,
    numbers,
    scripted,
    send,
    until,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def agent(working_agent):
    return working_agent


class Delegating:
    """A harness whose primary thread hands its message to a child and waits for word.

    The child is run by the loop that everybody has, and reports what it said last.
    """

    def __init__(self, *told, **changes):
        self.told = told
        self.changes = changes

    async def __call__(self, turn, model):
        if turn.child_thread_id is None:
            return await self._lead(turn)
        ending = await run_turn(turn, model)
        if ending == END_TURN:
            said = [r for r in await turn.records() if r.type == "agent.message"]
            parent = await _parent_of(turn.thread_id)
            await turn.send_message(parent, said[-1].payload.content)
        return ending

    async def _lead(self, turn):
        taken = await turn.take_in()
        if any(record.type == "user.message" for record in taken):
            agent = {**turn.agent, "name": "Scout", **self.changes}
            for step in self.told:
                await turn.create_thread(agent, step.payload.content)
        return settled([]) or END_TURN


@sync_to_async
def _parent_of(thread_id):
    return Thread.objects.get(pk=thread_id).parent_id


@sync_to_async
def children_of(session):
    rows = Thread.objects.filter(session=session).exclude(parent=None)
    return list(rows.order_by("created_at"))


@sync_to_async
def shown(session, thread_id=None):
    rows = log.listed(session.pk, thread_id=thread_id).exclude(position=None)
    return [row.type for row in rows.order_by("position")]


async def all_idle(session):
    threads = [each.status for each in await children_of(session)]
    return (
        bool(threads)
        and set(threads) == {Status.IDLE}
        and await has(session, status=Status.IDLE, owner="")
    )


async def test_a_child_works_in_a_log_of_its_own_and_reports(
    actor, agent, environment, hands
):
    hands.run_turn = Delegating(scripted({"tools": [bash("echo hi")]}, {"say": "Hi."}))
    session = await begin(actor, agent, environment, message("Go."))
    async with hosting(hands):
        await until(lambda: all_idle(session))
    (child,) = await children_of(session)
    own = await shown(session, child.pk)
    assert own[:2] == ["session.thread_status_running", "agent.thread_message_received"]
    assert own.count("agent.tool_use") == own.count("agent.tool_result") == 1
    assert own[-2:] == ["agent.thread_message_sent", "session.thread_status_idle"]
    everybodys = await shown(session)
    assert "agent.tool_use" not in everybodys
    assert "agent.message" not in everybodys
    assert everybodys.count("session.status_idle") == 1
    assert everybodys[-2:] == ["session.usage", "session.status_idle"]
    for kind in (
        "session.thread_created",
        "agent.thread_message_sent",
        "agent.thread_message_received",
        "session.thread_status_running",
    ):
        assert kind in everybodys
    assert numbers_have_no_gap(await sync_to_async(numbers)(session))


def numbers_have_no_gap(found):
    return found == list(range(1, len(found) + 1))


async def test_a_session_works_while_any_thread_does(actor, agent, environment, hands):
    slow = scripted({"say": "Slow.", "wait_ms": 400})
    hands.run_turn = Delegating(slow, scripted({"say": "Quick."}))
    session = await begin(actor, agent, environment, message("Go."))
    statuses = set()

    async def one_rests():
        found = {each.status for each in await children_of(session)}
        if found == {Status.IDLE, Status.RUNNING}:
            statuses.add((await Session.objects.aget(pk=session.pk)).status)
        return bool(statuses)

    async with hosting(hands):
        await until(one_rests)
        await until(lambda: all_idle(session))
    assert statuses == {Status.RUNNING}
    assert (await shown(session)).count("session.status_running") == 1


async def test_usage_is_summed_for_thread_and_session(actor, agent, environment, hands):
    hands.run_turn = Delegating(scripted({"say": "a"}), scripted({"say": "b"}))
    session = await begin(actor, agent, environment, message("Go."))
    async with hosting(hands):
        await until(lambda: all_idle(session))
    await session.arefresh_from_db()
    each = [child.usage["output_tokens"] for child in await children_of(session)]
    assert all(each)
    assert session.usage["output_tokens"] == sum(each)


ASKING = [
    {
        "type": "agent_toolset_20260401",
        "default_config": {
            "enabled": True,
            "permission_policy": {"type": "always_ask"},
        },
    }
]


@sync_to_async
def stop_reason(session):
    return Session.objects.get(pk=session.pk).stop_reason


async def asking(actor, agent, environment, hands, *calls):
    steps = [scripted({"tools": [call]}, {"say": "Ok."}) for call in calls]
    hands.run_turn = Delegating(*steps, tools=ASKING)
    return await begin(actor, agent, environment, message("Go."))


async def test_a_child_s_question_is_everybody_s_and_its_answer_finds_the_child(
    actor, agent, environment, hands
):
    session = await asking(actor, agent, environment, hands, bash("echo hi"))
    async with hosting(hands):
        await until(lambda: all_idle(session))
        reason = await stop_reason(session)
        assert reason["type"] == "requires_action"
        (call,) = reason["event_ids"]
        (child,) = await children_of(session)
        row = await Event.objects.aget(pk=call)
        record = log.record_of(row)
        assert record.wire()["session_thread_id"] == child.pk
        assert "session_thread_id" not in record.wire(own_thread=True)
        assert "agent.tool_use" in await shown(session)
        allow = UserToolConfirmation(tool_use_id=call, result="allow")
        (echo,) = await send(actor, session, [Draft(payload=allow, queued=True)])
        assert echo.wire()["session_thread_id"] == child.pk
        await until(lambda: _ended(session, "end_turn"))
    assert hands.provider.executed == [call]


async def _ended(session, reason):
    return (await stop_reason(session) or {}).get("type") == reason and await all_idle(
        session
    )


async def test_one_child_s_question_outweighs_that_the_others_are_done(
    actor, agent, environment, hands
):
    session = await asking(
        actor, agent, environment, hands, bash("echo 1"), bash("echo 2")
    )
    async with hosting(hands):
        await until(lambda: all_idle(session))
        first, second = (await stop_reason(session))["event_ids"]
        allow = UserToolConfirmation(tool_use_id=first, result="allow")
        await send(actor, session, [Draft(payload=allow, queued=True)])
        await until(lambda: _waits_for(session, [second]))
    assert hands.provider.executed == [first]


async def _waits_for(session, calls):
    reason = await stop_reason(session) or {}
    return reason.get("event_ids") == calls and await all_idle(session)


async def test_an_interrupt_stops_every_thread(actor, agent, environment, hands):
    slow = [scripted({"words": 5000, "delay_ms": 50}) for _ in range(3)]
    hands.run_turn = Delegating(*slow)
    session = await begin(actor, agent, environment, message("Go."))
    async with hosting(hands):
        await until(lambda: _streaming(session, 3))
        await send(actor, session, [STOP])
        await until(lambda: all_idle(session))
    assert not await sync_to_async(log.stopped_threads)(session.pk)
    for child in await children_of(session):
        own = await shown(session, child.pk)
        assert own.count("span.model_request_end") == 1
        assert "agent.message" not in own


async def _streaming(session, count):
    rows = Event.objects.filter(session=session, type="span.model_request_start")
    return await rows.acount() == count


async def test_an_interrupt_of_one_thread_leaves_the_others(
    actor, agent, environment, hands
):
    slow = scripted({"words": 5000, "delay_ms": 50})
    hands.run_turn = Delegating(slow, scripted({"words": 40, "delay_ms": 20}))
    session = await begin(actor, agent, environment, message("Go."))
    async with hosting(hands):
        await until(lambda: _streaming(session, 2))
        first, second = await children_of(session)
        stop = UserInterrupt(session_thread_id=first.pk)
        await send(actor, session, [Draft(payload=stop, queued=True)])
        await until(lambda: all_idle(session))
    assert "agent.message" not in await shown(session, first.pk)
    assert "agent.message" in await shown(session, second.pk)


async def test_a_child_goes_on_where_its_host_left_it(
    actor, agent, environment, hands, model
):
    slow = scripted({"say": "Here.", "wait_ms": 300})
    hands.run_turn = Delegating(slow)
    session = await begin(actor, agent, environment, message("Go."))
    async with hosting(hands):
        await until(lambda: _streaming(session, 1))
    others = FakeHands(model.url, hands.provider)
    others.run_turn = hands.run_turn
    async with hosting(others):
        await until(lambda: all_idle(session))
    (child,) = await children_of(session)
    own = await shown(session, child.pk)
    assert own.count("agent.message") == 1
    assert own.count("span.model_request_start") == 2


async def test_there_are_only_so_many_children(
    actor, agent, environment, hands, monkeypatch
):
    monkeypatch.setattr(threads, "MOST", 1)
    heard = []

    class Greedy(Delegating):
        async def _lead(self, turn):
            try:
                return await super()._lead(turn)
            except InvalidRequest as refusal:
                heard.append(str(refusal))
                return END_TURN

    hands.run_turn = Greedy(scripted({"say": "a"}), scripted({"say": "b"}))
    session = await begin(actor, agent, environment, message("Go."))
    async with hosting(hands):
        await until(lambda: all_idle(session))
    assert len(await children_of(session)) == 1
    assert "has 1 child threads already" in heard[0]


async def test_an_idle_child_can_be_archived_and_the_primary_one_not(
    actor, agent, environment, hands
):
    session = await asking(actor, agent, environment, hands, bash("echo hi"))
    async with hosting(hands):
        await until(lambda: all_idle(session))
    (child,) = await children_of(session)
    archive = sync_to_async(actions.archive_thread)
    ended = await archive(actor, child)
    assert (ended.status, bool(ended.archived_at)) == (Status.TERMINATED, True)
    assert (await shown(session, child.pk))[-1] == "session.thread_status_terminated"
    assert (await stop_reason(session))["type"] == "end_turn"
    stop = Draft(payload=UserInterrupt(session_thread_id=child.pk), queued=True)
    with pytest.raises(InvalidRequest, match="has ended"):
        await send(actor, session, [stop])
    await archive(actor, ended)
    primary = await session.threads.aget(parent=None)
    with pytest.raises(InvalidRequest, match="primary thread"):
        await archive(actor, primary)


async def test_a_working_child_cannot_be_archived(actor, agent, environment, hands):
    hands.run_turn = Delegating(scripted({"words": 5000, "delay_ms": 50}))
    session = await begin(actor, agent, environment, message("Go."))
    async with hosting(hands):
        await until(lambda: _streaming(session, 1))
        (child,) = await children_of(session)
        with pytest.raises(InvalidRequest, match="is working"):
            await sync_to_async(actions.archive_thread)(actor, child)
        await send(actor, session, [STOP])
        await until(lambda: all_idle(session))


async def test_a_message_to_a_resting_child_wakes_it(actor, agent, environment, hands):
    class Twice(Delegating):
        async def _lead(self, turn):
            for record in await turn.take_in():
                if record.type == "agent.thread_message_received" and self.told:
                    sender = record.payload.from_session_thread_id
                    more, self.told = self.told[0].payload.content, ()
                    await turn.send_message(sender, more)
                elif record.type == "user.message":
                    agent = {**turn.agent, "name": "Scout"}
                    await turn.create_thread(agent, self.told[0].payload.content)
            return END_TURN

    hands.run_turn = Twice(scripted({"say": "One."}, {"say": "Two."}))
    session = await begin(actor, agent, environment, message("Go."))
    async with hosting(hands):
        await until(lambda: _reports(session, 2))
        await until(lambda: all_idle(session))
        await is_idle(session)
    (child,) = await children_of(session)
    assert (await shown(session, child.pk)).count("agent.message") == 2


async def _reports(session, count):
    rows = Event.objects.filter(
        session=session, type="agent.thread_message_received", inner=False
    )
    await asyncio.sleep(0)
    return await rows.exclude(position=None).acount() == count


class Waiting(Delegating):
    """Its primary thread stays in its turn until the child has reported."""

    async def _lead(self, turn):
        await super()._lead(turn)
        async with asyncio.timeout(15):
            while True:
                taken = await turn.take_in()
                if any(each.type == "agent.thread_message_received" for each in taken):
                    return END_TURN
                await asyncio.sleep(0.02)


async def test_a_child_works_while_its_parent_s_turn_goes_on(
    actor, agent, environment, hands
):
    hands.run_turn = Waiting(scripted({"say": "Here."}))
    session = await begin(actor, agent, environment, message("Go."))
    async with hosting(hands):
        await until(lambda: all_idle(session))
    assert "session.error" not in await shown(session)
    assert (await shown(session)).count("session.status_idle") == 1


async def test_an_answer_nobody_was_woken_for_is_found_while_the_parent_works(
    actor, agent, environment, hands, monkeypatch
):
    monkeypatch.setattr("sessions.worker.LOOK_SECONDS", 0.1)
    monkeypatch.setattr("sessions.inbox.bus.wake_hosts", lambda session_id: None)
    hands.run_turn = Waiting(
        scripted({"tools": [bash("echo hi")]}, {"say": "Ok."}), tools=ASKING
    )
    session = await begin(actor, agent, environment, message("Go."))
    async with hosting(hands):
        await until(lambda: _asks(session))
        (child,) = await children_of(session)
        (call,) = child.stop_reason["event_ids"]
        allow = UserToolConfirmation(tool_use_id=call, result="allow")
        await send(actor, session, [Draft(payload=allow, queued=True)])
        await until(lambda: all_idle(session))
    assert "session.error" not in await shown(session)
    assert hands.provider.executed == [call]


async def _asks(session):
    children = await children_of(session)
    return bool(children and children[0].stop_reason)


async def test_a_child_makes_no_children(actor, agent, environment, hands):
    heard = []

    class Nesting(Delegating):
        async def __call__(self, turn, model):
            if turn.child_thread_id is not None:
                with pytest.raises(InvalidRequest, match="it can make none") as refusal:
                    await turn.create_thread(turn.agent, self.told[0].payload.content)
                heard.append(refusal)
            return await super().__call__(turn, model)

    hands.run_turn = Nesting(scripted({"say": "Here."}))
    session = await begin(actor, agent, environment, message("Go."))
    async with hosting(hands):
        await until(lambda: all_idle(session))
    assert heard
    assert len(await children_of(session)) == 1


async def test_a_child_that_reached_a_limit_ends(actor, agent, environment, hands):
    """As in the field: the primary thread only rests, and takes another message."""
    hands.run_turn = Delegating(scripted(*[{"tools": [bash("true")]}] * 9))
    session = await begin(actor, agent, environment, message("Go."))
    await Session.objects.filter(pk=session.pk).aupdate(max_model_requests=2)
    async with hosting(hands):
        await until(lambda: _child_is(session, Status.TERMINATED))
        await is_idle(session)
    (child,) = await children_of(session)
    own = await shown(session, child.pk)
    assert own.count("span.model_request_start") == 2
    assert own[-3:] == [
        "session.error",
        "session.thread_status_idle",
        "session.thread_status_terminated",
    ]
    idle = await Event.objects.aget(thread=child, type="session.thread_status_idle")
    assert idle.payload["stop_reason"] == {"type": "retries_exhausted"}
    assert (await shown(session))[-2:] == ["session.usage", "session.status_idle"]


async def _child_is(session, status):
    return [each.status for each in await children_of(session)] == [status]
