"""Which process runs each role, so that one left by a dead supervisor can be ended."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable
from pathlib import Path


class Leftovers:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def remember(self, role: str, pid: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / role).write_text(f"{pid} {_start_time(pid)}")

    def forget(self, role: str) -> None:
        (self._folder / role).unlink(missing_ok=True)

    def end(self, roles: Iterable[str]) -> None:
        """Kill what still runs these roles, each with its group."""
        for role in roles:
            pid = self.living(role)
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            self.forget(role)

    def living(self, role: str) -> int | None:
        """Return the pid of the remembered process if it is still the same one."""
        try:
            pid, began = (self._folder / role).read_text().split()
        except (OSError, ValueError):
            return None
        return int(pid) if _start_time(int(pid)) == began else None


def _start_time(pid: int) -> str | None:
    """When the process began, which tells it from a later one of the same number."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[19]
