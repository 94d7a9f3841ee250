"""The end of one session's log, read once for all of this process's watchers."""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from itertools import islice
from operator import attrgetter
from typing import Any

from sessions.consumers.database import in_database
from sessions.consumers.entries import Entry, Piece, deletion, load
from sessions.consumers.rows import Shown, show
from sessions.events import EventType

logger = logging.getLogger(__name__)

PAGE = 100
KEPT = 1_000
KEPT_CHARACTERS = 2_000_000
MOST_PIECES = 500
"""Previews that wait for a connection which does not take them."""


class Watcher:
    """One connection's place at a tail; `child_id` where it watches a child thread."""

    def __init__(self, tail: Tail, child_id: str | None = None) -> None:
        self.tail = tail
        self.child_id = child_id
        self._pieces: list[Piece] = []
        self._news = asyncio.Event()

    def wake(self) -> None:
        self._news.set()

    def offer(self, piece: Piece) -> None:
        # What is dropped here leaves a hole that `Previews` sees.
        if len(self._pieces) < MOST_PIECES:
            self._pieces.append(piece)
        self._news.set()

    def take_pieces(self) -> list[Piece]:
        pieces, self._pieces = self._pieces, []
        return pieces

    async def news(self, timeout: float) -> bool:  # noqa: ASYNC109 - silence is an answer
        """Wait until there is something to look at; false when nothing came."""
        try:
            async with asyncio.timeout(timeout):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        return True


class Tail:
    """Follows the log from the number at which the first watcher came."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.number: int | None = None
        self.heard = False  # whether the bus is subscribed to
        self.watchers: set[Watcher] = set()
        self.shown: Shown | None = None
        self._recent: deque[Entry] = deque()
        self._characters = 0
        self._looking: asyncio.Task[None] | None = None
        self._again = False
        self._showing = asyncio.Lock()

    def begin(self, newest: int) -> None:
        """Start at the newest number, or look again where that is ahead."""
        if self.number is None:
            self.number = newest
        elif newest > self.number:
            self.look()

    def nudge(self, number: int) -> None:
        if self.number is not None and number > self.number:
            self.look()

    def look(self) -> None:
        """Read what is new; once more afterwards if asked meanwhile."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        else:
            self._again = True

    def end(self) -> None:
        """The session is gone."""
        if self.number is not None:
            self._append([deletion(self.number + 1)])

    def _is_gone(self) -> bool:
        return bool(self._recent) and self._recent[-1].type is EventType.SESSION_DELETED

    def offer(self, frames: Sequence[Sequence[Any]], child_id: str | None) -> None:
        """Pass previews on as they come from the bus, to those who watch their thread."""
        for number, frame in frames:
            piece = Piece(number=number, frame=frame)
            for watcher in self.watchers:
                if watcher.child_id == child_id:
                    watcher.offer(piece)

    async def after(self, number: int) -> list[Entry]:
        """Return entries after a number, a page at most; none when that is the end."""
        if self.number is None or number >= self.number:
            return []
        if self._recent and number >= self._recent[0].number - 1:
            first = bisect_right(self._recent, number, key=attrgetter("number"))
            return list(islice(self._recent, first, first + PAGE))
        return await in_database(load, self.session_id, number, PAGE)

    async def show(self, entries: Sequence[Entry], page: str | None = None) -> Shown:
        """Give entries their rows, and tell how the session stands.

        The page is a child thread's, or the session's.
        """
        async with self._showing:
            if self.shown is None or any(entry.lacks_row(page) for entry in entries):
                self.shown = await in_database(show, self.session_id, entries, page)
        return self.shown

    def stands(self, shown: Shown) -> None:
        """Take how the session stands now; tell the pages if that is news."""
        if self.shown is not None and shown != self.shown:
            self.shown = shown
            self._wake()

    async def _look(self) -> None:
        self._again = True
        while self._again:
            self._again = False
            try:
                await self._read()
            except Exception:
                # The next nudge or the next round of the hub asks again.
                logger.exception("could not read the log of %s", self.session_id)

    async def _read(self) -> None:
        assert self.number is not None
        while entries := await in_database(load, self.session_id, self.number, PAGE):
            self._append(entries)
            if len(entries) < PAGE:
                return

    def _append(self, entries: Sequence[Entry]) -> None:
        if self._is_gone():
            return
        self._recent.extend(entries)
        self._characters += sum(len(entry.json) for entry in entries)
        while self._is_too_much():
            self._characters -= len(self._recent.popleft().json)
        self.number = entries[-1].number
        self._wake()

    def _is_too_much(self) -> bool:
        if len(self._recent) <= 1:
            return False
        return len(self._recent) > KEPT or self._characters > KEPT_CHARACTERS

    def _wake(self) -> None:
        for watcher in self.watchers:
            watcher.wake()
