"""Sandboxes made by bubblewrap, for machines without a container engine."""

from __future__ import annotations

from pathlib import Path

from sandbox.bubblewrap.client import RemoteBoxes
from sandbox.places import Places
from sandbox.socket_provider import SocketProvider, WayOut


class BubblewrapProvider(SocketProvider):
    """The bubblewrap sandboxes of one site, behind their engine's socket."""

    name = "bubblewrap"

    def __init__(
        self,
        *,
        socket: Path,
        runtime_dir: Path,
        state_dir: Path,
        gid: int,
        egress: WayOut | None = None,
    ) -> None:
        places = Places(runtime_dir=runtime_dir, state_dir=state_dir, gid=gid)
        super().__init__(engine=RemoteBoxes(socket), places=places, egress=egress)
