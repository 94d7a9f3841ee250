"""Sending from plain threads: quick, from anywhere, and never an error."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import cache
from weakref import WeakSet

import redis
from channels.layers import get_channel_layer
from redis.backoff import NoBackoff
from redis.retry import Retry

from sessions.bus import wire
from sessions.bus.groups import HOSTS_GROUP, session_group

logger = logging.getLogger(__name__)

PATIENCE = 0.25
"""Seconds a caller may be kept by a bus that hangs."""

PAUSE = 1.0
"""Seconds without another try after the bus has failed."""


def nudge(session_id: str, number: int) -> None:
    """Tell readers that the session's log has grown up to a number; 0: it is gone."""
    message = {"type": "session.nudge", "session_id": session_id, "number": number}
    _outbox().send(session_group(session_id), message)


def wake_hosts(session_id: str) -> None:
    """Tell hosts to look at a session: it may be claimed, or an interrupt waits."""
    message = {"type": "host.wake", "session_id": session_id}
    _outbox().send(HOSTS_GROUP, message)


class Outbox:
    """One per process; the client's pool serves all threads and survives a fork."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(
            url,
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
            retry=Retry(NoBackoff(), 1),
        )
        self._quiet_until = 0.0

    def send(self, group: str, message: wire.Message) -> None:
        if time.monotonic() < self._quiet_until:
            return
        try:
            self._client.publish(wire.channel_of(group), wire.encode(message))
        except (redis.RedisError, OSError) as error:
            self._quiet_until = time.monotonic() + PAUSE
            logger.warning("The bus did not take a message: %s", error)


class LocalOutbox:
    """For the in-memory layer of tests: hands over to every loop that listens."""

    def send(self, group: str, message: wire.Message) -> None:
        for loop in [*_listening]:
            if loop.is_running():
                sending = get_channel_layer().group_send(group, dict(message))
                asyncio.run_coroutine_threadsafe(sending, loop)


_listening: WeakSet[asyncio.AbstractEventLoop] = WeakSet()


def listen_here() -> None:
    """Note that the running loop receives messages (the in-memory layer needs it)."""
    _listening.add(asyncio.get_running_loop())


def _outbox() -> Outbox | LocalOutbox:
    return _shared(wire.address()) if wire.is_shared() else LocalOutbox()


@cache
def _shared(url: str) -> Outbox:
    return Outbox(url)
