"""What the platform takes for a step of a tool session, at several lengths of its log."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from bench.figures import Row, Spread
from bench.model import calls
from bench.site import Bench, Stream
from bench.tools import caller, plain

STEPS = 20
LENGTHS = (0, 1_000, 10_000)
"""Events in the log when the steps begin."""

EVENTS_A_STEP = 5


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request: when the model had it, and when it had answered."""

    arrived: int
    answered: int


def measure(bench: Bench) -> list[Row]:
    """One session grows; at each length twenty of its steps are looked at."""
    bench.site.wait_for_image()
    asked, resumed = asyncio.run(_run(bench, LENGTHS[-1] // EVENTS_A_STEP + STEPS))
    command = Spread.of([plain() for _ in range(60)])
    rows = [_row(asked, length, command) for length in LENGTHS]
    return [*rows, _resumed(resumed)]


def _row(asked: list[Asked], length: int, command: Spread) -> Row:
    first = length // EVENTS_A_STEP + 2  # the sandbox starts within the first
    there = asked[first : first + STEPS]
    steps = Spread.of(
        [(after.arrived - before.answered) / 1e9 for before, after in pairwise(there)]
    )
    more = steps.p50 - command.p50
    return Row(
        name=f"a step of a tool session, {length:,} events before it",
        measured=str(steps),
        baseline=f"{command} (the command)",
        result=f"+{more:.2f} ms p50",
        target="<= +15 ms p50",
        holds=more <= 15,
    )


def _resumed(seconds: float) -> Row:
    return Row(
        name=f"POST event -> request, session of {LENGTHS[-1]:,} events at rest",
        measured=f"{seconds * 1_000:.0f} ms",
        baseline="",
        result="",
        target="",
        holds=None,
    )


async def _run(bench: Bench, steps: int) -> tuple[list[Asked], float]:
    """Return each step's request, and how long it took to begin when all were done."""
    session_id = bench.create(agent=caller(bench))
    stream = await Stream.open(bench, session_id, "?after=0")
    events = _until_idle(stream)
    await asyncio.to_thread(bench.send, session_id, calls(steps))
    commands = [
        event["input"]["command"]
        async for event in events
        if event["type"] == "agent.tool_use"
    ]
    began = time.monotonic_ns()
    await asyncio.to_thread(bench.send, session_id, "Go on.")
    said = [
        event["content"][0]["text"]
        async for event in _until_idle(stream)
        if event["type"] == "agent.message"
    ]
    stream.close()
    resumed = (_stamped(said[-1]).arrived - began) / 1e9
    return [_stamped(command) for command in commands], resumed


async def _until_idle(stream: Stream) -> AsyncIterator[dict[str, Any]]:
    async for frame in stream.frames():
        yield frame.data
        if frame.event == "session.status_idle":
            return


def _stamped(text: str) -> Asked:
    arrived, answered = json.loads(text[text.index("[") :])
    return Asked(arrived=arrived, answered=answered)
