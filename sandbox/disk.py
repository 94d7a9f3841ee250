"""Watches what a sandbox's files take, where nothing on the host bounds it.

The measuring is the engine's, from outside: what runs in the sandbox has no part in it.
It is costly, so it is done when the host's free space has shrunk, or now and then.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from sandbox.errors import EngineUnavailable, SandboxError

MB = 1024 * 1024
MEASURE = ("du", "-sckx")
"""A program and options that any image has, busybox too. Folders come after it."""

LOOK_SECONDS = 2.0  # at the host's free space, while a command runs
SHRUNK = 256 * MB
MEASURE_SECONDS = 30.0

log = logging.getLogger(__name__)


class DiskWatch:
    """Knows how much the files of one sandbox take, about."""

    def __init__(
        self, *, most: int, measure: Callable[[], Awaitable[int]], host: Path
    ) -> None:
        self.most = most
        self.used = 0
        self._measure = measure
        self._host = existing(host)
        self._free = free_bytes(self._host)
        self._measured_at = time.monotonic()

    @property
    def is_over(self) -> bool:
        return self.used > self.most

    async def look(self) -> bool:
        """Measure where that is due; say whether the files grew beyond what they may."""
        before = self.used
        if self._is_due():
            self._free, self._measured_at = free_bytes(self._host), time.monotonic()
            try:
                self.used = await self._measure()
            except SandboxError as error:
                log.warning("How full a sandbox's disk is, is not known: %s", error)
                return False
        return self.is_over and self.used > before

    def _is_due(self) -> bool:
        shrunk = self._free - free_bytes(self._host)
        since = time.monotonic() - self._measured_at
        return (
            self.is_over or shrunk > min(SHRUNK, self.most) or since > MEASURE_SECONDS
        )

    def sentence(self) -> str:
        return (
            f"The sandbox's files take {self.used // MB} MB, and {self.most // MB} MB are"
            " allowed. Remove what is not needed: a command that adds to it is ended."
        )


def measured(said: bytes) -> int:
    """Return how many bytes the program found, from its last line."""
    found = re.match(rb"\d+", said.rstrip().rpartition(b"\n")[2])
    if found is None:
        raise EngineUnavailable("The files of a sandbox could not be measured.")
    return int(found[0]) * 1024


def existing(folder: Path) -> Path:
    """The folder, or the one above it that this process can look at."""
    found = (folder, *folder.parents)
    return next(each for each in found if os.access(each, os.F_OK))


def free_bytes(path: Path) -> int:
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize
