"""A session steered at random by several people: what its log must be in every case."""

from __future__ import annotations

import asyncio
import random

import pytest
from asgiref.sync import sync_to_async

from agents.errors import InvalidRequest
from sessions import log
from sessions.models import Event, Session, Status
from tests.faults.checker import Event as Seen
from tests.faults.checker import Left, faults
from tests.sessions.hosting import (
    STOP,
    bash,
    begin,
    hosting,
    message,
    scripted,
    send,
    until,
)
from tests.sessions.test_asks import agent, answer, weather, word

__all__ = ["agent"]

pytestmark = pytest.mark.django_db(transaction=True)

LOOK = {"name": "glob", "input": {"pattern": "*"}}
CALLS = ([LOOK], [bash("echo a")], [bash("echo a"), weather("Rome"), LOOK], [])
ACTS = 30


class Crowd:
    """People who act without waiting for each other, by the throw of dice."""

    def __init__(self, actor, session, seed):
        self.actor = actor
        self.session = session
        self.dice = random.Random(seed)

    async def act(self):
        act = self.dice.choice([self.ask, self.ask, self.stop, self.redirect])
        if self.dice.random() < 0.5 and await self._open_calls():
            act = self.say_of_a_call
        try:
            await act()
        except InvalidRequest:
            pass  # somebody was quicker: refused, and nothing of it is kept
        if self.dice.random() < 0.4:
            await until(self._is_idle)
        await asyncio.sleep(self.dice.choice([0.0, 0.01, 0.05]))

    async def ask(self):
        steps = [
            {"tools": self.dice.choice(CALLS), "words": 3, "delay_ms": 2}
            for _ in range(self.dice.randrange(1, 3))
        ]
        await send(self.actor, self.session, [scripted(*steps)])

    async def stop(self):
        await send(self.actor, self.session, [STOP])

    async def redirect(self):
        await send(self.actor, self.session, [STOP, message("Rather this.")])

    async def say_of_a_call(self):
        call, kind = self.dice.choice(await self._open_calls())
        said = answer(call) if kind == "agent.custom_tool_use" else self._word(call)
        with_stop = [STOP] if self.dice.random() < 0.2 else []
        await send(self.actor, self.session, [said, *with_stop])

    def _word(self, call):
        return word(call, self.dice.choice(["allow", "deny"]))

    @sync_to_async
    def _open_calls(self):
        """Those that may still be answered, and some that no longer may."""
        uses = ["agent.tool_use", "agent.custom_tool_use"]
        rows = Event.objects.filter(session=self.session, type__in=uses)
        return list(rows.order_by("-seq").values_list("pk", "type")[:4])

    async def settle(self):
        """Stop once more what waits, and see the session rest with nothing queued."""
        await self.stop()
        await until(self._rests)

    @sync_to_async
    def _is_idle(self):
        """And then nothing is left behind, unless it waits for what it asked."""
        row = Session.objects.get(pk=self.session.pk)
        if row.status != Status.IDLE:
            return False
        asks = (row.stop_reason or {}).get("type") == "requires_action"
        assert asks or not log.queued_types(row.pk)
        return True

    @sync_to_async
    def _rests(self):
        row = Session.objects.get(pk=self.session.pk)
        return row.status == Status.IDLE and not log.queued_types(row.pk)


@sync_to_async
def left_by(session):
    row = Session.objects.get(pk=session.pk)
    events = [
        Seen(id=e.pk, type=e.type, seq=e.seq, position=e.position, payload=e.payload)
        for e in Event.objects.filter(session=session).order_by("position")
    ]
    return Left(
        id=row.pk,
        status=row.status,
        stop_reason=row.stop_reason,
        next_seq=row.next_seq,
        events=events,
    )


def alternates(kinds, one, other):
    """One and the other follow each other strictly, beginning with the one."""
    found = [kind for kind in kinds if kind in {one, other}]
    return found[::2] == [one] * len(found[::2]) and found[1::2] == [other] * len(
        found[1::2]
    )


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_people_do_the_log_is_whole(
    actor, agent, environment, hands, seed
):
    session = await begin(actor, agent, environment)
    crowd = Crowd(actor, session, seed)
    async with hosting(hands):
        for _ in range(ACTS):
            await crowd.act()
        await crowd.settle()
    left = await left_by(session)
    assert faults(left) == []
    kinds = [event.type for event in left.events]
    idles = [at for at, kind in enumerate(kinds) if kind == "session.status_idle"]
    assert {kinds[at - 1] for at in idles} == {"session.usage"}
    spans = ("span.model_request_start", "span.model_request_end")
    assert alternates(kinds, *spans)
    assert_each_answer_follows_its_call(left)
    assert_nothing_runs_after_a_stop(left)
    assert_a_message_is_read_after_the_stop_it_came_with(left)


def assert_each_answer_follows_its_call(left):
    calls = set()
    for event in left.events:
        if event.type in {"agent.tool_use", "agent.custom_tool_use"}:
            calls.add(event.id)
        for name in ("tool_use_id", "custom_tool_use_id"):
            assert event.payload.get(name, next(iter(calls), None)) in {*calls, None}


def assert_nothing_runs_after_a_stop(left):
    """Between a stop that is taken in and the idle that follows nothing new begins."""
    stopping = False
    for event in left.events:
        if event.type == "user.interrupt":
            stopping = True
        elif event.type in {"session.thread_status_idle", "session.status_running"}:
            stopping = False
        assert not (stopping and event.type == "span.model_request_start")


def assert_a_message_is_read_after_the_stop_it_came_with(left):
    """Or the turn that is stopped had it, and nobody ever answers."""
    stops = {e.seq: e.position for e in left.events if e.type == "user.interrupt"}
    for event in left.events:
        if event.type == "user.message" and event.seq - 1 in stops:
            assert event.position > stops[event.seq - 1]
