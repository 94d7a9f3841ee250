"""The one sandbox of a session, which the turns of all its threads use."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from sandbox.base import Sandbox
from sessions.events import Draft, Payload, Waiting
from sessions.opened import Files, Opened

Emit = Callable[[Draft], Awaitable[object]]


class Sandboxes(Protocol):
    async def sandbox(
        self, opened: Opened, waiting: Callable[[str], Awaitable[None]]
    ) -> Sandbox:
        """Return the session's sandbox; `waiting` hears what it waits for.

        Raises SandboxError.
        """


class SharedSandbox:
    """Opened when a turn first needs it, and anew once it is lost."""

    def __init__(self, opened: Opened, sandboxes: Sandboxes) -> None:
        self._opened = opened
        self._sandboxes = sandboxes
        self._sandbox: Sandbox | None = None
        self._opening = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        return self._sandbox is not None

    async def open(self, emit: Emit, files: Files) -> Sandbox:
        """Return it with these files, telling in the log what it waits for.

        Raises SandboxError.
        """
        async with self._opening:
            opened = replace(self._opened, files=files)
            if self._sandbox is None:
                self._sandbox = await self._provision(opened, emit)
            elif files != self._opened.files:
                # The connection stays the one on which calls are waited for.
                await (await self._provision(opened, emit)).close()
            self._opened = opened
            return self._sandbox

    async def part_from(self, sandbox: Sandbox) -> None:
        """Forget a sandbox that is lost; a call beside this one may have done so."""
        if self._sandbox is sandbox:
            self._sandbox = None
            await sandbox.close()

    async def close(self) -> None:
        if self._sandbox is not None:
            await self.part_from(self._sandbox)

    async def _provision(self, opened: Opened, emit: Emit) -> Sandbox:
        told: list[str] = []

        async def say(payload: Payload) -> None:
            await emit(Draft(payload=payload))

        async def waiting(reason: str) -> None:
            if reason not in told:
                told.append(reason)
                await say(Waiting(reason=reason))

        try:
            return await self._sandboxes.sandbox(opened, waiting)
        finally:
            if told:
                await say(Waiting(reason=told[-1], over=True))
