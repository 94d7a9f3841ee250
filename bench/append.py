"""B1 and B9: from a POST to the event in a reader's hands; one reader, and many."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import tempfile
import threading
import time
from pathlib import Path

import httpx2

from bench.figures import Row, Spread
from bench.site import Bench, Stream, said

EVENTS = 300
WATCHERS = 200
SHOUTS = 40


def append_to_stream(bench: Bench) -> Row:
    """With the workers stopped, so that nothing else is written meanwhile."""
    session_id = bench.create()
    bench.site.stop_workers()
    try:
        through = Spread.of(asyncio.run(_one_reader(bench, session_id)))
    finally:
        bench.site.start_workers()
        bench.site.wait_until_ready()
    bare = _raw_inserts() + _raw_echo()
    return Row(
        name="B1 POST event -> SSE",
        measured=str(through),
        baseline=f"{bare} (raw insert + socket echo)",
        result=f"{through.p50 / bare.p50:.0f}x p50",
        target="<= 5 / 15 ms",
        holds=through.within(5, 15),
    )


async def _one_reader(bench: Bench, session_id: str) -> list[float]:
    stream = await Stream.open(bench, session_id)
    frames = stream.raw()
    taken = []
    async with _client(bench) as client:
        for n in range(EVENTS):
            began = time.perf_counter()
            sending = asyncio.create_task(_post(client, session_id, n))
            await _seen(frames, n)
            taken.append(time.perf_counter() - began)
            await sending
    stream.close()
    return taken[20:]


async def _seen(frames: object, n: int) -> None:
    async for raw in frames:  # type: ignore[attr-defined]
        if b"shout-%d." % n in raw:
            return


def fan_out(bench: Bench) -> Row:
    session_id = bench.create()
    bench.site.stop_workers()
    try:
        spread, lost = asyncio.run(_many_readers(bench, session_id))
    finally:
        bench.site.start_workers()
        bench.site.wait_until_ready()
    return Row(
        name=f"B9 POST event -> {WATCHERS} readers of one session",
        measured=f"{spread}; {lost} lost",
        baseline="",
        result="",
        target="p95 <= 60 ms, none lost",
        holds=spread.p95 <= 60 and lost == 0,
    )


async def _many_readers(bench: Bench, session_id: str) -> tuple[Spread, int]:
    streams = [await Stream.open(bench, session_id) for _ in range(WATCHERS)]
    sent: dict[int, float] = {}
    taken: list[float] = []
    readers = [asyncio.create_task(_note(stream, sent, taken)) for stream in streams]
    async with _client(bench) as client:
        for n in range(SHOUTS):
            sent[n] = time.perf_counter()
            await _post(client, session_id, n)
            await asyncio.sleep(0.3)
    _, late = await asyncio.wait(readers, timeout=10)
    for reader in late:
        reader.cancel()
    return Spread.of(taken), WATCHERS * SHOUTS - len(taken)


async def _note(stream: Stream, sent: dict[int, float], taken: list[float]) -> None:
    number = 0
    async for raw in stream.raw():
        if b"shout-%d." % number in raw:
            taken.append(time.perf_counter() - sent[number])
            number += 1
        if number == SHOUTS:
            stream.close()
            return


def _client(bench: Bench) -> httpx2.AsyncClient:
    headers = {"x-api-key": bench.client.api_key or ""}
    return httpx2.AsyncClient(base_url=bench.site.url, headers=headers, timeout=60)


async def _post(client: httpx2.AsyncClient, session_id: str, n: int) -> None:
    body = {"events": [said(f"shout-{n}.")]}
    answer = await client.post(f"/v1/sessions/{session_id}/events", json=body)
    answer.raise_for_status()


def _raw_inserts() -> Spread:
    with tempfile.TemporaryDirectory() as folder:
        database = sqlite3.connect(Path(folder) / "raw.sqlite3", isolation_level=None)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        database.execute("CREATE TABLE event (payload TEXT)")
        taken = []
        for _ in range(EVENTS):
            began = time.perf_counter()
            database.execute("INSERT INTO event VALUES (?)", ["x" * 200])
            taken.append(time.perf_counter() - began)
        database.close()
    return Spread.of(taken)


def _raw_echo() -> Spread:
    """A round trip over TCP on loopback to another thread."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_echo, args=[listener], daemon=True).start()
    taken = []
    with socket.create_connection(listener.getsockname()) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(EVENTS):
            began = time.perf_counter()
            client.sendall(b"x" * 200)
            client.recv(4096)
            taken.append(time.perf_counter() - began)
    listener.close()
    return Spread.of(taken)


def _echo(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        while data := connection.recv(4096):
            connection.sendall(data)
