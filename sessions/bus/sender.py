"""Sending from plain threads: quick, from anywhere, and never an error."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from functools import cache
from typing import Any
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
    """One connection per process, on which the bus is told not to reply.

    So a sender hands its message to the socket and goes on: waiting for a reply would
    cost a busy process a turn of its interpreter lock.
    """

    def __init__(self, url: str) -> None:
        self._pool = redis.ConnectionPool.from_url(
            url,
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
            retry=Retry(NoBackoff(), 0),
        )
        self._connection: Any = None  # redis leaves its connections untyped
        self._lock = threading.Lock()
        self._quiet_until = 0.0

    def send(self, group: str, message: wire.Message) -> None:
        if time.monotonic() < self._quiet_until:
            return
        command = ("PUBLISH", wire.channel_of(group), wire.encode(message))
        with self._lock:
            try:
                self._hand_over(command)
            except (redis.RedisError, OSError) as error:
                self._close()
                self._quiet_until = time.monotonic() + PAUSE
                logger.warning("The bus did not take a message: %s", error)

    def _hand_over(self, command: tuple[str, str, bytes]) -> None:
        """Send; a second time where the bus was started anew meanwhile."""
        if self._connection is not None:
            try:
                self._connection.send_command(*command)
            except (redis.RedisError, OSError):
                self._close()
            else:
                return
        self._open().send_command(*command)

    def _open(self) -> Any:
        connection: Any = self._pool.make_connection()
        connection.connect()
        connection.send_command("CLIENT", "REPLY", "OFF")
        self._connection = connection
        return connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.disconnect()
            self._connection = None


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


# A forked worker must not write between the lines of its parent.
os.register_at_fork(after_in_child=_shared.cache_clear)
