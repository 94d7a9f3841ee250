"""How workers open and close sessions' ways out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sandbox.egress import credentials as bound
from sandbox.egress import policy as policies
from sandbox.egress.paths import EgressPaths
from sandbox.errors import EgressUnavailable
from sandbox.spec import BoundCredential, NetworkPolicy

ANSWER_SECONDS = 15.0


class EgressClient:
    """Speaks to the egress proxy of this host on its control socket."""

    def __init__(self, *, runtime_dir: Path, patience: float = ANSWER_SECONDS) -> None:
        self.paths = EgressPaths(runtime_dir=runtime_dir)
        self.patience = patience

    async def check(self) -> None:
        """Raise EgressUnavailable when the proxy does not answer."""
        await self._ask({"op": "ping"})

    async def open(
        self,
        session_id: str,
        policy: NetworkPolicy,
        credentials: Iterable[BoundCredential] = (),
    ) -> str:
        """Open a session's way out, or give the open one what is new.

        Returns the certificate of the authority that its sandbox is to trust.
        """
        fields = {
            "policy": policies.as_json(policy),
            "credentials": bound.as_json(credentials),
        }
        request = {"op": "open", "session_id": session_id, **fields}
        return str((await self._ask(request))["authority"])

    async def renew(self, session_id: str, policy: NetworkPolicy) -> None:
        """Give a session's way out a new policy, if it is open here."""
        fields = policies.as_json(policy)
        await self._ask({"op": "renew", "session_id": session_id, "policy": fields})

    async def renew_credentials(
        self, session_id: str, credentials: Iterable[BoundCredential]
    ) -> None:
        """Replace a session's credentials, if it is open here: a token was rotated."""
        fields = bound.as_json(credentials)
        request = {"op": "renew", "session_id": session_id, "credentials": fields}
        await self._ask(request)

    async def refusals(self, session_id: str, since: float) -> list[str]:
        """Return what a session was refused since a moment, in sentences."""
        request = {"op": "refusals", "session_id": session_id, "since": since}
        answer = await self._ask(request)
        return [str(said) for said in answer["refusals"]]

    async def close(self, session_id: str) -> None:
        await self._ask({"op": "close", "session_id": session_id})

    async def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self.patience):
                answer = await self._answer(request)
        except (OSError, ValueError, TimeoutError) as error:
            raise EgressUnavailable(
                f"The egress proxy at {self.paths.control} does not answer: {error!r}."
            ) from error
        if "error" in answer:
            raise EgressUnavailable(f"The egress proxy refuses: {answer['error']}.")
        return answer

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        reader, writer = await asyncio.open_unix_connection(self.paths.control)
        try:
            writer.write(json.dumps(request).encode() + b"\n")
            await writer.drain()
            return dict(json.loads(await reader.readline()))
        finally:
            writer.close()
