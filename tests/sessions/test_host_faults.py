"""A host when things go wrong: stops at every moment, lost hosts, a lost database."""

from __future__ import annotations

import asyncio
import threading

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError

from sandbox.fake import FakeProvider
from sessions import actions, leases, log
from sessions.events import Draft, Waiting
from sessions.host import Database, Host
from sessions.hosting import HostThread
from sessions.models import Session, Status
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


@pytest.fixture
def agent(working_agent):
    return working_agent


async def test_a_stop_before_any_host_looked_ends_the_turn_unasked(
    actor, agent, environment, hands, model
):
    session = await begin(actor, agent, environment, scripted({"say": "Never."}))
    await send(actor, session, [STOP])
    async with hosting(hands):
        await is_idle(session)
    assert await types(session) == [
        "session.status_running",
        "session.thread_status_running",
        "user.message",
        "user.interrupt",
        "session.thread_status_idle",
        "session.usage",
        "session.status_idle",
    ]
    assert not model.requests


async def test_what_was_stopped_before_it_began_is_answered_with_the_next_message(
    actor, agent, environment, hands, model
):
    session = await begin(actor, agent, environment, message("First."))
    await send(actor, session, [STOP])
    async with hosting(hands):
        await is_idle(session)
        await send(actor, session, [scripted({"say": "Both."})])
        await until(seen(session, "agent.message"))
        await is_idle(session)
    (request,) = model.requests
    assert "First." in str(request)


async def test_a_stop_while_the_model_is_waited_for_ends_the_turn(
    actor, agent, environment, hands
):
    session = await begin(actor, agent, environment, scripted({"error": 529}))
    async with hosting(hands):
        await until(seen(session, "session.status_rescheduled"))
        await send(actor, session, [STOP])
        await is_idle(session)
    found = await Session.objects.aget(pk=session.pk)
    assert found.stop_reason == {"type": "end_turn"}
    thread = await found.threads.aget()
    assert thread.status == Status.IDLE


async def test_a_stop_while_the_sandbox_is_made_ends_the_turn(
    actor, agent, environment, hands
):
    hands.holding = asyncio.Event()
    session = await begin(
        actor, agent, environment, scripted({"tools": [bash("echo hi")]})
    )
    async with hosting(hands):
        await until(seen(session, "agentsite.waiting"))
        await send(actor, session, [STOP])
        await is_idle(session)
    told = await events(session, "agentsite.waiting")
    assert [event.payload["over"] for event in told] == [False, True]
    (result,) = await events(session, "agent.tool_result")
    assert result.payload["is_error"]
    assert hands.provider.executed == []


async def test_a_second_stop_changes_nothing(actor, agent, environment, hands):
    session = await begin(
        actor, agent, environment, scripted({"tools": [bash("sleep 600")]})
    )
    async with hosting(hands):
        await until(seen(session, "agentsite.tool_started"))
        await send(actor, session, [STOP])
        await send(actor, session, [STOP])
        await is_idle(session)
        await send(actor, session, [scripted({"say": "Again."})])
        await until(seen(session, "agent.message"))
        await is_idle(session)
    assert (await types(session)).count("agent.tool_result") == 1


async def test_a_stop_after_a_hand_over_ends_what_the_first_host_began(
    actor, agent, environment, model
):
    provider = FakeProvider()
    session = await begin(
        actor, agent, environment, scripted({"tools": [bash("sleep 600")]})
    )
    async with hosting(FakeHands(model.url, provider)):
        await until(seen(session, "agentsite.tool_started"))
    await send(actor, session, [STOP])
    async with hosting(FakeHands(model.url, provider)):
        await is_idle(session)
    assert provider.machines[session.pk].tools.running == {}


class DyingProvider(FakeProvider):
    """Its sandboxes die as soon as they have said what they know of a call."""

    async def provision(self, spec):
        sandbox = await super().provision(spec)
        ask = sandbox.outcome

        async def last_words(call_id):
            known = await ask(call_id)
            await self.lose(spec.session_id)
            return known

        sandbox.outcome = last_words
        return sandbox


async def test_a_sandbox_lost_while_its_call_is_collected_does_not_run_it_again(
    actor, agent, environment, model
):
    provider = DyingProvider()
    session = await begin(
        actor, agent, environment, scripted({"tools": [bash("sleep 600")]})
    )
    async with hosting(FakeHands(model.url, provider)):
        await until(seen(session, "agentsite.tool_started"))
        await until(_runs(provider, session))
    async with hosting(FakeHands(model.url, provider)):
        await is_idle(session)
    (result,) = await events(session, "agent.tool_result")
    assert "outcome is unknown" in result.payload["content"][0]["text"]
    assert len(provider.executed) == 1


def _runs(provider, session):
    async def look():
        machine = provider.machines.get(session.pk)
        return machine is not None and bool(machine.tools.running)

    return look


async def test_a_take_over_says_what_was_cut_and_what_it_cost(
    actor, agent, environment, hands
):
    session = await begin(actor, agent, environment, scripted({"say": "Hello."}))
    ghost = f"{leases.boot_id()}:ghost:1"
    await sync_to_async(leases.claim)(ghost, 1)
    await sync_to_async(leases.expire)([ghost])
    async with hosting(hands):
        await is_idle(session)
    (recovery,) = await events(session, "agentsite.recovery")
    assert recovery.payload["cut"] == "between two steps"
    assert recovery.payload["seconds_lost"] >= 0


