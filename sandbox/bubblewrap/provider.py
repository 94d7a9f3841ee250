"""Sandboxes made by bubblewrap, for machines without a container engine."""

from __future__ import annotations

from pathlib import Path

from sandbox.bubblewrap.client import RemoteBoxes
from sandbox.engine import WayOut
from sandbox.errors import ProvisionFailed
from sandbox.places import Places
from sandbox.socket_provider import SocketProvider
from sandbox.socket_sandbox import SocketSandbox
from sandbox.spec import SandboxSpec


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
        extra_ca: Path | None = None,
        made_ahead: int = 0,
    ) -> None:
        places = Places(runtime_dir=runtime_dir, state_dir=state_dir, gid=gid)
        super().__init__(
            engine=RemoteBoxes(socket),
            places=places,
            egress=egress,
            extra_ca=extra_ca,
            made_ahead=made_ahead,
        )

    async def provision(self, spec: SandboxSpec) -> SocketSandbox:
        if spec.root:
            raise ProvisionFailed(
                f"The environment of session {spec.session_id} has root: true, which"
                " needs a container engine: this site runs sandboxes by bubblewrap."
            )
        return await super().provision(spec)
