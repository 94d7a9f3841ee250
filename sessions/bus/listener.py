"""Hearing the wakes for hosts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from channels.layers import get_channel_layer
from redis.exceptions import RedisError

from sessions.bus.groups import HOSTS_GROUP
from sessions.bus.sender import PAUSE, listen_here

logger = logging.getLogger(__name__)


class Listener:
    """An endless iterator over the ids of sessions that hosts should look at.

    It outlives the bus: while that is away nothing is heard, and hosts go by their
    own clock.
    """

    async def __aiter__(self) -> AsyncIterator[str]:
        while True:
            try:
                async for session_id in self._heard():
                    yield session_id
            except (RedisError, OSError) as error:
                logger.warning("The bus cannot be heard: %s", error)
                await asyncio.sleep(PAUSE)

    async def _heard(self) -> AsyncIterator[str]:
        listen_here()
        layer = get_channel_layer()
        channel = await layer.new_channel()
        await layer.group_add(HOSTS_GROUP, channel)
        while True:
            message = await layer.receive(channel)
            if message["type"] == "host.wake":
                yield message["session_id"]
