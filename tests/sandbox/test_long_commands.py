"""A command may run for hours where its call asks for that: on a clock that leaps."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from sandbox import toolserver
from sandbox.fake import FakeBash, FakeFiles, FakeTools
from sandbox.socket_sandbox import SocketSandbox
from sandbox.spec import Files, Limits, Origin, SandboxSpec
from sandbox.toolserver import TIMEOUT_MS_MAX, Server, ToolError

HOUR = 3600
ORIGIN = Origin(provider="fake", files=Files.RUNNING)
LONG = {"command": f"sleep {3 * HOUR} && echo done", "timeout_ms": 4 * HOUR * 1000}


class LeapingSelector(selectors.DefaultSelector):
    """Where a loop would wait, its clock goes on instead."""

    leapt = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout:
            self.leapt += timeout
        return ready


class LeapingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.clock = LeapingSelector()
        super().__init__(self.clock)

    def time(self) -> float:
        return super().time() + self.clock.leapt


def in_no_time(work: Callable[[], Coroutine[Any, Any, Any]]) -> tuple[Any, float]:
    """Return what it returns, and how long that took by its own clock."""
    loop = LeapingLoop()
    began = loop.time()
    try:
        return loop.run_until_complete(work()), loop.time() - began
    finally:
        loop.close()


async def executed(folder: Path, input: dict[str, Any]) -> str:
    """Run bash through connection, socket and tool server."""
    spec = SandboxSpec(session_id="sesn_1", image="base")
    tools = FakeTools(FakeBash(spec, {}), FakeFiles({}), [])
    server = await asyncio.start_unix_server(Server(tools).serve, folder / "s")
    sandbox = SocketSandbox("sesn_1", folder / "s", Limits(), ORIGIN)
    try:
        outcome = await sandbox.execute("call_1", "bash", input)
    finally:
        await sandbox.close()
        server.close()
    return str(outcome.content[0]["text"])


def test_a_command_runs_for_as_long_as_its_call_asks(runtime_dir: Path) -> None:
    said, took = in_no_time(lambda: executed(runtime_dir, LONG))
    assert said == "done"
    assert 3 * HOUR <= took < 3 * HOUR + 1


def test_without_asking_it_is_ended_after_two_minutes(runtime_dir: Path) -> None:
    command = {"command": LONG["command"]}
    said, took = in_no_time(lambda: executed(runtime_dir, command))
    assert "Timed out after 120 s" in said
    assert 120 <= took < 121


def test_one_that_waits_for_another_is_waited_for_as_long(runtime_dir: Path) -> None:
    """A shell runs one command at a time; the second is asked about meanwhile."""

    async def both() -> list[str]:
        spec = SandboxSpec(session_id="sesn_1", image="base")
        tools = FakeTools(FakeBash(spec, {}), FakeFiles({}), [])
        server = await asyncio.start_unix_server(Server(tools).serve, runtime_dir / "s")
        sandbox = SocketSandbox("sesn_1", runtime_dir / "s", Limits(), ORIGIN)
        first = sandbox.execute("call_1", "bash", LONG)
        second = sandbox.execute("call_2", "bash", {"command": "echo at last"})
        outcomes = await asyncio.gather(first, second)
        await sandbox.close()
        server.close()
        return [str(each.content[0]["text"]) for each in outcomes]

    said, _ = in_no_time(both)
    assert said == ["done", "at last"]


def test_a_day_is_the_most_a_call_may_ask_for() -> None:
    day = {"command": "true", "timeout_ms": 24 * HOUR * 1000}
    assert toolserver.checked("bash", day) == day
    with pytest.raises(ToolError, match=str(TIMEOUT_MS_MAX)):
        toolserver.checked("bash", {**day, "timeout_ms": day["timeout_ms"] + 1})
