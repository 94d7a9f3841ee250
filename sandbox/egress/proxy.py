"""Serves one connection from a sandbox: judge, dial, forward, record."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import h11

from sandbox.egress import messages
from sandbox.egress.messages import Malformed
from sandbox.egress.policy import Target, Verdict, judge_addresses, judge_name
from sandbox.egress.records import Record, Sink, new_id, now
from sandbox.egress.resolve import Resolver, Unreachable, Unresolvable, dial
from sandbox.egress.splice import IDLE_SECONDS, Peer, Traffic, part, splice
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
            bytes_up=self.traffic.up,
            bytes_down=self.traffic.down,
            seconds=took if over else None,
        )


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


class Proxying:
    """A connection from a sandbox, for as long as it is kept alive."""

    def __init__(
        self,
        session_id: str,
        policy: Callable[[], NetworkPolicy],
        near: Peer,
        *,
        resolver: Resolver,
        sink: Sink,
    ) -> None:
        self.session_id = session_id
        self.policy = policy
        self.near = HttpEnd(near, h11.SERVER)
        self.resolver = resolver
        self.sink = sink

    async def run(self) -> None:
        """Serve requests until either side has enough."""
        try:
            while request := await self.next_request():
                if not await self.served(request):
                    break
                self.near.http.start_next_cycle()
        except h11.RemoteProtocolError as error:
            status = error.error_status_hint
            await self.answer(status, f"The request is malformed: {error}.")
        except (OSError, TimeoutError, h11.LocalProtocolError):
            pass  # one of the two left in the middle
        await part(self.near.peer)

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
            return await self.passed(request, exchange)
        except Refused as refused:
            exchange.verdict, exchange.rule = refused.kind, refused.rule
            exchange.reason = refused.reason
            await self.answer(refused.status, refused.sentence(exchange.target))
            return False
        except (OSError, TimeoutError, h11.ProtocolError) as error:
            exchange.verdict, exchange.rule = "failed", "broken_off"
            exchange.reason = f"broken off: {error!r}"
            raise
        finally:
            if exchange.rule != UNRECORDED:
                self.sink.take(exchange.record(self.session_id))

    def exchange(self, request: h11.Request) -> Exchange:
        method = request.method.decode("ascii")
        if request.method == b"CONNECT":
            target = messages.connect_target(request)
            return Exchange(target=target, method=method, path=None)
        target, path = messages.plain_target(request)
        return Exchange(target=target, method=method, path=path.partition("?")[0])

    async def passed(self, request: h11.Request, exchange: Exchange) -> bool:
        if self.sink.is_full():
            log.error("Egress of %s is held: records have no room.", self.session_id)
            raise Refused(503, NO_ROOM, kind="failed", rule=UNRECORDED)
        tunnel = request.method == b"CONNECT"
        default_port = exchange.target.port if tunnel else 80
        if not messages.host_agrees(request, exchange.target, default_port):
            reason = "the Host header names another host"
            raise Refused(421, reason, kind="refused", rule="host_header")
        verdict = await self.verdict(exchange.target)
        exchange.rule, exchange.reason = verdict.rule, verdict.reason
        far = await self.dialled(exchange.target, verdict)
        try:
            if tunnel:
                await self.tunnelled(far, exchange)
                return False
            return await Forwarding(self.near, far, exchange).run(request)
        finally:
            far.writer.close()

    async def verdict(self, target: Target) -> Verdict:
        policy = self.policy()
        by_name = accepted(judge_name(policy, target))
        try:
            addresses = await self.resolver.addresses(target.host, target.port)
        except Unresolvable as error:
            raise Refused(502, f"{error}", kind="failed", rule="no_address") from error
        return accepted(judge_addresses(policy, target, by_name, addresses))

    async def dialled(self, target: Target, verdict: Verdict) -> Peer:
        try:
            reader, writer = await dial(verdict.addresses, target.port)
        except Unreachable as error:
            raise Refused(504, f"{error}", kind="failed", rule="no_answer") from error
        return Peer(reader=reader, writer=writer)

    async def tunnelled(self, far: Peer, exchange: Exchange) -> None:
        reason = b"Connection established"
        await self.near.send(h11.Response(status_code=200, headers=[], reason=reason))
        self.sink.take(exchange.record(self.session_id, over=False))
        early = self.near.unread()
        far.writer.write(early)
        exchange.traffic.up += len(early)
        await splice(self.near.peer, far, exchange.traffic)

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


class Forwarding:
    """Passes one plain http request and its response, both at once."""

    def __init__(self, near: HttpEnd, far: Peer, exchange: Exchange) -> None:
        self.near = near
        self.far = HttpEnd(far, h11.CLIENT)
        self.traffic = exchange.traffic
        self.idle = asyncio.timeout(IDLE_SECONDS)

    async def run(self, request: h11.Request) -> bool:
        """Pass the exchange; tell whether the sandbox's connection can go on."""
        async with self.idle:
            await self.far.send(onward(request))
            sending = asyncio.create_task(self.send_body())
            try:
                switched = await self.receive()
            finally:
                await ended(sending)
        if switched:
            await self.join()
        near = self.near.http
        return near.our_state is h11.DONE and near.their_state is h11.DONE

    async def send_body(self) -> None:
        """The response may come first, and then this is cancelled."""
        while True:
            event = await self.near.next_event()
            if isinstance(event, h11.Data):
                self.count(up=len(event.data))
            if isinstance(event, h11.ConnectionClosed):
                self.far.peer.writer.transport.abort()
            if isinstance(event, h11.Data | h11.EndOfMessage):
                await self.far.send(event)
            if not isinstance(event, h11.Data):
                return

    async def receive(self) -> bool:
        """Pass the response; tell whether both sides left HTTP."""
        while True:
            event = await self.far.next_event()
            if isinstance(event, h11.InformationalResponse):
                await self.near.send(backward(event))
                if event.status_code == 101:
                    return True
            elif isinstance(event, h11.Response):
                await self.near.send(backward(event))
            elif isinstance(event, h11.Data):
                self.count(down=len(event.data))
                await self.near.send(event)
            elif isinstance(event, h11.EndOfMessage):
                await self.near.send(event)
                return False
            else:
                raise ConnectionResetError("the server left before its answer ended")

    async def join(self) -> None:
        """After 101 the bytes are nobody's business but theirs."""
        far, near = self.far.peer, self.near.peer
        up, down = self.near.unread(), self.far.unread()
        far.writer.write(up)
        near.writer.write(down)
        self.traffic.up += len(up)
        self.traffic.down += len(down)
        await splice(near, far, self.traffic)

    def count(self, *, up: int = 0, down: int = 0) -> None:
        self.traffic.up += up
        self.traffic.down += down
        self.idle.reschedule(asyncio.get_running_loop().time() + IDLE_SECONDS)


async def ended(task: asyncio.Task[None]) -> None:
    """Cancel a task. If it failed, the other direction knows or did not care."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()


def onward(request: h11.Request) -> h11.Request:
    """Return the request as its server should see it."""
    target, path = messages.plain_target(request)
    upgrade = messages.upgrade_of(request.headers)
    headers = messages.forwarded(messages.raw(request), upgrade=upgrade)
    if not any(name.lower() == b"host" for name, _ in headers):
        headers.append((b"Host", str(target).encode()))
    if not upgrade:
        headers.append((b"Connection", b"close"))
    return h11.Request(method=request.method, target=path, headers=headers)


def backward(
    response: h11.Response | h11.InformationalResponse,
) -> h11.Response | h11.InformationalResponse:
    switching = response.status_code == 101
    upgrade = messages.upgrade_of(response.headers) if switching else None
    headers = messages.forwarded(messages.raw(response), upgrade=upgrade)
    return type(response)(
        status_code=response.status_code, headers=headers, reason=response.reason
    )
