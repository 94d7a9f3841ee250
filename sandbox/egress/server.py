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
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.egress import policy as policies
from sandbox.egress.paths import EgressPaths
from sandbox.egress.policy import Target
from sandbox.egress.proxy import Proxying
from sandbox.egress.records import Record, Sink
from sandbox.egress.resolve import READ_LIMIT, Resolver
from sandbox.egress.splice import Peer, part
from sandbox.spec import NetworkPolicy

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
    """A session's way out while it is open."""

    session_id: str
    policy: NetworkPolicy
    sink: Sink
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

    def current_policy(self) -> NetworkPolicy:
        return self.policy

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
    """Keeps its policies in files, so that a new process opens every socket again."""

    def __init__(self, paths: EgressPaths, sink: Sink) -> None:
        self.paths = paths
        self.sink = sink
        self.resolver = Resolver()
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

    async def reopen(self, session_id: str, fields: Mapping[str, Any]) -> None:
        try:
            await self.open(session_id, policies.from_json(fields))
        except (OSError, ValueError) as error:
            log.error("Session %s stays without a way out: %s.", session_id, error)  # noqa: TRY400

    async def open(self, session_id: str, policy: NetworkPolicy) -> None:
        """Open a session's way out, or give the open one a new policy."""
        async with self.turn:
            opening = self.openings.get(session_id)
            if opening:
                opening.policy = policy
            else:
                opening = Opening(session_id=session_id, policy=policy, sink=self.sink)
                await self.listen(opening)
            self.paths.store(session_id, policies.as_json(policy))

    async def renew(self, session_id: str, policy: NetworkPolicy) -> None:
        """Give a way out that is open here a new policy."""
        if session_id in self.openings:
            await self.open(session_id, policy)

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
                opening.session_id,
                opening.current_policy,
                peer,
                resolver=self.resolver,
                sink=opening,
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
            await self.open(session_id, policies.from_json(request["policy"]))
        elif op == "renew":
            await self.renew(session_id, policies.from_json(request["policy"]))
        elif op == "refusals":
            opening = self.openings.get(session_id)
            since = float(request["since"])
            return {"refusals": opening.refused_since(since) if opening else []}
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
