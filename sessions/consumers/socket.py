"""The page's websocket: everything after a number, then what follows, in batches."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs

from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer

from agents.models import Act, Member
from sessions import log
from sessions.consumers.database import in_database
from sessions.consumers.entries import Entry, Piece, encode
from sessions.consumers.following import Following
from sessions.consumers.hub import Hub
from sessions.consumers.opening import number_of
from sessions.consumers.previews import PREVIEWED, Previews
from sessions.consumers.rows import elsewhere
from sessions.consumers.tail import Watcher
from sessions.models import Session

logger = logging.getLogger(__name__)

NOT_HERE = 4404
"""Closing code: no such session, or not for this person. Asking again cannot help."""

ENDED = 4410
"""Closing code: the session was deleted."""

QUIET = 60.0


class SessionSocket(Following, AsyncWebsocketConsumer):  # type: ignore[misc]
    async def websocket_connect(self, message: dict[str, Any]) -> None:
        await self.accept()
        self._task = asyncio.create_task(self._follow())

    async def websocket_receive(self, message: dict[str, Any]) -> None:
        """The page only listens; what it wants to do goes through its forms."""

    async def websocket_disconnect(self, message: dict[str, Any]) -> None:
        raise StopConsumer

    async def _follow(self) -> None:
        session_id = self.scope["url_route"]["kwargs"]["session_id"]
        try:
            if not await in_database(_may_look, self.scope["user"], session_id):
                await self.close(NOT_HERE)
                return
            child_id = _said(self.scope, "thread") or None
            async with Hub.here().watch(session_id, child_id) as (watcher, newest):
                await self._send_all(watcher, newest)
            await self.close(ENDED)
        except log.SessionGone:
            await self.close(NOT_HERE)
        except Exception:
            logger.exception("the socket of %s failed", session_id)
            await self.close(1011)

    async def _send_all(self, watcher: Watcher, newest: int) -> None:
        """Send until the session is gone."""
        number = min(_after(self.scope), newest)
        previews, caught_up, sent = Previews(PREVIEWED, late=True), False, None
        while True:
            entries = await watcher.tail.after(number)
            shown = await watcher.tail.show(entries, watcher.child_id)
            if entries or shown != sent:
                await self.send(_batch(entries, shown.session, watcher.child_id))
                sent = shown
            for entry in entries:
                number = entry.number
                previews.written(entry)
            if not caught_up and number >= newest:
                caught_up = True
                await self.send(encode({"type": "caught_up", "number": number}))
            if entries and entries[-1].frame.record.type == "session.deleted":
                return
            await self._send_pieces(watcher.take_pieces(), previews)
            if not entries:
                await watcher.news(QUIET)

    async def _send_pieces(self, pieces: Sequence[Piece], previews: Previews) -> None:
        admitted = [piece.json for piece in pieces if previews.admits(piece)]
        if admitted:
            await self.send(f'{{"type":"delta","frames":[{",".join(admitted)}]}}')


def _may_look(user: Any, session_id: str) -> bool:
    """Say whether a person belongs to the session's workspace."""
    if not user.is_authenticated:
        return False
    workspace = Session.objects.filter(pk=session_id).values("workspace")
    member = Member.objects.filter(user=user.pk, workspace__in=workspace).first()
    return member is not None and member.may(Act.LOOK)


def _after(scope: dict[str, Any]) -> int:
    return number_of(_said(scope, "after")) or 0


def _said(scope: dict[str, Any], name: str) -> str:
    query: str = scope["query_string"].decode("latin1")
    return parse_qs(query).get(name, [""])[-1]


def _batch(entries: Sequence[Entry], session: str, page: str | None) -> str:
    rows = ",".join(_row_of(entry, page) for entry in entries)
    return f'{{"type":"batch","events":[{rows}],"session":{session}}}'


def _row_of(entry: Entry, page: str | None) -> str:
    """What the page of a child thread, or that of the session, is told of an event."""
    if page is None:
        return entry.row or ""
    return entry.own_row or "" if entry.is_of(page) else elsewhere(entry)
