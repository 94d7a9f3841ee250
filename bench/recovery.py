"""B8: from the death of a host to its session going on at another one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time

from bench.figures import Row, Spread
from bench.model import calls, order
from bench.site import Bench, Frame, Stream
from bench.tools import caller
from tests.faults.records import Log
from tests.site.processes import process_of

LEASE_SECONDS = 15.0
"""As in `sessions.leases`, which cannot be imported without a site's settings."""

KILLS = 30
STOPS = 3


def measure(bench: Bench) -> list[Row]:
    bench.site.wait_for_image()
    return asyncio.run(_measure(bench))


async def _measure(bench: Bench) -> list[Row]:
    replies = [await _cut_reply(bench, signal.SIGKILL) for _ in range(KILLS)]
    agent = caller(bench)
    tools = [await _cut_call(bench, agent) for _ in range(KILLS)]
    lost = [await _cut_reply(bench, signal.SIGSTOP) for _ in range(STOPS)]
    lease = LEASE_SECONDS + 1
    return [
        _row("B8 kill -9 in a reply -> the model is asked again", replies),
        _row("B8 kill -9 in a command -> its outcome is collected", tools),
        Row(
            name="B8 a host stands still in a reply -> another one asks again",
            measured=", ".join(f"{seconds:.1f} s" for seconds in sorted(lost)),
            baseline=f"{LEASE_SECONDS:.0f} s (the lease)",
            result=f"{max(lost):.1f} s at most",
            target=f"<= {lease:.0f} s",
            holds=max(lost) <= lease,
        ),
    ]


def _row(name: str, taken: list[float]) -> Row:
    spread = Spread.of(taken)
    return Row(
        name=name,
        measured=f"{spread.p50 / 1e3:.2f} / {spread.p95 / 1e3:.2f} s",
        baseline="",
        result=f"{len(taken)} kills",
        target="p95 <= 1.5 s",
        holds=spread.p95 <= 1_500,
    )


async def _cut_reply(bench: Bench, how: signal.Signals) -> float:
    """Hit the host of a reply that has begun to come; the model tells when it is asked."""
    await asyncio.to_thread(_wait_for_hosts, bench)
    session_id = bench.create()
    stream = await Stream.open(
        bench, session_id, "?after=0&event_deltas[]=agent.message"
    )
    frames = stream.frames()
    bench.send(session_id, order(20, 50))
    while (await anext(frames)).event != "event_delta":
        pass
    victim, moment = _hit(bench, session_id, how)
    try:
        said = await _until(frames, "agent.message")
        await _until(frames, "session.status_idle")
    finally:
        if how is signal.SIGSTOP:
            os.kill(victim, signal.SIGCONT)
        stream.close()
    text = said.data["content"][0]["text"]
    asked = json.loads(text[: text.index("]") + 1])[0]
    return (asked - moment) / 1e9


async def _cut_call(bench: Bench, agent: str) -> float:
    await asyncio.to_thread(_wait_for_hosts, bench)
    session_id = bench.create(agent=agent)
    stream = await Stream.open(bench, session_id, "?after=0&include=agentsite")
    frames = stream.frames()
    bench.send(session_id, calls(1, sleep=3))
    await _until(frames, "agentsite.tool_started")
    _, moment = _hit(bench, session_id, signal.SIGKILL)
    frame = await _until(frames, "agentsite.recovery")
    while not frame.data.get("calls"):  # first that it was taken over, then the call
        frame = await _until(frames, "agentsite.recovery")
    taken = (time.monotonic_ns() - moment) / 1e9
    assert frame.data["calls"][0]["outcome"] == "collected", frame.data
    await _until(frames, "session.status_idle")
    stream.close()
    return taken


async def _until(frames: object, event: str) -> Frame:
    async for frame in frames:  # type: ignore[attr-defined]
        if frame.event == event:
            return frame  # type: ignore[no-any-return]
    raise AssertionError(f"the stream ended without {event}")


def _hit(bench: Bench, session_id: str, how: signal.Signals) -> tuple[int, int]:
    """Return the process that hosted the session, and the moment it was hit."""
    pid = process_of(bench.site, Log(bench.site, session_id).owner())
    moment = time.monotonic_ns()
    os.kill(pid, how)
    return pid, moment


def _wait_for_hosts(bench: Bench) -> None:
    """Two hosts live again: every kill meets the same site."""
    bench.site.wait(lambda: bench.hosts() == 2)
