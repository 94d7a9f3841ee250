"""B5: many sessions stream at once, each with a reader of its own."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import httpx2

from bench.figures import Row
from bench.model import order
from bench.site import Bench, Stream, said

SECONDS = 60
TOKENS_PER_SECOND = 20
AT_ONCE = 20
"""Requests that are made at the same time: clients are many, but not one herd."""

TARGETS = {200: 1.25, 500: 1.15, 1_000: 1.25}
MOST_MB = 0.3
"""Of memory a session, streams to its readers included."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one reader got."""

    numbers: list[int]
    characters: int
    idle_at: float

    def missed(self, newest: int) -> int:
        return len(set(range(1, newest + 1)) - set(self.numbers))


def measure(bench: Bench, count: int) -> Row:
    memory, cpu = bench.memory_mb(), bench.cpu_seconds()
    seen, began, grown = asyncio.run(_run(bench, count))
    cpu = bench.cpu_seconds() - cpu
    each_mb = (grown - memory) / count
    wall = max(each.idle_at for each in seen) - began
    missed = sum(each.missed(max(each.numbers)) for each in seen)
    whole = order_length()
    shown = sum(each.characters for each in seen) / (count * whole)
    ratio = wall / SECONDS
    return Row(
        name=f"B5 {count} sessions",
        measured=f"{wall:.1f} s; {cpu:.0f} CPU s; {each_mb:.2f} MB a session;"
        f" {missed} events missed;"
        f" {shown:.0%} of the text seen as it came",
        baseline=f"{SECONDS} s",
        result=f"{ratio:.2f}x",
        target=f"<= {TARGETS[count]}x, <= {MOST_MB} MB, none missed",
        holds=ratio <= TARGETS[count] and each_mb <= MOST_MB and missed == 0,
    )


def order_length() -> int:
    """Characters of a reply, the stamp of the first token left out."""
    return sum(len(f"word{n} ") for n in range(1, SECONDS * TOKENS_PER_SECOND))


async def _run(bench: Bench, count: int) -> tuple[list[Seen], float, float]:
    """What each reader saw, when it began, and the memory while all of them stream."""
    limits = httpx2.Limits(max_connections=AT_ONCE)
    headers = {"x-api-key": bench.client.api_key or ""}
    async with httpx2.AsyncClient(
        base_url=bench.site.url, limits=limits, headers=headers, timeout=300
    ) as client:
        ids = await asyncio.gather(*(_create(client, bench) for _ in range(count)))
        gate = asyncio.Semaphore(AT_ONCE)
        streams = await asyncio.gather(*(_open(gate, bench, each) for each in ids))
        readers = [asyncio.create_task(_read(stream)) for stream in streams]
        began = time.monotonic()
        await asyncio.gather(*(_send(client, each) for each in ids))
        await asyncio.sleep(began + SECONDS / 2 - time.monotonic())
        grown = await asyncio.to_thread(bench.memory_mb)
        return await asyncio.gather(*readers), began, grown


async def _create(client: httpx2.AsyncClient, bench: Bench) -> str:
    body = {"agent": bench.agent_id, "environment_id": bench.environment_id}
    answer = await client.post("/v1/sessions", json=body)
    session_id: str = answer.raise_for_status().json()["id"]
    return session_id


async def _open(gate: asyncio.Semaphore, bench: Bench, session_id: str) -> Stream:
    async with gate:
        query = "?after=0&event_deltas[]=agent.message"
        return await Stream.open(bench, session_id, query)


async def _send(client: httpx2.AsyncClient, session_id: str) -> None:
    words = order(SECONDS * TOKENS_PER_SECOND, 1_000 // TOKENS_PER_SECOND)
    body = {"events": [said(words)]}
    answer = await client.post(f"/v1/sessions/{session_id}/events", json=body)
    answer.raise_for_status()


async def _read(stream: Stream) -> Seen:
    numbers, characters = [], 0
    async for frame in stream.frames():
        if frame.number is not None:
            numbers.append(frame.number)
        if frame.event == "event_delta":
            text = frame.data["delta"]["content"]["text"]
            characters += 0 if text.startswith("[") else len(text)
        if frame.event == "session.status_idle":
            break
    stream.close()
    return Seen(numbers=numbers, characters=characters, idle_at=time.monotonic())
