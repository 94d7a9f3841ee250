"""A running site of its own: a fresh database, daphne, and keys for the cast."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

ROOT = Path(__file__).resolve().parents[2]

PREPARE = """
import json, django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from agents import files
from agents.models import ApiKey, ModelAlias, Workspace
ModelAlias.objects.update_or_create(alias="opus", defaults={"model": "claude-opus-5-5"})
books, elsewhere = [Workspace.objects.create(name=n) for n in ("Books", "Elsewhere")]
report = files.store(
    books, filename="report.txt", chunks=[b"done"], downloadable=True
)
from agents import definitions
from agents.environment_config import resolve_environment
from agents.actors import Actor
from agents.models import Agent, AgentVersion, Environment
from agents.params import AgentCreate
from sessions import actions
from sessions.models import Thread
agent = Agent.objects.create(workspace=books, name="Lead")
config = definitions.resolve_agent(AgentCreate(name="Lead", model="opus"))
AgentVersion.objects.create(agent=agent, version=1, config=config)
session = actions.create_session(
    Actor(workspace=books, name="Alice", role="owner"),
    agent=agent.latest,
    environment=Environment.objects.create(
        workspace=books, name="Lead's", config=resolve_environment()
    ),
)
primary = session.threads.get()
child = Thread.objects.create(
    session=session, parent=primary, agent_snapshot=primary.agent_snapshot
)
print(json.dumps({
    "session": session.id,
    "child": child.id,
    "workspace": books.id,
    "report": report.id,
    "alice": ApiKey.issue(books, "Alice", role="owner")[1],
    "bob": ApiKey.issue(books, "Bob", role="operator")[1],
    "viewer": ApiKey.issue(books, "Viewer", role="viewer")[1],
    "charlie": ApiKey.issue(elsewhere, "Charlie", role="owner")[1],
}))
"""


@dataclass(frozen=True, kw_only=True)
class Site:
    url: str
    session: str
    child: str  # a thread of the session's
    workspace: str
    report: str
    alice: str
    bob: str
    viewer: str
    charlie: str


@contextmanager
def running_site(home: Path):
    env = {
        **os.environ,
        "AGENTSITE_HOME": str(home),
        "AGENTSITE_RUNTIME_DIR": str(home / "run"),
        "DJANGO_SETTINGS_MODULE": "tests.acceptance.settings",
        "PYTHONPATH": str(ROOT),
        "ANTHROPIC_API_KEY": "",
    }
    (home / "static").mkdir()
    keys = json.loads(_python(env, "-c", PREPARE))
    port = _free_port()
    log = (home / "daphne.log").open("w")
    server = subprocess.Popen(
        [sys.executable, "-m", "daphne", "-p", str(port), "agentsite.asgi:application"],
        cwd=ROOT,
        env=env,
        stdout=log,
        stderr=log,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _await(url, server, home / "daphne.log")
        yield Site(url=url, **keys)
    finally:
        server.terminate()
        server.wait(timeout=20)
        log.close()


def _python(env, *arguments):
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _await(url, server, log):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            httpx2.get(f"{url}/v1/openapi.json")
            return
        except httpx2.TransportError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())
