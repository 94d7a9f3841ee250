"""One listening socket per session, and one to open and close them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.egress import credentials as bound
from sandbox.egress import policy as policies
from sandbox.egress import tls
from sandbox.egress.certificates import Authority, Seal, new_seal_key
from sandbox.egress.credentials import Credentials
from sandbox.egress.paths import EgressPaths
from sandbox.egress.policy import Target
from sandbox.egress.proxy import Proxying
from sandbox.egress.records import Record, Sink
from sandbox.egress.resolve import READ_LIMIT, Resolver, resolving_threads
from sandbox.egress.splice import Peer, part
from sandbox.spec import BoundCredential, NetworkPolicy

log = logging.getLogger(__name__)

CONNECTIONS = 256  # of one session at a time
SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
REFUSALS = 20  # remembered for the agent
DONE = {"ok": True}
FULL = (
    b"HTTP/1.1 503 Too many connections\r\nConnection: close\r\n"
    b"Content-Length: 0\r\n\r\n"
)


@dataclass(kw_only=True)
class Opening:
    """A session's way out while it is open (`serving.Way`)."""

    session_id: str
    policy: NetworkPolicy
    sink: Sink
    authority: Authority
    resolver: Resolver
    credentials: Credentials = field(default_factory=Credentials)
    distrusting: set[str] = field(default_factory=set)
    listening: asyncio.Server | None = None
    refusals: deque[tuple[float, str]] = field(
        default_factory=lambda: deque(maxlen=REFUSALS)
    )
    connections: set[asyncio.Task[None]] = field(default_factory=set)

    def end(self) -> None:
        """Stop listening, and cut what passes."""
        if self.listening:
            self.listening.close()
        for connection in self.connections:
            connection.cancel()

    def take(self, record: Record) -> None:
        """Record a request, and remember for the agent what was refused."""
        if record.verdict == "refused":
            target = Target(host=record.host, port=record.port)
            sentence = f"Egress to {target} was refused: {record.reason}."
            self.refusals.append((time.time(), sentence))
        self.sink.take(record)

    def is_full(self) -> bool:
        return self.sink.is_full()

    def refused_since(self, moment: float) -> list[str]:
        """Return what was refused since a moment, each sentence once."""
        return [*dict.fromkeys(said for at, said in self.refusals if at >= moment)]


