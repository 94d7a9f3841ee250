"""What a provider asks of whatever runs its sandboxes, and of their way out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from sandbox import archive
from sandbox.spec import BoundCredential, NetworkPolicy, SandboxSpec


class WayOut(Protocol):
    """What a provider asks of the egress proxy."""

    async def open(
        self,
        session_id: str,
        policy: NetworkPolicy,
        credentials: Iterable[BoundCredential] = (),
    ) -> str: ...

    async def renew(self, session_id: str, policy: NetworkPolicy) -> None: ...

    async def renew_credentials(
        self, session_id: str, credentials: Iterable[BoundCredential]
    ) -> None: ...

    async def refusals(self, session_id: str, since: float) -> list[str]: ...

    async def close(self, session_id: str) -> None: ...


class Engine(Protocol):
    """Runs sandboxes and keeps their files, by name. Blocking: called from threads.

    A sandbox has its session's name, unless it was made ahead (`spec.name`).
    What it raises when it cannot be reached is EngineUnavailable.
    """

    def ping(self) -> None: ...

    def state(self, name: str) -> str | None:
        """Return the engine's word for the sandbox's state; None without one."""

    def start(self, spec: SandboxSpec) -> None:
        """Make a sandbox on the sandbox's files, where there is none."""

    def last_words(self, name: str) -> str: ...

    def remove(self, name: str) -> None:
        """End the sandbox; its files stay."""

    def remove_files(self, name: str) -> None: ...

    def has_files(self, name: str) -> bool: ...

    def used(self, name: str) -> int:
        """Return how many bytes the sandbox's files take."""

    def host_folder(self) -> Path:
        """Where the files of all sandboxes are, as far as that can be told."""

    def pack(self, name: str) -> Iterator[archive.Source]:
        """Give the sandbox's files as tar streams."""

    def unpack(self, spec: SandboxSpec, pieces: Iterable[bytes]) -> None:
        """Make a sandbox's files of an archive; its names begin at the root."""

    def running(self) -> frozenset[str]: ...

    def sandboxes(self) -> frozenset[str]:
        """Return the names of what runs here or has files here."""

    def notes(self) -> list[str]:
        """What sandboxes lack on this machine."""

    def close(self) -> None: ...
