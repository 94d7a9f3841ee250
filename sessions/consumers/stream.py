"""Server-sent events of a session, or of one of its threads, for programs."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from channels.exceptions import StopConsumer
from channels.generic.http import AsyncHttpConsumer
from django.http import HttpResponse
from django.http.response import HttpResponseBase

from sessions import log
from sessions.consumers.database import in_database
from sessions.consumers.entries import Entry
from sessions.consumers.following import Following
from sessions.consumers.hub import Hub
from sessions.consumers.opening import (
    Opened,
    open_stream,
    refuse_broken,
    refuse_gone,
)
from sessions.consumers.previews import Previews
from sessions.consumers.tail import Watcher

KEEP_ALIVE = 15.0
"""Seconds of silence before a comment shows that the connection lives."""

PART = 100_000
"""Bytes after which a client must have read before it gets more."""


class SessionStream(Following, AsyncHttpConsumer):  # type: ignore[misc]
    _began = False

    async def http_request(self, message: dict[str, Any]) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._answer())

    async def http_disconnect(self, message: dict[str, Any]) -> None:
        raise StopConsumer

    async def _answer(self) -> None:
        names = self.scope["url_route"]["kwargs"]
        session_id = names["session_id"]
        try:
            answer = await in_database(open_stream, self.scope, *names.values())
            if isinstance(answer, Opened):
                await self._stream(answer)
            else:
                await self._send_whole(answer)
        except log.SessionGone:
            await self._send_whole(refuse_gone(self.scope, session_id))
        except Exception as error:  # noqa: BLE001 - told to the log and the client
            await self._fail(refuse_broken(self.scope, error))

    async def _fail(self, refusal: HttpResponse) -> None:
        """Say so, or the client would wait for ever: as an event once it streams."""
        if self._began:
            await self.send_body(b"event: error\ndata: %b\n\n" % refusal.content)
        else:
            await self._send_whole(refusal)

    async def _send_whole(self, answer: HttpResponseBase) -> None:
        assert isinstance(answer, HttpResponse)
        await self.send_response(
            answer.status_code, answer.content, headers=_headers(answer)
        )

    async def _stream(self, opened: Opened) -> None:
        """Subscribe first, then answer: what happens in between is not missed."""
        hub = Hub.here()
        async with hub.watch(opened.session_id, opened.child_id) as (watcher, newest):
            await self.send_headers(headers=_headers(opened))
            self._began = True
            await self.send_body(b"", more_body=True)
            reading = Reading(opened, watcher, newest)
            while not reading.is_over:
                await self.send_body(await reading.next(), more_body=True)
        await self.send_body(b"")


class Reading:
    """One client's way along the log, in the bytes to send."""

    def __init__(self, opened: Opened, watcher: Watcher, newest: int) -> None:
        self.is_over = False
        self._opened = opened
        self._watcher = watcher
        after = newest if opened.after is None else min(opened.after, newest)
        self._number = after
        self._entries: deque[Entry] = deque()
        self._ends_at = newest if opened.has_ended else None
        self._previews = Previews(opened.previews)

    async def next(self) -> bytes:
        """Return what is new, as soon as something is; or a sign of life."""
        while True:
            if not self._entries:
                self._entries.extend(await self._watcher.tail.after(self._number))
            said = self._stored()
            if not self._entries:
                said += self._previewed()
                self._note_end()
            if said or self.is_over:
                return said
            if not await self._watcher.news(KEEP_ALIVE):
                return b": keep-alive\n\n"

    def _stored(self) -> bytes:
        said = bytearray()
        while self._entries and len(said) < PART and not self.is_over:
            entry = self._entries.popleft()
            self._number = entry.number
            self._previews.written(entry)
            if self._shows(entry):
                said += entry.sse(self._opened.thread_id)
            self.is_over = entry.is_last or entry.ends(self._opened.thread_id)
        return bytes(said)

    def _shows(self, entry: Entry) -> bool:
        wanted = self._opened.with_own or not entry.type.is_own
        return wanted and entry.is_of(self._opened.thread_id)

    def _previewed(self) -> bytes:
        pieces = self._watcher.take_pieces()
        return b"".join(piece.sse for piece in pieces if self._previews.admits(piece))

    def _note_end(self) -> None:
        if self._ends_at is not None and self._number >= self._ends_at:
            self.is_over = True


def _headers(answer: HttpResponseBase) -> list[tuple[bytes, bytes]]:
    return [
        (name.lower().encode("ascii"), value.encode("latin1"))
        for name, value in answer.items()
    ]
