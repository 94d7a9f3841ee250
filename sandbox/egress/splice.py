"""Joins two connections, counting what passes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

CHUNK = 64 * 1024
IDLE_SECONDS = 900.0
LINGER_SECONDS = 2.0


@dataclass(kw_only=True)
class Traffic:
    """Bytes from the sandbox and to it."""

    up: int = 0
    down: int = 0


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One end of a connection.

    An encrypted one holds the one `below`: a writer that nobody holds is closed.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    below: Peer | None = None

    def close(self) -> None:
        """Close it once what was written has left, without a farewell in TLS."""
        self.writer.close()
        if self.below:
            self.below.close()


Rewrite = Callable[[bytes], Iterable[bytes]]


def as_it_is(data: bytes) -> Iterable[bytes]:
    yield data


def nothing() -> bytes:
    return b""


async def splice(
    near: Peer,
    far: Peer,
    traffic: Traffic,
    *,
    down: Rewrite = as_it_is,
    down_ended: Callable[[], bytes] = nothing,
) -> None:
    """Pass bytes both ways until both ends are done, or nothing came for long.

    `down_ended` has what `down` still holds when no more comes.
    """
    try:
        async with asyncio.timeout(IDLE_SECONDS) as idle, asyncio.TaskGroup() as group:
            group.create_task(upward(near, far, traffic, idle))
            group.create_task(downward(near, far, traffic, idle, down, down_ended))
    except* (OSError, TimeoutError):
        pass  # one end left: so does the other


async def upward(
    near: Peer, far: Peer, traffic: Traffic, idle: asyncio.Timeout
) -> None:
    while data := await near.reader.read(CHUNK):
        traffic.up += len(data)
        await send(far, data, idle)
    end(far)


async def downward(
    near: Peer,
    far: Peer,
    traffic: Traffic,
    idle: asyncio.Timeout,
    down: Rewrite,
    down_ended: Callable[[], bytes],
) -> None:
    while data := await far.reader.read(CHUNK):
        traffic.down += len(data)
        for piece in down(data):
            await send(near, piece, idle)
    await send(near, down_ended(), idle)
    end(near)


async def send(peer: Peer, data: bytes, idle: asyncio.Timeout) -> None:
    peer.writer.write(data)
    await peer.writer.drain()
    idle.reschedule(asyncio.get_running_loop().time() + IDLE_SECONDS)


async def part(peer: Peer) -> None:
    """Close a connection so that what was written last arrives.

    A unix socket closed over input that nobody read is reset, and the answer is lost.
    """
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            end(peer)
            while await peer.reader.read(CHUNK):
                pass
    peer.close()


def end(peer: Peer) -> None:
    """Say that no more comes. TLS has no way to say so and go on listening."""
    if peer.writer.can_write_eof():
        peer.writer.write_eof()
    else:
        peer.close()
