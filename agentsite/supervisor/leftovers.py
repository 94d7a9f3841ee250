"""Children of an earlier supervisor: remembered by pid and start time, ended at start."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path


class Leftovers:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def remember(self, pid: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / str(pid)).write_text(_start_time(pid) or "")

    def forget(self, pid: int) -> None:
        (self._folder / str(pid)).unlink(missing_ok=True)

    def end(self) -> int:
        """Kill what is still there, each with its group; return how many that were."""
        ended = 0
        for path in self._folder.glob("*"):
            pid, began = int(path.name), path.read_text()
            if began and _start_time(pid) == began:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
                ended += 1
            path.unlink()
        return ended


def _start_time(pid: int) -> str | None:
    """When the process began, which tells it from a later one of the same number."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[19]
