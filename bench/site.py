"""The site under test, the model it asks, and its clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import psutil

from agentsite.conf import ROOT
from bench.model import order
from tests.plugins.site import RunningSite, free_port, running_site

MODEL = "claude-bench"


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A running site with an agent that asks the stamping model."""

    site: RunningSite
    client: anthropic.Anthropic
    model_url: str
    agent_id: str
    environment_id: str

    def create(self, message: str | None = None, *, agent: str = "") -> str:
        """Start a session; with a message it begins at once."""
        session = self.client.beta.sessions.create(
            agent=agent or self.agent_id,
            environment_id=self.environment_id,
            initial_events=[said(message)] if message else anthropic.omit,
        )
        return session.id

    def send(self, session_id: str, message: str) -> None:
        self.client.beta.sessions.events.send(session_id, events=[said(message)])

    def hosts(self) -> int:
        """How many hosts say that they live."""
        found = self.site.runtime_dir.glob("hosts/*.json")
        return sum(_is_fresh(path) for path in found)

    def processes(self) -> list[psutil.Process]:
        found = []
        for pid in self.site.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(pid))
        return found

    def cpu_seconds(self) -> float:
        return sum(sum(each.cpu_times()[:2]) for each in self.processes())

    def memory_mb(self) -> float:
        """Memory in proportion to how many processes share each page."""
        total = 0
        for each in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                total += each.memory_full_info().pss
        return total / 1e6


def _is_fresh(path: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        at: float = json.loads(path.read_text())["at"]
        return time.clock_gettime(time.CLOCK_BOOTTIME) - at < 2
    return False


def said(text: str) -> dict[str, Any]:
    return {"type": "user.message", "content": [{"type": "text", "text": text}]}


@contextlib.contextmanager
def bench_site() -> Iterator[Bench]:
    port = free_port()
    model_url = f"http://127.0.0.1:{port}"
    model = subprocess.Popen([sys.executable, "-m", "bench.model", str(port)], cwd=ROOT)
    settings = {"ANTHROPIC_BASE_URL": model_url, "ANTHROPIC_API_KEY": "bench"}
    try:
        with running_site(**settings) as site:
            yield _prepared(site, model_url)
    finally:
        model.terminate()
        model.wait()


def _prepared(site: RunningSite, model_url: str) -> Bench:
    client = anthropic.Anthropic(base_url=site.url, api_key=site.api_key, timeout=300)
    agent = client.beta.agents.create(name="Bench", model=MODEL)
    environment = client.beta.environments.create(name="bench")
    bench = Bench(
        site=site,
        client=client,
        model_url=model_url,
        agent_id=agent.id,
        environment_id=environment.id,
    )
    settle(bench)
    return bench


def settle(bench: Bench) -> None:
    """One turn before anything is measured: imports and pools are warm then."""
    session_id = bench.create(order(3, 1))
    with bench.client.beta.sessions.events.stream(
        session_id, extra_headers={"Last-Event-ID": "0"}
    ) as stream:
        for event in stream:
            if event.type == "session.status_idle":
                return


@dataclass(frozen=True, kw_only=True)
class Frame:
    event: str
    number: int | None
    data: dict[str, Any]


class Stream:
    """A reader of server-sent events that costs little itself."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, bench: Bench, session_id: str, query: str = "") -> Stream:
        """Open it and wait for the headers."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", bench.site.port, limit=2**20
        )
        writer.write(
            f"GET /v1/sessions/{session_id}/events/stream{query} HTTP/1.0\r\n"
            f"Host: localhost\r\nx-api-key: {bench.client.api_key}\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head, head
        return cls(reader, writer)

    async def raw(self) -> AsyncIterator[bytes]:
        """Frames as they come, not parsed."""
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                yield await self._reader.readuntil(b"\n\n")

    async def frames(self) -> AsyncIterator[Frame]:
        async for raw in self.raw():
            if frame := parse(raw):
                yield frame

    def close(self) -> None:
        self._writer.close()


def parse(raw: bytes) -> Frame | None:
    fields = dict(
        line.split(": ", 1)
        for line in raw.decode().splitlines()
        if line[:1] != ":" and line
    )
    if "data" not in fields:
        return None
    number = int(fields["id"]) if "id" in fields else None
    return Frame(event=fields["event"], number=number, data=json.loads(fields["data"]))
