"""B6: what an event of a model's stream costs the process that reads it."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import anthropic

from bench.figures import Row
from bench.model import order
from bench.site import MODEL, Bench
from sessions.harness.anthropic_model import AnthropicModel
from sessions.harness.model import ModelRequest, Usage

STREAMS = 20
TOKENS = 200
INTERVAL_MS = 10
ROUNDS = 7

QUESTION = {"type": "text", "text": order(TOKENS, INTERVAL_MS)}
REQUEST = ModelRequest(
    model=MODEL,
    max_tokens=1_000,
    messages=[{"role": "user", "content": [QUESTION]}],
)
EVENTS = TOKENS + 5
"""Of a reply: beside its tokens what begins and ends the message and its block."""

Reading = Callable[[], Awaitable[object]]


class Deaf:
    def thought(self) -> None: ...

    def said(self, block: int, text: str) -> None: ...

    def used(self, usage: Usage) -> None: ...


def measure(bench: Bench) -> Row:
    raw, package, ours = asyncio.run(_alternate(bench.model_url))
    ratios = [mine / bare for mine, bare in zip(ours, raw, strict=True)]
    ratio = statistics.median(ratios)
    return Row(
        name="B6 CPU of a streamed event",
        measured=f"{statistics.median(ours):.0f} µs",
        baseline=f"{statistics.median(raw):.0f} µs (socket and JSON),"
        f" {statistics.median(package):.0f} µs (bare SDK)",
        result=f"{ratio:.2f}x",
        target="<= 2x",
        holds=ratio <= 2,
    )


async def _alternate(url: str) -> list[list[float]]:
    """Microseconds an event, round for round, of each way to read."""
    package = anthropic.AsyncAnthropic(base_url=url, api_key="bench")
    model = AnthropicModel(base_url=url, api_key="bench")
    ways: list[Reading] = [
        lambda: _raw(url),
        lambda: _package(package),
        lambda: model.stream(REQUEST, Deaf()),
    ]
    taken: list[list[float]] = [[] for _ in ways]
    for number in range(ROUNDS + 1):
        for way, figures in zip(ways, taken, strict=True):
            figure = await _cost(way)
            if number:  # the first round warms up
                figures.append(figure)
    await package.close()
    await model.close()
    return taken


async def _cost(way: Reading) -> float:
    began = time.process_time()
    await asyncio.gather(*(way() for _ in range(STREAMS)))
    return (time.process_time() - began) / (STREAMS * EVENTS) * 1e6


async def _raw(url: str) -> None:
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    body = json.dumps({"messages": REQUEST.messages}).encode()
    writer.write(
        b"POST /v1/messages HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    )
    event = {"type": ""}
    while event["type"] != "message_stop":
        frame = await reader.readuntil(b"\n\n")
        event = json.loads(frame[frame.index(b"data: ") + 6 :])
    writer.close()


async def _package(client: anthropic.AsyncAnthropic) -> None:
    stream = await client.messages.create(
        model=MODEL,
        max_tokens=REQUEST.max_tokens,
        messages=REQUEST.messages,  # type: ignore[arg-type]
        stream=True,
    )
    async for _ in stream:
        pass
