"""A tool call in a sandbox against the same command as a plain subprocess."""

from __future__ import annotations

import subprocess
import time
from datetime import datetime

from bench.figures import Row, Spread
from bench.model import calls
from bench.site import MODEL, Bench

CALLS = 60


def measure(bench: Bench) -> Row:
    called = Spread.of(_calls(bench)[5:])
    bare = Spread.of([plain() for _ in range(CALLS)])
    docker = _docker(bench)
    return Row(
        name="tool call: bash `true`, intent to result in the log",
        measured=str(called),
        baseline=f"{bare} (subprocess){docker}",
        result=f"{called.p50 / bare.p50:.1f}x",
        target="",
        holds=None,
    )


def _calls(bench: Bench) -> list[float]:
    """Seconds from each call's intent to its result, as the log has them."""
    bench.site.wait_for_image()
    session_id = bench.create(calls(CALLS), agent=caller(bench))
    started: dict[str, datetime] = {}
    taken = []
    with bench.client.beta.sessions.events.stream(
        session_id,
        extra_headers={"Last-Event-ID": "0"},
        extra_query={"include": "agentsite"},
    ) as stream:
        for event in stream:
            if event.type == "agentsite.tool_started":
                started[event.tool_use_id] = event.processed_at
            if event.type == "agent.tool_result":
                taken.append(_seconds(started[event.tool_use_id], event.processed_at))
            if event.type == "session.status_idle":
                break
    return taken


def _seconds(began: datetime | str, ended: datetime | str) -> float:
    first, last = (
        datetime.fromisoformat(each) if isinstance(each, str) else each
        for each in (began, ended)
    )
    return (last - first).total_seconds()


def caller(bench: Bench) -> str:
    """The id of an agent with tools."""
    agent = bench.client.beta.agents.create(
        name="Caller",
        model=MODEL,
        tools=[{"type": "agent_toolset_20260401"}],
    )
    return agent.id


def plain() -> float:
    """Seconds of the command without any platform."""
    began = time.perf_counter()
    subprocess.run(["bash", "-c", "true"], check=True)
    return time.perf_counter() - began


def _docker(bench: Bench) -> str:
    """The same by `docker exec`, where the client is there and a container runs."""
    home = bench.site.runtime_dir.name
    ask = ["docker", "ps", "--format", "{{.Names}}", "--filter", f"name={home}"]
    try:
        names = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
    if not names.split():
        return ""
    taken = []
    for _ in range(10):
        began = time.perf_counter()
        subprocess.run(["docker", "exec", names.split()[0], "true"], check=True)
        taken.append(time.perf_counter() - began)
    return f", {Spread.of(taken)} (docker exec)"
