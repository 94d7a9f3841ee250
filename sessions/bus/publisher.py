"""Text previews on their way from a host to whoever watches.

A turn never waits for the bus. What a watcher gets of an event is always a beginning of
its text: once a piece is lost, nothing more of that event is sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from channels.layers import get_channel_layer
from redis import asyncio as aioredis
from redis.exceptions import RedisError

from sessions.bus import wire
from sessions.bus.groups import session_group

logger = logging.getLogger(__name__)

Frame = Mapping[str, Any]
Place = tuple[str, str | None]
"""Whose words they are: a session's primary thread's, or those of a child of it."""

PACE = 0.04
"""Seconds between two messages about one thread: the eye sees no more."""

MESSAGES_PER_SECOND = 600
"""What one host may put on the bus; with more sessions at once the pace slows down."""

CLOSING = 1.0
"""Seconds that the last previews may take when a host stops."""

ROOM = 4_000_000
"""Characters of text that may wait to be sent."""


class Channel(Protocol):
    async def send(self, messages: list[wire.Message]) -> None: ...

    async def close(self) -> None: ...


@dataclass(kw_only=True)
class Preview:
    """An event being previewed: how many pieces were sent, and whether one was lost."""

    sent: int = 0
    cut: bool = False


@dataclass(kw_only=True)
class Stream:
    """What waits to be sent about one thread."""

    previews: dict[str, Preview] = field(default_factory=dict)
    waiting: list[dict[str, Any]] = field(default_factory=list)
    size: int = 0
    not_before: float = 0.0
    timer: asyncio.TimerHandle | None = None

    def add(self, frame: Frame) -> int:
        """Append a frame, or join its text to the last one; return the growth."""
        size = len(_text(frame))
        if self.waiting and _continues(self.waiting[-1], frame):
            _join(self.waiting[-1], frame)
        else:
            self.waiting.append(dict(frame))
        self.size += size
        return size

    def take(self) -> list[list[Any]]:
        """Return the waiting frames, each with its number among its event's pieces."""
        frames = [self._numbered(frame) for frame in self.waiting]
        self.waiting, self.size = [], 0
        return frames

    def _numbered(self, frame: dict[str, Any]) -> list[Any]:
        preview = self.previews[event_id_of(frame)]
        preview.sent += 1
        return [preview.sent - 1, frame]

    def cut(self) -> None:
        """Give up what waits: from here on its events have no preview."""
        for frame in self.waiting:
            self.previews[event_id_of(frame)].cut = True
        self.waiting, self.size = [], 0


