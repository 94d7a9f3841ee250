"""Serves the requests inside a tunnel whose encryption ends at the proxy.

There placeholders become real values for the hosts their credentials are bound to, and
real values in answers become placeholders again.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator

import h11

from sandbox.egress import messages, tls
from sandbox.egress.credentials import Credentials, Scrubber, Swap
from sandbox.egress.forwarding import Forwarding, Head, Passage
from sandbox.egress.messages import Malformed
from sandbox.egress.policy import Target, judge_name
from sandbox.egress.serving import Exchange, HttpEnd, Refused, Serving, Way, accepted
from sandbox.egress.splice import IDLE_SECONDS, Peer

SMALL_BODY = 1024 * 1024
"""What is read whole to be changed; a longer one is changed only where it keeps its
length or is sent in chunks."""

INFLATED = 256 * 1024
EMPTY = frozenset({204, 304})
PLAIN = frozenset({b"", b"identity"})
DEFLATED = frozenset({b"gzip", b"x-gzip", b"deflate"})
ANY_FORMAT = 32 + zlib.MAX_WBITS  # gzip or zlib, by its head
EXTRA_CA = "The site's operator can name its authority in AGENTSITE_EXTRA_CA."

Dial = Callable[[], Awaitable[Peer]]


class Terminated(Serving):
    """One tunnel. The connection to the server is kept from request to request."""

    def __init__(
        self,
        way: Way,
        near: Peer,
        target: Target,
        *,
        dial: Dial,
        context: ssl.SSLContext,
    ) -> None:
        super().__init__(way, near)
        self.target = target
        self.dial = dial
        self.context = context
        self.far: HttpEnd | None = None

    async def run(self) -> None:
        try:
            await super().run()
        finally:
            self.drop_far()
            self.near.peer.close()

    def exchange(self, request: h11.Request) -> Exchange:
        text = request.target.decode("ascii", "replace")
        if not text.startswith("/") and text != "*":
            raise Malformed("Inside a tunnel a request names a path alone.")
        return Exchange(
            target=self.target,
            method=request.method.decode("ascii"),
            path=text.partition("?")[0],
        )

    async def passed(self, request: h11.Request, exchange: Exchange) -> bool:
        if not messages.host_agrees(request, self.target, 443):
            reason = "the Host header names another host"
            raise Refused(421, reason, kind="refused", rule="host_header")
        verdict = accepted(judge_name(self.way.policy, self.target))
        exchange.rule, exchange.reason = verdict.rule, verdict.reason
        refuse_leaks(self.way.credentials, request, self.target, encrypted=True)
        swap = Swap(self.way.credentials.of(self.target.host))
        head = onward(request, self.target, swap)
        exchange.credentials = swap.used
        head, body = await self.with_body(head, swap)
        far = await self.connected()
        passage = Guarded(
            Watched(self.way.credentials, self.target, encrypted=True), swap, head
        )
        goes_on = await Forwarding(self.near, far, exchange, passage).run(head, body)
        self.keep(far)
        return goes_on

    async def with_body(
        self, head: h11.Request, swap: Swap
    ) -> tuple[h11.Request, bytes | None]:
        """Read a small body whole where placeholders in it are to be replaced."""
        length = content_length(head)
        if not swap.changes_bodies or not length or length > SMALL_BODY:
            return head, None
        if self.near.http.they_are_waiting_for_100_continue:
            proceed = h11.InformationalResponse(status_code=100, headers=[])
            await self.near.send(proceed)
        watched = Watched(self.way.credentials, self.target, encrypted=True)
        sent = bytearray()
        async with asyncio.timeout(IDLE_SECONDS):
            while isinstance(event := await self.near.next_event(), h11.Data):
                sent += watched.up(bytes(event.data))
        body = swap.body(bytes(sent))
        dropped = {b"content-length", b"expect"}
        headers = [one for one in messages.raw(head) if one[0].lower() not in dropped]
        headers.append((b"Content-Length", str(len(body)).encode()))
        changed = h11.Request(method=head.method, target=head.target, headers=headers)
        return changed, body

    async def connected(self) -> HttpEnd:
        if self.far and self.far.peer.reader.at_eof():
            self.drop_far()  # the server had enough of waiting
        if self.far is None:
            self.far = HttpEnd(await self.encrypted(), h11.CLIENT)
        return self.far

    async def encrypted(self) -> Peer:
        peer = await self.dial()
        host = self.target.host
        try:
            return await tls.begin(peer, self.context, server_side=False, host=host)
        except ssl.SSLCertVerificationError as error:
            reason = f"the certificate of {host} is not trusted: {error.verify_message}"
            raise Refused(
                502, reason, kind="failed", rule="certificate", advice=EXTRA_CA
            ) from error
        except (OSError, TimeoutError) as error:
            peer.close()
            reason = f"{self.target} does not begin to speak TLS"
            raise Refused(502, reason, kind="failed", rule="no_answer") from error

    def keep(self, far: HttpEnd) -> None:
        if far.is_done:
            far.http.start_next_cycle()
        else:
            self.drop_far()

    def drop_far(self) -> None:
        if self.far:
            self.far.peer.close()
            self.far = None


class Watched(Passage):
    """Lets no placeholder leave in a body for a host it is not bound to."""

    def __init__(
        self, credentials: Credentials, target: Target, *, encrypted: bool
    ) -> None:
        self._credentials = credentials
        self._target = target
        self._encrypted = encrypted
        longest = max((len(one.placeholder) for one in credentials.all()), default=1)
        self._keep = longest - 1
        self._tail = b""

    def up(self, data: bytes) -> bytes:
        seen = self._tail + data
        host, encrypted = self._target.host, self._encrypted
        if found := self._credentials.leak(host, seen, encrypted=encrypted):
            raise leaked(found.reason(host, encrypted=encrypted))
        self._tail = seen[-self._keep :] if self._keep else b""
        return data


class Guarded(Passage):
    """Puts secrets into the request's body, and takes them out of the response."""

    def __init__(self, watched: Watched, swap: Swap, head: h11.Request) -> None:
        self._watched = watched
        self._scrubber = swap.scrubber()
        self._swap = swap
        self._filling = Scrubber(filled(swap, head))
        self._method = head.method
        self._inflating: Inflating | None = None

    def up(self, data: bytes) -> bytes:
        passed = self._filling.feed(self._watched.up(data))
        self._swap.note(self._filling.found)
        return passed

    def up_ended(self) -> bytes:
        return self._filling.flush()

    def head(self, response: Head) -> Head:
        headers = [
            (self._scrubber.whole(name), self._scrubber.whole(value))
            for name, value in messages.raw(response)
        ]
        if not self._scrubber.is_idle and self._has_body(response):
            headers = self._decoded(headers)
        reason = self._scrubber.whole(bytes(response.reason))
        return type(response)(
            status_code=response.status_code, headers=headers, reason=reason
        )

    def down(self, data: bytes) -> Iterable[bytes]:
        pieces = self._inflating.feed(data) if self._inflating else [data]
        for piece in pieces:
            yield self._scrubber.feed(piece)

    def down_ended(self) -> bytes:
        return self._scrubber.flush()

    def _has_body(self, response: Head) -> bool:
        status = response.status_code
        return self._method != b"HEAD" and status >= 200 and status not in EMPTY

    def _decoded(self, headers: messages.Headers) -> messages.Headers:
        """A secret is found only in what is not compressed."""
        named = [
            value for name, value in headers if name.lower() == b"content-encoding"
        ]
        encoding = b",".join(named).strip().lower()
        if encoding in PLAIN:
            return headers
        if encoding not in DEFLATED:
            said = encoding.decode("ascii", "replace")[:40]
            reason = f"its answer is encoded as {said}, in which no secret is found"
            raise Refused(502, reason, kind="failed", rule="encoding")
        self._inflating = Inflating()
        # Without a length h11 says itself where the body ends.
        dropped = {b"content-encoding", b"content-length", b"transfer-encoding"}
        return [one for one in headers if one[0].lower() not in dropped]


