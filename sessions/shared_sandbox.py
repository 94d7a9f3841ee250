"""The one sandbox of a session, which the turns of all its threads use."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from sandbox.base import Sandbox
from sandbox.errors import SandboxError
from sandbox.spec import Files as Found
from sandbox.spec import Origin
from sessions.events import Draft, Payload, SandboxOpened, Waiting
from sessions.opened import Files, Opened

logger = logging.getLogger(__name__)

Emit = Callable[[Draft], Awaitable[object]]

NEWS = {
    "restored": (
        "The sandbox was made anew, and its files are from a snapshot: what was written"
        " after that, and every process, is gone."
    ),
    "removed": (
        "The sandbox was made anew and is empty: its files had been kept for as long as"
        " this site keeps them."
    ),
    "lost": "The sandbox was made anew and is empty: the files of the one before are lost.",
}
"""What the model should know of a new sandbox that is not as it left the last one."""


class Sandboxes(Protocol):
    async def sandbox(
        self, opened: Opened, waiting: Callable[[str], Awaitable[None]]
    ) -> Sandbox:
        """Return the session's sandbox; `waiting` hears what it waits for.

        Raises SandboxError.
        """

    async def renew_network(self, opened: Opened) -> None:
        """Let the sandbox reach what `opened` says. Raises SandboxError."""


class SharedSandbox:
    """Opened when a turn first needs it, and anew once it is lost."""

    def __init__(
        self,
        opened: Opened,
        sandboxes: Sandboxes,
        described: Callable[[Origin], Awaitable[SandboxOpened]],
    ) -> None:
        self._opened = opened
        self._sandboxes = sandboxes
        self._described = described
        self._news = ""
        self._sandbox: Sandbox | None = None
        self._opening = asyncio.Lock()

    @property
    def current(self) -> Sandbox | None:
        """The one that is open; none where no tool was called yet."""
        return self._sandbox

    async def is_open(self) -> bool:
        """Say whether one is open, once it is clear what becomes of an opening."""
        async with self._opening:
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

    def take_news(self) -> str:
        """What a model should hear with its next result: once."""
        news, self._news = self._news, ""
        return news

    async def renew_network(self, session_hosts: tuple[str, ...]) -> None:
        """Let the sandbox reach these hosts too, and the next one as well."""
        async with self._opening:
            self._opened = replace(self._opened, session_hosts=session_hosts)
            try:
                await self._sandboxes.renew_network(self._opened)
            except SandboxError as error:
                logger.warning("the network of %s: %s", self._opened.session.pk, error)

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
            sandbox = await self._sandboxes.sandbox(opened, waiting)
        finally:
            if told:
                await say(Waiting(reason=told[-1], over=True))
        try:
            await self._tell(sandbox.origin, say)
        except BaseException:
            await sandbox.close()
            raise
        return sandbox

    async def _tell(
        self, origin: Origin, say: Callable[[Payload], Awaitable[None]]
    ) -> None:
        """Tell the log of a sandbox that was made, and have the news for the model."""
        if origin.files != Found.RUNNING:
            told = await self._described(origin)
            self._news = NEWS.get(told.files, "")
            await say(told)
