"""The contract of every provider of sandboxes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

from sandbox.spec import (
    BoundCredential,
    Listing,
    NetworkPolicy,
    Origin,
    Running,
    SandboxSpec,
    SandboxStatus,
    ToolOutcome,
)


class Sandbox(Protocol):
    """A provisioned sandbox of one session."""

    @property
    def session_id(self) -> str: ...

    @property
    def origin(self) -> Origin: ...

    async def execute(
        self, call_id: str, tool: str, input: Mapping[str, Any]
    ) -> ToolOutcome:
        """Run a built-in tool once per `call_id`.

        A repeated id returns the remembered outcome or joins the running call.
        Raises OutcomeUnknown when the sandbox is lost before the answer.
        """

    async def outcome(self, call_id: str) -> ToolOutcome | Running | None:
        """Return what the sandbox remembers of a call; None when nothing."""

    async def cancel(self, call_id: str) -> None:
        """End a running call with its whole process tree."""

    async def read(self, path: str) -> bytes:
        """Return a file's bytes. Raises FileUnavailable."""

    def pieces(self, path: str) -> AsyncIterator[bytes]:
        """Yield a file's bytes, however many there are. Raises FileUnavailable."""

    async def files_below(self, path: str, most: int) -> Listing:
        """Return the plain files below a folder; links are neither shown nor followed.

        Raises FileUnavailable where the answer makes no sense.
        """

    async def write(self, path: str, data: bytes, *, executable: bool = False) -> None:
        """Write a file whole, its parents too. Raises FileUnavailable."""

    async def remove(self, path: str) -> None:
        """Remove a file; one that is gone already is no matter. Raises FileUnavailable."""

    async def close(self) -> None:
        """Forget the connection and leave the sandbox running.

        Until then the sandbox is in use: whoever wants it `alone` is refused.
        """


class Provider(Protocol):
    """Makes, finds and removes sandboxes."""

    @property
    def name(self) -> str: ...

    async def check(self) -> None:
        """Raise EngineUnavailable, with a sentence, when nothing can run here."""

    async def provision(self, spec: SandboxSpec) -> Sandbox:
        """Return the session's sandbox: the running one, or a new one on its files.

        Asked again with other `files`, it adds what is new and removes what is not
        named any more, in the sandbox that runs.
        Raises ImageMissing or ProvisionFailed.
        """

    async def find(self, session_id: str) -> Sandbox | None:
        """Return the session's sandbox if it runs; start none."""

    async def renew_network(self, session_id: str, policy: NetworkPolicy) -> None:
        """Let a sandbox that is here reach something else from now on.

        Raises EgressUnavailable.
        """

    async def renew_credentials(
        self, session_id: str, credentials: Sequence[BoundCredential]
    ) -> None:
        """Replace the credentials of a sandbox that is here: a token was rotated.

        Raises EgressUnavailable.
        """

    async def status(self, session_id: str) -> SandboxStatus: ...

    def alone(self, session_id: str) -> AbstractAsyncContextManager[bool]:
        """Hold a session's place here; false where somebody uses it now.

        Whoever provisions it meanwhile waits.
        """

    async def snapshot(self, session_id: str, path: Path) -> bool:
        """Write its files as an archive; false where none are here. It should rest.

        Raises SnapshotFailed.
        """

    async def destroy(self, session_id: str, *, keep_workspace: bool) -> None:
        """End the sandbox's processes; with `keep_workspace` its files stay."""

    async def running(self) -> frozenset[str]:
        """Return the ids of sessions whose sandbox runs here."""

    async def tend(self) -> None:
        """Make ahead what sessions will want soon; now and then, by every worker."""

    async def drain(self) -> None:
        """End what was made ahead and no session has."""

    async def sessions(self) -> frozenset[str]:
        """Return the ids of sessions that have a sandbox or files here."""

    async def close(self) -> None:
        """Let go of the engine; sandboxes stay."""