async def test_what_a_dead_worker_said_it_waits_for_is_closed(
    actor, agent, environment, hands
):
    session = await begin(actor, agent, environment, scripted({"say": "Hello."}))
    ghost = f"{leases.boot_id()}:ghost:1"
    (claim,) = await sync_to_async(leases.claim)(ghost, 1)
    waiting = Draft(payload=Waiting(reason="Waiting for the base image"))
    await sync_to_async(log.append)(session.pk, [waiting], fence=claim.fence)
    await sync_to_async(leases.expire)([ghost])
    async with hosting(hands):
        await is_idle(session)
    told = await events(session, "agentsite.waiting")
    assert [event.payload["over"] for event in told] == [False, True]


class FailingOnce(FakeHands):
    """Hands with a bug that shows once."""

    failed = False

    def model(self, agent):
        if not self.failed:
            self.failed = True
            raise KeyError("secret")
        return super().model(agent)


async def test_a_turn_that_failed_on_our_side_says_so_and_goes_on(
    actor, agent, environment, model
):
    session = await begin(actor, agent, environment, scripted({"say": "After all."}))
    async with hosting(FailingOnce(model.url)):
        await until(seen(session, "agent.message"))
        await is_idle(session)
    (error,) = await events(session, "session.error")
    assert "KeyError" in error.payload["error"]["message"]
    assert "secret" not in str(error.payload)
    assert await events(session, "agentsite.recovery") == []


class Outage(Database):
    """A database that can be out of reach."""

    is_out = False

    async def __call__(self, work, *args, **kwargs):
        if self.is_out:
            raise OperationalError("the connection is closed")
        return await super().__call__(work, *args, **kwargs)


async def test_without_the_database_nothing_is_lost_and_nothing_runs_twice(
    actor, agent, environment, hands
):
    session = await begin(
        actor,
        agent,
        environment,
        scripted({"tools": [bash("sleep 1; echo kept")]}, {"say": "Done."}),
    )
    database = Outage()
    async with hosting(hands, database=database):
        await until(seen(session, "agentsite.tool_started"))
        database.is_out = True
        await until(_ended(hands.provider, session))
        await asyncio.sleep(0.2)  # the answer meets a database that is away
        database.is_out = False
        await is_idle(session)
    (result,) = await events(session, "agent.tool_result")
    assert result.payload["content"][0]["text"].strip() == "kept"
    assert len(hands.provider.executed) == 1
    assert await events(session, "session.error") == []
    found = await sync_to_async(numbers)(session)
    assert found == list(range(1, len(found) + 1))


def _ended(provider, session):
    async def look():
        return not provider.machines[session.pk].tools.running

    return look


async def test_a_deleted_session_is_given_up_quietly(
    actor, agent, environment, hands, caplog
):
    session = await begin(
        actor, agent, environment, scripted({"tools": [bash("sleep 1")]})
    )
    async with hosting(hands) as host:
        await until(seen(session, "agentsite.tool_started"))
        await Session.objects.filter(pk=session.pk).adelete()
        await until(_let_go(host))
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def _let_go(host):
    async def look():
        return not host.work

    return look


class Claimed:
    """Work that was claimed while leases were renewed."""

    fence = 1
    given_up = False

    def give_up(self):
        self.given_up = True


async def test_what_is_claimed_during_a_renewal_is_kept(hands):
    host, claimed = Host(slots=1, hands=hands), Claimed()

    async def renewing(*_):
        host.work["sesn_new"] = claimed
        return {}

    host.database = renewing
    await host._renew()
    assert not claimed.given_up


async def test_a_lease_that_moved_on_ends_the_work(hands):
    host, lost = Host(slots=1, hands=hands), Claimed()
    host.work["sesn_lost"] = lost

    async def renewing(*_):
        return {"sesn_lost": 2}

    host.database = renewing
    await host._renew()
    assert lost.given_up


class Process(HostThread):
    """A host's thread in a process that notes its end instead of ending."""

    def __init__(self, fails):
        super().__init__()
        self.fails = fails
        self.ended = threading.Event()
        self.running = threading.Event()

    async def _run(self):
        self.running.set()
        if self.fails:
            raise RuntimeError("no host here")
        await asyncio.Event().wait()

    def _end_process(self):
        self.ended.set()


def test_a_process_whose_host_failed_ends():
    process = Process(fails=True)
    process.start()
    assert process.ended.wait(10)


async def test_stopping_waits_for_the_hand_back(actor, agent, environment, hands):
    session = await begin(
        actor, agent, environment, scripted({"tools": [bash("sleep 600")]})
    )
    async with hosting(hands):
        await until(seen(session, "agentsite.tool_started"))
        assert await has(session, status=Status.RUNNING)
        with pytest.raises(Exception, match="interrupt it"):
            await sync_to_async(actions.archive_session)(actor, session)
    assert await has(session, owner="", status=Status.RUNNING)
