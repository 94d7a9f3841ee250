"""One per loop: hears the bus for every session that is watched in this process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakKeyDictionary

from channels.layers import get_channel_layer
from redis.exceptions import RedisError

from sessions import log
from sessions.bus import session_group
from sessions.bus.sender import PATIENCE, PAUSE, listen_here
from sessions.consumers.database import in_database
from sessions.consumers.rows import standings
from sessions.consumers.tail import Tail, Watcher
from sessions.models import Session

logger = logging.getLogger(__name__)

ROUND = 1.0
"""Seconds between two looks at the database without a nudge."""

ASKED_AT_ONCE = 500


class Hub:
    """Holds a tail for each watched session; asks nobody while there is none."""

    def __init__(self) -> None:
        self._tails: dict[str, Tail] = {}
        self._channel: str | None = None
        self._subscribing = asyncio.Lock()
        self._rounds: asyncio.Task[None] | None = None
        self._hearing: asyncio.Task[None] | None = None

    @classmethod
    def here(cls) -> Hub:
        """The hub of the running loop."""
        return _hubs.setdefault(asyncio.get_running_loop(), cls())

    @asynccontextmanager
    async def watch(
        self, session_id: str, child_id: str | None = None
    ) -> AsyncIterator[tuple[Watcher, int]]:
        """Subscribe to a session, and to the previews of one thread of it.

        Gives a watcher and the newest number.

        Raises:
            SessionGone: there is no such session.
        """
        tail = self._tails.setdefault(session_id, Tail(session_id))
        watcher = Watcher(tail, child_id)
        tail.watchers.add(watcher)
        self._wake()
        try:
            await self._subscribe(tail)
            newest = await in_database(log.last_number, session_id)
            tail.begin(newest)
            yield watcher, newest
        finally:
            await self._leave(watcher)

    async def _leave(self, watcher: Watcher) -> None:
        tail = watcher.tail
        tail.watchers.discard(watcher)
        if tail.watchers:
            return
        del self._tails[tail.session_id]
        await self._unsubscribe(tail)
        if not self._tails:
            self._rest()

    def _wake(self) -> None:
        if self._rounds is None:
            listen_here()
            self._rounds = asyncio.create_task(self._look_round())

    def _rest(self) -> None:
        if self._rounds is not None:
            self._rounds.cancel()
            self._rounds = None

    async def _subscribe(self, tail: Tail) -> None:
        """Hear the bus about a session. Without a bus the rounds find what is new."""
        async with self._subscribing:
            try:
                async with asyncio.timeout(PATIENCE):
                    channel = self._channel or await self._listen()
                    group = session_group(tail.session_id)
                    await get_channel_layer().group_add(group, channel)
                tail.heard = True
            except (RedisError, OSError) as error:
                logger.warning("The bus cannot be heard: %s", error)

    async def _unsubscribe(self, tail: Tail) -> None:
        if not tail.heard or self._channel is None:
            return
        group = session_group(tail.session_id)
        try:
            await get_channel_layer().group_discard(group, self._channel)
        except (RedisError, OSError) as error:
            logger.warning("The bus cannot be heard: %s", error)

    async def _listen(self) -> str:
        """Make the channel that stays: a layer that has none looks every 0.1 s only."""
        channel: str = await get_channel_layer().new_channel()
        self._channel = channel
        self._hearing = asyncio.create_task(self._hear(channel))
        return channel

    async def _hear(self, channel: str) -> None:
        layer = get_channel_layer()
        while True:
            try:
                self._pass_on(await layer.receive(channel))
            except (RedisError, OSError) as error:
                logger.warning("The bus cannot be heard: %s", error)
                await asyncio.sleep(PAUSE)

    def _pass_on(self, message: dict[str, Any]) -> None:
        tail = self._tails.get(message["session_id"])
        if tail is None:
            return
        if message["type"] == "session.delta":
            tail.offer(message["frames"], message.get("child_id"))
        elif message["number"]:
            tail.nudge(message["number"])
        else:
            tail.end()

    async def _look_round(self) -> None:
        while True:
            await asyncio.sleep(ROUND)
            try:
                await self._look_at_all()
            except Exception:
                logger.exception("could not look at the watched sessions")

    async def _look_at_all(self) -> None:
        tails = list(self._tails.values())
        for first in range(0, len(tails), ASKED_AT_ONCE):
            some = tails[first : first + ASKED_AT_ONCE]
            numbers = await in_database(_numbers, [tail.session_id for tail in some])
            for tail in some:
                _compare(tail, numbers.get(tail.session_id))
        await self._tell_pages([tail for tail in tails if tail.shown])
        for tail in tails:
            if not tail.heard and tail.watchers:
                await self._subscribe(tail)

    async def _tell_pages(self, tails: Sequence[Tail]) -> None:
        """How a session stands may change without an event, as when workers stop."""
        if not tails:
            return
        shown = await in_database(standings, [tail.session_id for tail in tails])
        for tail in tails:
            if tail.session_id in shown:
                tail.stands(shown[tail.session_id])


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def _numbers(session_ids: Sequence[str]) -> dict[str, int]:
    """The newest number of each session that is still there."""
    rows = Session.objects.filter(pk__in=session_ids).values_list("pk", "next_seq")
    return {session_id: following - 1 for session_id, following in rows}


def _compare(tail: Tail, newest: int | None) -> None:
    if newest is None:
        tail.end()
    else:
        tail.nudge(newest)
