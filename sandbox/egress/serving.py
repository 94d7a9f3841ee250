"""Serving requests one after the other on a connection that comes from a sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Literal, Protocol

import h11

from sandbox.egress.certificates import Authority
from sandbox.egress.credentials import Credentials
from sandbox.egress.messages import Malformed
from sandbox.egress.policy import Target, Verdict
from sandbox.egress.records import Record, Sink, new_id, now
from sandbox.egress.splice import Peer, Traffic
from sandbox.spec import NetworkPolicy

HEADER_BYTES = 64 * 1024
HEADER_SECONDS = 30.0
CHUNK = 64 * 1024

UNRECORDED = "records_full"
NO_ROOM = (
    "nothing may leave unrecorded, and records have no room: the site's operator must"
    " look why they are not taken in"
)

log = logging.getLogger(__name__)


class Way(Sink, Protocol):
    """A session's way out, as it is now; it takes the records."""

    session_id: str
    policy: NetworkPolicy
    credentials: Credentials
    authority: Authority
    distrusting: set[str]  # hosts whose clients refuse the session's certificates


class Refused(Exception):
    """A request that gets an answer from the proxy itself."""

    def __init__(
        self,
        status: int,
        reason: str,
        *,
        kind: Literal["refused", "failed"],
        rule: str,
        advice: str = "",
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.kind = kind
        self.rule = rule
        self.advice = advice

    def sentence(self, target: Target) -> str:
        verb = "is refused" if self.kind == "refused" else "failed"
        return f"Egress to {target} {verb}: {self.reason}. {self.advice}".strip()


@dataclass(kw_only=True)
class Exchange:
    """One request while it passes."""

    target: Target
    method: str
    path: str | None
    rule: str = ""
    reason: str = ""
    verdict: Literal["allowed", "refused", "failed"] = "allowed"
    credentials: list[str] = field(default_factory=list)
    is_recorded: bool = True
    traffic: Traffic = field(default_factory=Traffic)
    id: str = field(default_factory=new_id)
    began_at: str = field(default_factory=now)
    began: float = field(default_factory=time.monotonic)

    def record(self, session_id: str, *, over: bool = True) -> Record:
        took = round(time.monotonic() - self.began, 3)
        return Record(
            id=self.id,
            began_at=self.began_at,
            session_id=session_id,
            host=self.target.host,
            port=self.target.port,
            method=self.method,
            path=self.path,
            verdict=self.verdict,
            rule=self.rule,
            reason=self.reason,
            credentials=tuple(self.credentials),
            bytes_up=self.traffic.up,
            bytes_down=self.traffic.down,
            seconds=took if over else None,
        )

    def fail(self, rule: str, reason: str) -> None:
        self.verdict, self.rule, self.reason = "failed", rule, reason


class HttpEnd:
    """One side of an exchange: a connection and its HTTP state."""

    def __init__(self, peer: Peer, role: type[h11.CLIENT] | type[h11.SERVER]) -> None:
        self.peer = peer
        self.http = h11.Connection(role, max_incomplete_event_size=HEADER_BYTES)

    async def next_event(self) -> object:
        while True:
            event = self.http.next_event()
            if isinstance(event, h11.Event) or event is h11.PAUSED:
                return event
            self.http.receive_data(await self.peer.reader.read(CHUNK))

    async def send(self, event: h11.Event) -> None:
        data = self.http.send(event)
        if data:
            self.peer.writer.write(data)
            await self.peer.writer.drain()

    def unread(self) -> bytes:
        """Return what came after the last HTTP message."""
        return self.http.trailing_data[0]

    @property
    def is_done(self) -> bool:
        return self.http.our_state is h11.DONE and self.http.their_state is h11.DONE


class Serving(ABC):
    """A connection from a sandbox, for as long as it is kept alive."""

    def __init__(self, way: Way, near: Peer) -> None:
        self.way = way
        self.near = HttpEnd(near, h11.SERVER)

    @abstractmethod
    def exchange(self, request: h11.Request) -> Exchange:
        """Return what a request wants. Raises Malformed."""

    @abstractmethod
    async def passed(self, request: h11.Request, exchange: Exchange) -> bool:
        """Pass one request; tell whether the connection can go on. Raises Refused."""

    async def run(self) -> None:
        """Serve requests until either side has enough, or leaves in the middle."""
        with contextlib.suppress(OSError, TimeoutError, h11.LocalProtocolError):
            await self.serve()

    async def serve(self) -> None:
        try:
            while request := await self.next_request():
                if not await self.served(request):
                    break
                self.near.http.start_next_cycle()
        except h11.RemoteProtocolError as error:
            status = error.error_status_hint
            await self.answer(status, f"The request is malformed: {error}.")

    async def next_request(self) -> h11.Request | None:
        async with asyncio.timeout(HEADER_SECONDS):
            event = await self.near.next_event()
        return event if isinstance(event, h11.Request) else None

    async def served(self, request: h11.Request) -> bool:
        """Serve one request; tell whether the connection can take another."""
        try:
            exchange = self.exchange(request)
        except Malformed as error:
            await self.answer(400, str(error))
            return False
        try:
            self.refuse_unrecorded(exchange)
            return await self.passed(request, exchange)
        except Refused as refused:
            exchange.verdict, exchange.rule = refused.kind, refused.rule
            exchange.reason = refused.reason
            await self.answer(refused.status, refused.sentence(exchange.target))
            return False
        except (OSError, TimeoutError, h11.ProtocolError) as error:
            # Only its kind: what it says may repeat a header, secrets included.
            exchange.fail("broken_off", f"broken off: {type(error).__name__}")
            raise
        finally:
            if exchange.is_recorded:
                self.way.take(exchange.record(self.way.session_id))

    def refuse_unrecorded(self, exchange: Exchange) -> None:
        if self.way.is_full():
            exchange.is_recorded = False
            log.error("Egress of %s is held: no room.", self.way.session_id)
            raise Refused(503, NO_ROOM, kind="failed", rule=UNRECORDED)

    async def answer(self, status: int, sentence: str) -> None:
        """Answer from the proxy itself; many clients show only the reason."""
        if self.near.http.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            return
        body = f"{sentence}\n".encode("ascii", "replace")
        headers = [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        ]
        reason = body.strip()[:200]
        response = h11.Response(status_code=status, headers=headers, reason=reason)
        await self.near.send(response)
        await self.near.send(h11.Data(data=body))
        await self.near.send(h11.EndOfMessage())


def accepted(verdict: Verdict) -> Verdict:
    """Return a verdict that allows. Raises Refused."""
    if verdict.allowed:
        return verdict
    raise Refused(
        403, verdict.reason, kind="refused", rule=verdict.rule, advice=verdict.advice
    )
