"""A poke for a process of this machine that looks for work of its own accord as well.

A lost one costs the time until that process looks by itself.
"""

from __future__ import annotations

import contextlib
import select
import socket
from pathlib import Path


class Pokes:
    """The poked end: a socket that whoever comes later takes over."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        path.chmod(0o660)

    def wait(self, seconds: float) -> bool:
        """Wait for a poke, at most so long; say whether there was one."""
        poked, _, _ = select.select([self._socket], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            while True:  # many are one
                self._socket.recv(1)
        return bool(poked)

    def close(self) -> None:
        self._socket.close()


def poke(path: Path) -> None:
    """Wake who waits there; nobody may be there, or have pokes enough."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        with contextlib.suppress(OSError):
            sender.sendto(b"!", str(path))
