"""B2, B3, B4: what a turn costs beyond the bare call of the model."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field

import anthropic
import httpx2

from bench.figures import Row, Spread
from bench.model import order
from bench.site import MODEL, Bench, Stream, said

TURNS = 60
LONG_TURNS = 3
LONG_TOKENS, LONG_INTERVAL = 100, 50


@dataclass(kw_only=True)
class Taken:
    """Seconds that each step took."""

    request: list[float] = field(default_factory=list)  # until the model was asked
    token: list[float] = field(default_factory=list)  # from the model to the reader
    whole: list[float] = field(default_factory=list)  # until idle


def measure(bench: Bench) -> list[Row]:
    """Bare calls and turns take turns, so that both meet the same machine."""
    short = asyncio.run(_alternate(bench, TURNS, order(1, 0)))
    long = asyncio.run(_alternate(bench, LONG_TURNS, order(LONG_TOKENS, LONG_INTERVAL)))
    return [
        _first_token(*short),
        _create_to_request(*short),
        _whole_turn("B4 turn of one token: POST session -> idle", *short, 3),
        _whole_turn("B4 turn of 5 s", *long, 1.02),
    ]


def _first_token(bare: Taken, through: Taken) -> Row:
    direct, watched = Spread.of(bare.token), Spread.of(through.token)
    more = watched - direct
    return Row(
        name="B2 first token: model -> reader",
        measured=str(watched),
        baseline=f"{direct} (bare SDK)",
        result=f"+{more}",
        target="<= +3 / +10 ms",
        holds=more.within(3, 10),
    )


def _create_to_request(bare: Taken, through: Taken) -> Row:
    direct, asked = Spread.of(bare.request), Spread.of(through.request)
    more = asked - direct
    return Row(
        name="B3 POST session -> model has the request",
        measured=str(asked),
        baseline=f"{direct} (bare SDK)",
        result=f"+{more}",
        target="<= +15 / +40 ms",
        holds=more.within(15, 40),
    )


def _whole_turn(name: str, bare: Taken, through: Taken, target: float) -> Row:
    direct, turn = Spread.of(bare.whole), Spread.of(through.whole)
    ratio = turn.p50 / direct.p50
    return Row(
        name=name,
        measured=str(turn),
        baseline=f"{direct} (bare SDK)",
        result=f"{ratio:.3g}x",
        target=f"<= {target}x",
        holds=ratio <= target,
    )


async def _alternate(bench: Bench, count: int, message: str) -> tuple[Taken, Taken]:
    bare, through = Taken(), Taken()
    headers = {"x-api-key": bench.client.api_key or ""}
    async with (
        anthropic.AsyncAnthropic(base_url=bench.model_url, api_key="bench") as model,
        httpx2.AsyncClient(base_url=bench.site.url, headers=headers) as client,
    ):
        await _call(model, message, Taken())
        for _ in range(count):
            await _call(model, message, bare)
            await _watch(bench, client, through)
            await _create(bench, client, message, through)
    return bare, through


async def _call(model: anthropic.AsyncAnthropic, message: str, taken: Taken) -> None:
    """The same request by the SDK alone."""
    began, stamp = time.monotonic_ns(), None
    stream = await model.messages.create(
        model=MODEL,
        max_tokens=1_000,
        messages=[{"role": "user", "content": message}],
        stream=True,
    )
    async for event in stream:
        if event.type == "content_block_delta" and stamp is None:
            stamp = _stamp(event.delta.text)
            taken.token.append(_since(stamp.sent))
            taken.request.append((stamp.asked - began) / 1e9)
    taken.whole.append(_since(began))


async def _watch(bench: Bench, client: httpx2.AsyncClient, taken: Taken) -> None:
    """A turn whose reader was there before, long enough for its text to be shown."""
    session_id = bench.create()
    stream = await Stream.open(bench, session_id, "?event_deltas[]=agent.message")
    body = {"events": [said(order(3, 20))]}
    await client.post(f"/v1/sessions/{session_id}/events", json=body)
    first = True
    async for frame in stream.frames():
        if frame.event == "event_delta" and first:
            first = False
            stamp = _stamp(frame.data["delta"]["content"]["text"])
            taken.token.append(_since(stamp.sent))
        if frame.event == "session.status_idle":
            break
    stream.close()


async def _create(
    bench: Bench, client: httpx2.AsyncClient, message: str, taken: Taken
) -> None:
    """A session that begins to work as it is created."""
    body = {
        "agent": bench.agent_id,
        "environment_id": bench.environment_id,
        "initial_events": [said(message)],
    }
    began = time.monotonic_ns()
    answer = await client.post("/v1/sessions", json=body)
    session_id = answer.raise_for_status().json()["id"]
    stream = await Stream.open(bench, session_id, "?after=0")
    async for frame in stream.frames():
        if frame.event == "agent.message":
            stamp = _stamp(frame.data["content"][0]["text"])
            taken.request.append((stamp.asked - began) / 1e9)
        if frame.event == "session.status_idle":
            break
    taken.whole.append(_since(began))
    stream.close()


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """When the model was asked, and when it sent the first token."""

    asked: int
    sent: int


def _stamp(text: str) -> Stamp:
    asked, sent = json.loads(text[: text.index("]") + 1])
    return Stamp(asked=asked, sent=sent)


def _since(moment: int) -> float:
    return (time.monotonic_ns() - moment) / 1e9
