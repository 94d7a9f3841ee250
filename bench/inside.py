"""What is measured from inside a site, with its settings: `python -m bench.inside NAME`."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django

APPENDS = 500
ROUNDS = 5
PAYLOAD = "x" * 200
JOBS = 60
PAUSE = 0.2


def appends() -> dict[str, list[float]]:
    """Commits a second, round for round: the bare driver's, and the log's."""
    raw, ours = _raw(), _ours()
    rates: dict[str, list[float]] = {"raw": [], "ours": []}
    for _ in range(ROUNDS):
        rates["raw"].append(_rate(raw))
        rates["ours"].append(_rate(ours))
    return rates


def _rate(write: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(APPENDS):
        write()
    return APPENDS / (time.perf_counter() - began)


def _raw() -> Callable[[], object]:
    """One insert and its commit, in a table with nothing but a payload."""
    from django.conf import settings

    if url := os.environ.get("DATABASE_URL"):
        import psycopg

        database: Any = psycopg.connect(url, autocommit=True)
        insert = "INSERT INTO bench_raw VALUES (%s)"
    else:
        path = settings.AGENTSITE.home / "bench.sqlite3"
        database = sqlite3.connect(path, isolation_level=None)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        insert = "INSERT INTO bench_raw VALUES (?)"
    database.execute("CREATE TABLE IF NOT EXISTS bench_raw (payload TEXT)")
    return lambda: database.execute(insert, [PAYLOAD])


def _ours() -> Callable[[], object]:
    """One event, fenced as a host's are."""
    from sessions import log
    from sessions.events import AgentMessage, Draft

    session = _session()
    content = [{"type": "text", "text": PAYLOAD}]
    thread_id = log.primary_id(session.pk)

    def write() -> object:
        draft = Draft(payload=AgentMessage(content=content))
        return log.append(session.pk, [draft], fence=session.fence, thread_id=thread_id)

    return write


def _session() -> Any:
    from agents import definitions
    from agents.actors import Actor
    from agents.models import Agent, AgentVersion, Environment, Workspace
    from agents.params import AgentCreate
    from sessions import actions

    workspace = Workspace.objects.create(name="Bench")
    params = AgentCreate(name="Bench", model="claude-bench")
    agent = Agent.objects.create(workspace=workspace, name=params.name)
    AgentVersion.objects.create(
        agent=agent, version=1, config=definitions.resolve_agent(params)
    )
    environment = Environment.objects.create(
        workspace=workspace, name="bench", config={"type": "cloud"}
    )
    actor = Actor(workspace=workspace, name="bench", role="owner")
    return actions.create_session(actor, agent=agent.latest, environment=environment)


def jobs() -> list[int]:
    """Nanoseconds from each enqueue to the job's first line."""
    from sessions import queue

    path = Path(sys.argv[2]) / "started"
    path.touch()
    path.chmod(0o666)  # jobs may run as another user
    for number in range(JOBS + 1):
        queue.enqueue("bench.job.note_start", str(path), time.monotonic_ns())
        time.sleep(PAUSE)
        while len(lines := path.read_text().split()) <= number:
            time.sleep(0.01)
    return [int(line) for line in lines[1:]]  # the first one imports


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "agentsite.settings"
    django.setup()
    print(json.dumps({"appends": appends, "jobs": jobs}[sys.argv[1]]()))
