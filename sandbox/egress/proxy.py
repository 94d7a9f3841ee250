"""Serves one connection from a sandbox: judge, dial, forward, record."""

from __future__ import annotations

import asyncio
import ssl

import h11

from sandbox.egress import messages, tls
from sandbox.egress.forwarding import Forwarding
from sandbox.egress.policy import Target, Verdict, judge_addresses, judge_name
from sandbox.egress.resolve import Resolver, Unreachable, Unresolvable, dial
from sandbox.egress.serving import Exchange, HttpEnd, Refused, Serving, Way, accepted
from sandbox.egress.splice import Peer, part, splice
from sandbox.egress.terminate import Terminated, Watched, refuse_leaks

MOST_DISTRUSTING = 256


class Proxying(Serving):
    """A connection to the proxy: CONNECT, and plain http."""

    def __init__(
        self, way: Way, near: Peer, *, resolver: Resolver, context: ssl.SSLContext
    ) -> None:
        super().__init__(way, near)
        self.resolver = resolver
        self.context = context
        self.is_handed_over = False

    async def run(self) -> None:
        await super().run()
        if not self.is_handed_over:
            await part(self.near.peer)

    def exchange(self, request: h11.Request) -> Exchange:
        method = request.method.decode("ascii")
        if request.method == b"CONNECT":
            target = messages.connect_target(request)
            return Exchange(target=target, method=method, path=None)
        target, path = messages.plain_target(request)
        return Exchange(target=target, method=method, path=path.partition("?")[0])

    async def passed(self, request: h11.Request, exchange: Exchange) -> bool:
        tunnel = request.method == b"CONNECT"
        target = exchange.target
        if not messages.host_agrees(request, target, target.port if tunnel else 80):
            reason = "the Host header names another host"
            raise Refused(421, reason, kind="refused", rule="host_header")
        verdict = await self.verdict(target)
        exchange.rule, exchange.reason = verdict.rule, verdict.reason
        if not tunnel:
            return await self.forwarded(request, exchange, verdict)
        far = await self.dialled(target, verdict)
        try:
            await self.tunnelled(far, exchange)
        finally:
            far.close()
        return False

    async def verdict(self, target: Target) -> Verdict:
        policy = self.way.policy
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

    async def forwarded(
        self, request: h11.Request, exchange: Exchange, verdict: Verdict
    ) -> bool:
        """Pass a plain http request. No secret is put into one."""
        target, credentials = exchange.target, self.way.credentials
        refuse_leaks(credentials, request, target, encrypted=False)
        far = HttpEnd(await self.dialled(target, verdict), h11.CLIENT)
        passage = Watched(credentials, target, encrypted=False)
        try:
            forwarding = Forwarding(self.near, far, exchange, passage)
            return await forwarding.run(onward(request))
        finally:
            far.peer.close()

    async def tunnelled(self, far: Peer, exchange: Exchange) -> None:
        looks = self.looks_into(exchange.target)
        if looks:  # before the client may speak: its first word is for TLS alone
            transport_of(self.near.peer).pause_reading()
        reason = b"Connection established"
        await self.near.send(h11.Response(status_code=200, headers=[], reason=reason))
        if looks and not self.near.unread() and await tls.speaks_tls(self.near.peer):
            return await self.terminated(far, exchange)
        transport_of(self.near.peer).resume_reading()
        self.way.take(exchange.record(self.way.session_id, over=False))
        early = self.near.unread()
        far.writer.write(early)
        exchange.traffic.up += len(early)
        return await splice(self.near.peer, far, exchange.traffic)

    def looks_into(self, target: Target) -> bool:
        """Tell whether a tunnel's encryption ends here.

        Where the session holds credentials: for the hosts of theirs, to put them in;
        for others, to see placeholders that go astray, unless the client minds.
        """
        credentials = self.way.credentials
        if not credentials or credentials.of(target.host):
            return bool(credentials)
        return target.host not in self.way.distrusting

    async def terminated(self, far: Peer, exchange: Exchange) -> None:
        """Serve what is inside: those requests are recorded in this one's place."""
        self.is_handed_over = True
        target = exchange.target
        context = self.way.authority.server_context(target.host)
        try:
            near = await tls.begin(self.near.peer, context, server_side=True)
        except (OSError, TimeoutError) as error:
            self.distrusted(exchange, error)
            return
        exchange.is_recorded = False
        first = [far]

        async def connected() -> Peer:
            if first:
                return first.pop()
            return await self.dialled(target, await self.verdict(target))

        await Terminated(
            self.way, near, target, dial=connected, context=self.context
        ).run()

    def distrusted(self, exchange: Exchange, error: Exception) -> None:
        if len(self.way.distrusting) >= MOST_DISTRUSTING:
            self.way.distrusting.clear()  # each tells again at its next try
        self.way.distrusting.add(exchange.target.host)
        reason = f"the client ended the handshake: {type(error).__name__}"
        exchange.fail(
            "no_trust", f"{reason}; it may not trust this session's authority"
        )


def transport_of(peer: Peer) -> asyncio.Transport:
    transport = peer.writer.transport
    assert isinstance(transport, asyncio.Transport)
    return transport


def onward(request: h11.Request) -> h11.Request:
    """Return the request as its server should see it."""
    target, path = messages.plain_target(request)
    upgrade = messages.upgrade_of(request.headers)
    headers = messages.forwarded(messages.raw(request), upgrade=upgrade)
    if not upgrade:
        headers.append((b"Connection", b"close"))
    headers = messages.with_host(headers, target)
    return h11.Request(method=request.method, target=path, headers=headers)
