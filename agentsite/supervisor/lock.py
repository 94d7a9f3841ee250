"""One supervisor per home."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO


class AlreadyRunning(Exception):
    """Another supervisor has this home; says which."""


def take(home: Path, address: str) -> IO[str]:
    """Hold the home as long as the answer is open. Raises AlreadyRunning."""
    handle = (home / "supervisor.lock").open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.seek(0)
        pid, _, where = handle.read().partition(" ")
        handle.close()
        raise AlreadyRunning(
            f"This site is already running at {where} (process {pid}, home {home})."
        ) from None
    handle.truncate(0)
    handle.write(f"{os.getpid()} {address}")
    handle.flush()
    return handle