class Inflating:
    """Undoes gzip and deflate piece by piece, whatever it grows to."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(ANY_FORMAT)

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            try:
                yield self._inflate.decompress(data, INFLATED)
            except zlib.error as error:
                raise ConnectionResetError("its answer cannot be inflated") from error
            data = self._inflate.unconsumed_tail
            if self._inflate.eof:  # gzip may have several members
                data = self._inflate.unused_data
                self._inflate = zlib.decompressobj(ANY_FORMAT)


def onward(request: h11.Request, target: Target, swap: Swap) -> h11.Request:
    """Return the request as its server should see it, secrets put in."""
    upgrade = messages.upgrade_of(request.headers)
    headers = swap.headers(messages.forwarded(messages.raw(request), upgrade=upgrade))
    if not swap.scrubber().is_idle:
        headers = without(headers, b"accept-encoding")
        headers.append((b"Accept-Encoding", b"identity"))
    if swap.used:  # pieces of an answer would be pieces of a secret
        headers = without(headers, b"range", b"if-range")
    headers = messages.with_host(headers, target)
    return h11.Request(method=request.method, target=request.target, headers=headers)


def without(headers: messages.Headers, *names: bytes) -> messages.Headers:
    return [one for one in headers if one[0].lower() not in names]


def filled(swap: Swap, head: h11.Request) -> dict[bytes, bytes]:
    """Return what is replaced in a body that is passed on piece by piece."""
    values = swap.placeholders()
    if content_length(head) is None:
        return values
    same = all(len(placeholder) == len(real) for placeholder, real in values.items())
    return values if same else {}


def content_length(request: h11.Request) -> int | None:
    return next(
        (int(value) for name, value in request.headers if name == b"content-length"),
        None,
    )


def refuse_leaks(
    credentials: Credentials, request: h11.Request, target: Target, *, encrypted: bool
) -> None:
    """Refuse a head with a placeholder that must not leave for its host."""
    found = credentials.leak(
        target.host, bytes(request.target), encrypted=encrypted
    ) or credentials.leak_in(target.host, messages.raw(request), encrypted=encrypted)
    if found:
        raise leaked(found.reason(target.host, encrypted=encrypted))


def leaked(reason: str) -> Refused:
    advice = (
        "Use it for the hosts it is bound to, or ask for a credential of this host."
    )
    return Refused(403, reason, kind="refused", rule="placeholder", advice=advice)
