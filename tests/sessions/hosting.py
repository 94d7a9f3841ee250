"""Real rows, the real client, the scripted model, a fake sandbox: turns as they are."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

from asgiref.sync import sync_to_async

from sandbox.fake import FakeProvider
from sandbox.spec import SandboxSpec
from sessions import actions, keeping
from sessions.events import Draft, UserInterrupt, UserMessage
from sessions.harness.anthropic_model import AnthropicModel
from sessions.harness.loop import run_turn
from sessions.host import Host
from sessions.models import Event, Session, Status
from sessions.network import policy_for


class FakeHands:
    """Sandboxes in memory; `holding` keeps the sandbox back as a missing image does."""

    def __init__(self, url, provider=None):
        self.provider = provider or FakeProvider()
        self.holding = None
        self.run_turn = run_turn
        self._model = AnthropicModel(base_url=url, api_key="none")

    async def sandbox(self, opened, waiting):
        if self.holding is not None:
            await waiting("Waiting for the base image: building")
            await self.holding.wait()
        spec = SandboxSpec(
            session_id=opened.session.pk,
            image="base",
            files=opened.mounts,
            snapshot=keeping.snapshot_of(opened.session.pk),
            network=policy_for(opened.session, opened.session_hosts),
        )
        return await self.provider.provision(spec)

    async def renew_network(self, opened):
        network = policy_for(opened.session, opened.session_hosts)
        await self.provider.renew_network(opened.session.pk, network)

    def model(self, agent):
        return self._model

    def harness(self, agent):
        return self.run_turn

    async def close(self):
        await self._model.close()


def scripted(*steps):
    text = f"Go.\n```script\n{json.dumps(steps)}\n```"
    return message(text)


def numbers(session):
    rows = Event.objects.filter(session=session).values_list("seq", "position")
    return sorted({number for row in rows for number in row if number})


def message(text):
    payload = UserMessage(content=[{"type": "text", "text": text}])
    return Draft(payload=payload, queued=True)


def bash(command):
    return {"name": "bash", "input": {"command": command}}


STOP = Draft(payload=UserInterrupt(), queued=True)


@asynccontextmanager
async def hosting(hands, slots=10, database=None):
    host = Host(slots=slots, hands=hands)
    host.database = database or host.database
    running = asyncio.create_task(host.run())
    try:
        yield host
    finally:
        host.drain()
        await running


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
    await until(lambda: has(session, status=Status.IDLE))


def has(session, **fields):
    return Session.objects.filter(pk=session.pk, **fields).aexists()


def seen(session, kind, count=1):
    async def look():
        rows = Event.objects.filter(session=session, type=kind)
        return await rows.acount() >= count

    return look