class Publisher:
    """Belongs to the loop that first publishes; its owner closes it."""

    def __init__(self, *, channel: Channel | None = None, room: int = ROOM) -> None:
        self._channel = channel or _channel()
        self._room = room
        self._size = 0
        self._streams: dict[Place, Stream] = {}
        self._due: list[tuple[Place, Stream]] = []
        self._work = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Send what waits, if that is quick."""
        for place in [*self._streams]:
            self.flush(*place)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSING):
                await self._send_due()
        await self._channel.close()

    def publish_delta(
        self, session_id: str, frame: Frame, child_id: str | None = None
    ) -> None:
        """Take an `event_start` or `event_delta` to be sent soon; never waits."""
        self._task = self._task or asyncio.create_task(self._send_for_ever())
        place = (session_id, child_id)
        stream = self._streams.setdefault(place, Stream())
        event_id = event_id_of(frame)
        if frame["type"] == "event_start":
            stream.previews[event_id] = Preview()
        preview = stream.previews.get(event_id)
        if preview is None or preview.cut:
            return
        first_text = frame["type"] == "event_delta" and preview.sent < 2
        self._size += stream.add(frame)
        self._make_room()
        self._schedule(place, stream, at_once=first_text)

    def flush(self, session_id: str, child_id: str | None = None) -> None:
        """Send what waits and forget the previews: their events are being written."""
        stream = self._streams.pop((session_id, child_id), None)
        if stream is None:
            return
        if stream.timer:
            stream.timer.cancel()
        if stream.waiting:
            self._due.append(((session_id, child_id), stream))
            self._work.set()

    def _schedule(self, place: Place, stream: Stream, *, at_once: bool) -> None:
        """The first text goes at once, the rest at the pace."""
        wait = 0.0 if at_once else stream.not_before - _now()
        if wait <= 0:
            self._is_due(place, stream)
        elif stream.timer is None:
            loop = asyncio.get_running_loop()
            stream.timer = loop.call_later(wait, self._is_due, place, stream)

    def _is_due(self, place: Place, stream: Stream) -> None:
        if stream.timer:
            stream.timer.cancel()
            stream.timer = None
        stream.not_before = _now() + self._pace()
        self._due.append((place, stream))
        self._work.set()

    def _pace(self) -> float:
        return max(PACE, len(self._streams) / MESSAGES_PER_SECOND)

    def _make_room(self) -> None:
        """Cut the sessions that have waited longest until the rest has room."""
        while self._size > self._room:
            streams = [*(due for _, due in self._due), *self._streams.values()]
            oldest = next(stream for stream in streams if stream.size)
            self._size -= oldest.size
            oldest.cut()

    async def _send_for_ever(self) -> None:
        while True:
            await self._work.wait()
            await self._send_due()

    async def _send_due(self) -> None:
        self._work.clear()
        due, self._due = self._due, []
        batch = [
            (place, stream, self._taken(stream))
            for place, stream in due
            if stream.waiting
        ]
        messages = [_message(*place, frames) for place, _, frames in batch]
        if messages and not await self._sent(messages):
            for _, stream, frames in batch:
                _cut(stream, frames)

    def _taken(self, stream: Stream) -> list[list[Any]]:
        self._size -= stream.size
        return stream.take()

    async def _sent(self, messages: list[wire.Message]) -> bool:
        try:
            await self._channel.send(messages)
        except (RedisError, OSError) as error:
            logger.warning("The bus did not take %d previews: %s", len(messages), error)
            return False
        return True


def _now() -> float:
    return asyncio.get_running_loop().time()


def event_id_of(frame: Frame) -> str:
    if frame["type"] == "event_start":
        started: str = frame["event"]["id"]
        return started
    event_id: str = frame["event_id"]
    return event_id


class RedisChannel:
    """Publishes a batch in one round trip, in the layer's format."""

    def __init__(self, url: str) -> None:
        self._client = aioredis.Redis.from_url(url)

    async def send(self, messages: list[wire.Message]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for message in messages:
            channel = wire.channel_of(session_group(message["session_id"]))
            pipeline.publish(channel, wire.encode(message))
        await pipeline.execute()

    async def close(self) -> None:
        await self._client.aclose()


class LayerChannel:
    """Publishes through the layer itself: for the in-memory one."""

    async def send(self, messages: list[wire.Message]) -> None:
        layer = get_channel_layer()
        for message in messages:
            await layer.group_send(session_group(message["session_id"]), dict(message))

    async def close(self) -> None:
        pass


def _channel() -> Channel:
    return RedisChannel(wire.address()) if wire.is_shared() else LayerChannel()


def _message(
    session_id: str, child_id: str | None, frames: list[list[Any]]
) -> wire.Message:
    return {
        "type": "session.delta",
        "session_id": session_id,
        "child_id": child_id,
        "frames": frames,
    }


def _cut(stream: Stream, frames: list[list[Any]]) -> None:
    for _, frame in frames:
        preview = stream.previews.get(event_id_of(frame))
        if preview is not None:
            preview.cut = True


def _text(frame: Frame) -> str:
    delta = frame.get("delta") or {}
    text: str = (delta.get("content") or {}).get("text", "")
    return text


def _continues(last: Frame, frame: Frame) -> bool:
    """Say whether both frames are text of the same block of the same event."""
    if last["type"] != "event_delta" or frame["type"] != "event_delta":
        return False
    return _block(last) == _block(frame)


def _block(frame: Frame) -> tuple[str, int | None]:
    return frame["event_id"], frame["delta"].get("index")


def _join(last: dict[str, Any], frame: Frame) -> None:
    delta = last["delta"]
    content = {**delta["content"], "text": _text(last) + _text(frame)}
    last["delta"] = {**delta, "content": content}