class EgressServer:
    """Keeps what is open in files, so that a new process opens every socket again.

    Secrets and the authorities' keys are in them under a key of this run of the site.
    """

    def __init__(
        self,
        paths: EgressPaths,
        sink: Sink,
        *,
        seal_key: str | None = None,
        extra_ca: Path | None = None,
    ) -> None:
        self.paths = paths
        self.sink = sink
        self.seal = Seal(seal_key or new_seal_key())
        self.context = tls.client_context(extra_ca)
        self.threads = resolving_threads()
        self.openings: dict[str, Opening] = {}
        self.turn = asyncio.Lock()

    async def run(self) -> None:
        self.paths.make()
        for session_id, fields in self.paths.stored():
            await self.reopen(session_id, fields)
        control = await listen(self.paths.control, self.control)
        try:
            async with control:
                log.info("The egress proxy listens on %s.", self.paths.control)
                await control.serve_forever()
        finally:
            for opening in self.openings.values():
                opening.end()

    async def reopen(self, session_id: str, kept: Mapping[str, Any]) -> None:
        try:
            secrets = self.unsealed(kept["sealed"])
            policy = policies.from_json(kept["policy"])
            authority = Authority.from_pem(secrets["authority"]) if secrets else None
            await self.open(session_id, policy, (), authority)
            if secrets:
                await self.renew(session_id, credentials=secrets["credentials"])
        except (KeyError, OSError, TypeError, ValueError) as error:
            log.error("Session %s stays without a way out: %r.", session_id, error)  # noqa: TRY400

    async def open(
        self,
        session_id: str,
        policy: NetworkPolicy,
        credentials: Sequence[BoundCredential] = (),
        authority: Authority | None = None,
    ) -> Opening:
        """Open a session's way out, or give the open one what is new."""
        async with self.turn:
            opening = self.openings.get(session_id)
            if opening is None:
                opening = Opening(
                    session_id=session_id,
                    policy=policy,
                    sink=self.sink,
                    authority=authority or Authority.make(session_id),
                    resolver=Resolver(self.threads),
                )
                await self.listen(opening)
            opening.policy = policy
            opening.credentials = Credentials(credentials)
            self.keep(opening)
            return opening

    async def renew(
        self,
        session_id: str,
        policy: Mapping[str, Any] | None = None,
        credentials: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Replace what is given, where the session is open here."""
        async with self.turn:
            opening = self.openings.get(session_id)
            if opening is None:
                return
            if policy is not None:
                opening.policy = policies.from_json(policy)
            if credentials is not None:
                opening.credentials = Credentials(bound.from_json(credentials))
            self.keep(opening)

    def keep(self, opening: Opening) -> None:
        secrets = {
            "authority": opening.authority.to_pem(),
            "credentials": bound.as_json(opening.credentials.all()),
        }
        kept = {
            "policy": policies.as_json(opening.policy),
            "sealed": self.seal.close(json.dumps(secrets)),
        }
        self.paths.store(opening.session_id, kept)

    def unsealed(self, sealed: str) -> dict[str, Any] | None:
        """Return the secrets of an opening; none where an earlier run closed them.

        Its sandbox gets them anew, like everything else, before its next call.
        """
        text = self.seal.open(sealed)
        return dict(json.loads(text)) if text is not None else None

    async def listen(self, opening: Opening) -> None:
        async def connected(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            await self.serve(opening, Peer(reader=reader, writer=writer))

        socket = self.paths.socket(opening.session_id)
        self.paths.share(socket.parent)
        opening.listening = await listen(socket, connected)
        self.openings[opening.session_id] = opening

    async def close(self, session_id: str) -> None:
        """Close a session's way out with everything that passes through it."""
        async with self.turn:
            opening = self.openings.pop(session_id, None)
            self.paths.forget(session_id)
        if opening:
            opening.end()

    async def serve(self, opening: Opening, peer: Peer) -> None:
        task = asyncio.current_task()
        assert task
        if len(opening.connections) >= CONNECTIONS:
            peer.writer.write(FULL)
            await part(peer)
            return
        opening.connections.add(task)
        try:
            await Proxying(
                opening, peer, resolver=opening.resolver, context=self.context
            ).run()
        except asyncio.CancelledError:
            peer.writer.transport.abort()  # the session was closed
        finally:
            opening.connections.discard(task)

    async def control(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                reply = await self.reply(line)
                writer.write(json.dumps(reply).encode() + b"\n")
                await writer.drain()
        writer.close()

    async def reply(self, line: bytes) -> dict[str, Any]:
        try:
            return await self.obey(json.loads(line))
        except (KeyError, TypeError, ValueError, OSError) as error:
            return {"error": f"{error}"}

    async def obey(self, request: Mapping[str, Any]) -> dict[str, Any]:
        op = request["op"]
        if op == "ping":
            return DONE
        session_id = request["session_id"]
        if not SESSION_ID.fullmatch(session_id):
            raise ValueError(f"{session_id!r} is no session id")
        if op == "open":
            policy = policies.from_json(request["policy"])
            credentials = bound.from_json(request["credentials"])
            opening = await self.open(session_id, policy, credentials)
            return {"authority": opening.authority.certificate_pem}
        if op == "renew":
            await self.renew(
                session_id, request.get("policy"), request.get("credentials")
            )
        elif op == "refusals":
            known = self.openings.get(session_id)
            since = float(request["since"])
            return {"refusals": known.refused_since(since) if known else []}
        elif op == "close":
            await self.close(session_id)
        else:
            raise ValueError(f"there is no operation {op!r}")
        return DONE


async def listen(path: Path, connected: Any) -> asyncio.Server:
    """Listen on a unix socket that the shared group may connect to."""
    clear(path)
    before = os.umask(0o007)
    try:
        return await asyncio.start_unix_server(connected, path, limit=READ_LIMIT)
    finally:
        os.umask(before)


def clear(path: Path) -> None:
    """Remove the socket of a proxy that ended."""
    path.unlink(missing_ok=True)
