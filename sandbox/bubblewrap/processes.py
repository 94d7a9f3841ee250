"""Finds the processes of sandboxes by what they say of themselves.

Each sandbox's first process carries its name in its environment: no file can be lost or
outlive it. What runs inside has no part in this: it is in another process namespace, and
so passed over.
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress
from pathlib import Path

LABEL = "AGENTSITE_SANDBOX"
END_SECONDS = 10.0


def running(site: str) -> dict[str, list[int]]:
    """Return the processes of each sandbox of a site, by its name."""
    found: dict[str, list[int]] = {}
    own = namespace(os.getpid())
    wanted = f"{LABEL}={site}/".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        if namespace(pid) == own:
            for label in labels(pid, wanted):
                found.setdefault(label, []).append(pid)
    return found


def namespace(pid: int) -> str | None:
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:
        return None


def labels(pid: int, wanted: bytes) -> list[str]:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return []
    return [
        pair[len(wanted) :].decode(errors="replace")
        for pair in environment.split(b"\0")
        if pair.startswith(wanted)
    ]


def end(pids: list[int]) -> None:
    """Kill processes and their children, and wait until they are gone.

    The child of bubblewrap is the first process in the sandbox: with it everything ends.
    """
    family = [*(child for pid in pids for child in children(pid)), *pids]
    handles = []
    for pid in family:
        with suppress(ProcessLookupError):
            handles.append(os.pidfd_open(pid))
    try:
        for handle in handles:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        wait(handles)
    finally:
        for handle in handles:
            os.close(handle)


def children(pid: int) -> list[int]:
    try:
        return [
            int(child)
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except OSError:
        return []


def wait(handles: list[int]) -> None:
    until = time.monotonic() + END_SECONDS
    left = set(handles)
    while left and (rest := until - time.monotonic()) > 0:
        poll = select.poll()
        for handle in left:
            poll.register(handle, select.POLLIN)
        left -= {handle for handle, _ in poll.poll(rest * 1000)}
