"""What streams and sockets share: one task that ends with its connection."""

from __future__ import annotations

import asyncio
from typing import Any


class Following:
    """A consumer that works in a task, so that a client's leaving is noticed."""

    channel_layer_alias = None  # the hub listens for all connections
    _task: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)  # type: ignore[misc]
        finally:
            await self.disconnect()

    async def disconnect(self, *_: Any) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
