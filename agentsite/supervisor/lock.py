"""One supervisor per role and home."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import IO


class AlreadyRunning(Exception):
    """Another supervisor runs a role of this home; says which."""


def take(home: Path, roles: Iterable[str], address: str) -> ExitStack:
    """Hold the roles until the answer is closed. Raises AlreadyRunning."""
    folder = home / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        for role in roles:
            held.enter_context(_take_one(folder / role, address))
        return held.pop_all()


def _take_one(path: Path, address: str) -> IO[str]:
    handle = path.open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.seek(0)
        pid, _, where = handle.read().partition(" ")
        handle.close()
        raise AlreadyRunning(
            f"This site is already running at {where} (process {pid}, "
            f"home {path.parent.parent})."
        ) from None
    handle.truncate(0)
    handle.write(f"{os.getpid()} {address}")
    handle.flush()
    return handle
