"""Clients of the event stream that come back with the last number they saw."""

from __future__ import annotations

import asyncio
import contextlib

from tests.faults.records import Log

PAUSE = 0.2


class Reader:
    """Follows a session over a bare socket; notes every number and every preview."""

    def __init__(self, log: Log) -> None:
        self.site = log.site
        self.session_id = log.session_id
        self.numbers: list[int] = []
        self.previews = 0
        self.connections = 0

    @property
    def last(self):
        return self.numbers[-1] if self.numbers else 0

    async def follow(self):
        """Read for ever, through any number of connections."""
        while True:
            with contextlib.suppress(OSError, EOFError):
                await self._read_once()
            await asyncio.sleep(PAUSE)

    async def _read_once(self):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.site.port, limit=2**20
        )
        try:
            writer.write(self._request())
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head.split(b"\r\n")[0]:
                return  # the site is only just coming back
            self.connections += 1
            while True:
                self._note(await reader.readuntil(b"\n\n"))
        finally:
            writer.close()

    def _request(self):
        return (
            f"GET /v1/sessions/{self.session_id}/events/stream"
            "?include=agentsite&event_deltas[]=agent.message HTTP/1.0\r\n"
            f"Host: localhost\r\nx-api-key: {self.site.api_key}\r\n"
            f"Last-Event-ID: {self.last}\r\n\r\n"
        ).encode()

    def _note(self, frame):
        lines = frame.decode().splitlines()
        self.numbers += [int(line[4:]) for line in lines if line.startswith("id: ")]
        self.previews += "event: event_delta" in lines


@contextlib.asynccontextmanager
async def reading(log, count=1):
    """Readers of a session, connected and at the end of its log."""
    readers = [Reader(log) for _ in range(count)]
    tasks = [asyncio.create_task(reader.follow()) for reader in readers]
    try:
        await until_read(log, readers)
        yield readers
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until_read(log, readers):
    """Wait until each reader has come to the end of the log as it is now."""
    newest = await asyncio.to_thread(log.newest)
    await until(lambda: all(reader.last >= newest for reader in readers))


async def until(is_so, patience=40.0):
    async with asyncio.timeout(patience):
        while not is_so():
            await asyncio.sleep(0.05)
