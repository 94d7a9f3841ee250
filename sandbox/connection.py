"""The host's end of a tool server's socket. Nothing that comes from there is trusted."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from pathlib import Path
from typing import Any

ANSWER_BYTES = 32 * 1024 * 1024  # a PDF of 20 MiB in base64, and its frame
CONNECT_SECONDS = 10.0

Answer = dict[str, Any]


class NotSent(Exception):
    """The tool server could not be reached: nothing was asked of it."""


class Lost(Exception):
    """The connection ended, or stopped making sense, before the answer came."""


class Connection:
    """Sends requests, many at a time, and reconnects when the next one is made."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._turn = asyncio.Lock()
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._number = 0

    async def ask(self, op: str, *, seconds: float, **fields: Any) -> Answer:
        """Return the answer, or raise NotSent, Lost or TimeoutError."""
        answer = await self.send(op, **fields)
        async with asyncio.timeout(seconds):
            return await answer

    async def send(self, op: str, **fields: Any) -> asyncio.Future[Answer]:
        writer = await self._connected()
        self._number += 1
        number = self._number
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        answer.add_done_callback(lambda _: self._waiting.pop(number, None))
        request = {"id": number, "op": op, **fields}
        try:
            writer.write(json.dumps(request).encode() + b"\n")
            async with asyncio.timeout(CONNECT_SECONDS):
                await writer.drain()
        except (OSError, TimeoutError) as error:
            self.drop()
            raise Lost(str(error)) from error
        return answer

    async def _connected(self) -> asyncio.StreamWriter:
        async with self._turn:
            if self._writer:
                return self._writer
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    reader, writer = await connect(self.path)
            except (OSError, TimeoutError) as error:
                raise NotSent(str(error)) from error
            self._writer = writer
            self._reading = asyncio.create_task(self._read(reader))
            return writer

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                self._take(line)
        except (OSError, ValueError, RecursionError):
            pass  # too long, not JSON or too deep: no answer after it can be believed
        finally:
            if self._reading is asyncio.current_task():
                self.drop()

    def _take(self, line: bytes) -> None:
        answer = json.loads(line)
        if not isinstance(answer, dict):
            raise ValueError("an answer must be an object")
        number = answer.get("id")
        waiting = self._waiting.get(number) if isinstance(number, int) else None
        if waiting and not waiting.done():
            waiting.set_result(answer)

    def drop(self) -> None:
        """Close the connection; whoever waits learns that the answer is lost."""
        if self._writer:
            self._writer.transport.abort()
        self._writer = None
        if self._reading and self._reading is not asyncio.current_task():
            self._reading.cancel()
        self._reading = None
        for waiting in list(self._waiting.values()):
            if not waiting.done():
                waiting.set_exception(Lost("the connection ended"))
                waiting.exception()  # whoever waited may have been cut: no complaint

    async def close(self) -> None:
        reading = self._reading
        self.drop()
        if reading and reading is not asyncio.current_task():
            await asyncio.wait({reading})


async def connect(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to this very socket.

    The sandbox may put a link to another socket of the host in its place; through the
    descriptor of what was looked at, nothing is followed.
    """
    fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            raise ConnectionRefusedError(f"{path} is not a socket")
        return await asyncio.open_unix_connection(
            f"/proc/self/fd/{fd}", limit=ANSWER_BYTES
        )
    finally:
        os.close(fd)
