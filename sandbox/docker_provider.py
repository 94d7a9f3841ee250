"""Sandboxes as Docker containers without a network, behind one unix socket each."""

from __future__ import annotations

from pathlib import Path

from sandbox.containers import Containers
from sandbox.engine import WayOut
from sandbox.places import Places
from sandbox.socket_provider import SocketProvider


class DockerProvider(SocketProvider):
    """The containers of one site."""

    name = "docker"

    def __init__(
        self,
        *,
        site: str,
        runtime_dir: Path,
        state_dir: Path,
        gid: int,
        egress: WayOut | None = None,
        extra_ca: Path | None = None,
        runtime: str | None = None,
        made_ahead: int = 0,
        engine_url: str = "unix:///var/run/docker.sock",
    ) -> None:
        places = Places(runtime_dir=runtime_dir, state_dir=state_dir, gid=gid)
        containers = Containers(
            site=site, places=places, runtime=runtime, engine_url=engine_url
        )
        super().__init__(
            engine=containers,
            places=places,
            egress=egress,
            extra_ca=extra_ca,
            made_ahead=made_ahead,
        )
        self.site = site
