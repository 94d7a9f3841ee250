"""Secrets are put in outside the sandbox, for their hosts alone, and come back never."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

import h11
import pytest
import pytest_asyncio

from sandbox.egress import certificates, resolve, tls
from sandbox.egress.certificates import Authority, new_seal_key
from sandbox.egress.client import EgressClient
from sandbox.egress.credentials import Scrubber, from_json, new_placeholder, overlap
from sandbox.egress.paths import EgressPaths
from sandbox.egress.records import Record
from sandbox.egress.server import EgressServer
from sandbox.egress.splice import Peer
from sandbox.errors import EgressUnavailable
from sandbox.spec import BoundCredential, NetworkPolicy
from tests.sandbox.certificates import self_signed, server_context
from tests.sandbox.places import until

GIT, API, OTHER = "git.example", "api.git.example", "other.example"
SECRET = "ghp_Rea1/Secret+Value=0123456789abcdef"
HELD = new_placeholder(SECRET)
TOKEN = BoundCredential(
    name="git token", placeholder=HELD, value=SECRET, hosts=(GIT, API)
)

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Answer = Callable[[h11.Request, bytes], tuple[list[tuple[str, str]], list[bytes]]]


@dataclass
class Upstream:
    """A TLS server that keeps what it was sent and answers as it is told."""

    port: int = 0
    seen: list[tuple[h11.Request, bytes]] = field(default_factory=list)
    answer: Answer = field(default=lambda request, body: ([], [b"ok"]))
    connections: int = 0

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.connections += 1
        http = h11.Connection(h11.SERVER)
        try:
            while request := await self._request(http, reader):
                head, body = request
                self.seen.append(request)
                headers, pieces = self.answer(head, body)
                framing = [] if framed(headers) else [("Transfer-Encoding", "chunked")]
                response = h11.Response(status_code=200, headers=[*headers, *framing])
                writer.write(http.send(response))
                for piece in pieces:
                    writer.write(http.send(h11.Data(data=piece)))
                    await writer.drain()
                    await asyncio.sleep(0.01)  # so that each is a piece of its own
                writer.write(http.send(h11.EndOfMessage()))
                http.start_next_cycle()
        except (OSError, h11.ProtocolError):
            pass
        finally:
            writer.close()

    async def _request(
        self, http: h11.Connection, reader: asyncio.StreamReader
    ) -> tuple[h11.Request, bytes] | None:
        head, body = None, b""
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(await reader.read(65536))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert head
                return head, body
            else:
                return None

    def header(self, name: str) -> str | None:
        headers = dict(self.seen[-1][0].headers)
        value = headers.get(name.encode())
        return value.decode() if value is not None else None


def framed(headers: list[tuple[str, str]]) -> bool:
    return any(name.lower() == "content-length" for name, _ in headers)


@dataclass
class Sandboxed:
    """A client in the sandbox's place: it has the proxy's socket and the authority."""

    runtime_dir: Path
    client: EgressClient
    upstream: Upstream
    records: list[Record]
    authority: str = ""

    async def open(self, *credentials: BoundCredential) -> None:
        private = tuple(f"{host}:{self.upstream.port}" for host in (GIT, API, OTHER))
        policy = NetworkPolicy(private_hosts=private)
        self.authority = await self.client.open("sesn_1", policy, credentials)

    async def recorded(self, count: int) -> None:
        """Wait for records: a client may have its answer a moment before."""

        async def are_there() -> bool:
            return len(self.records) >= count

        await until(are_there)

    async def tunnel(self, host: str, *, trusts: bool = True) -> Peer:
        path = EgressPaths(runtime_dir=self.runtime_dir).socket("sesn_1")
        reader, writer = await asyncio.open_unix_connection(path)
        target = f"{host}:{self.upstream.port}"
        writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        context = ssl.create_default_context()
        if trusts:
            context.load_verify_locations(cadata=self.authority)
        peer = Peer(reader=reader, writer=writer)
        try:
            return await tls.begin(peer, context, server_side=False, host=host)
        except OSError:
            peer.close()
            raise

    async def ask(
        self,
        host: str,
        *headers: tuple[str, str],
        path: str = "/",
        method: str = "GET",
        body: bytes | None = None,
        chunks: list[bytes] | None = None,
        on: Peer | None = None,
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        """Send a request through a tunnel; status, headers and whole body."""
        peer = on or await self.tunnel(host)
        http = h11.Connection(h11.CLIENT)
        framing = [("Host", f"{host}:{self.upstream.port}")]
        if body is not None:
            framing.append(("Content-Length", str(len(body))))
        if chunks is not None:
            framing.append(("Transfer-Encoding", "chunked"))
        head = h11.Request(method=method, target=path, headers=[*framing, *headers])
        sent = http.send(head)
        for piece in [body] if body is not None else chunks or ():
            sent += http.send(h11.Data(data=piece)) or b""
        peer.writer.write((sent or b"") + (http.send(h11.EndOfMessage()) or b""))
        try:
            return await answer_of(http, peer)
        finally:
            if on is None:
                peer.close()


async def answer_of(
    http: h11.Connection, peer: Peer
) -> tuple[int, dict[bytes, bytes], bytes]:
    status, headers, body = 0, {}, b""
    async with asyncio.timeout(20):
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(await peer.reader.read(65536))
            elif isinstance(event, h11.Response):
                status, headers = event.status_code, dict(event.headers)
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return status, headers, body


@dataclass
class Kept:
    records: list[Record] = field(default_factory=list)

    def take(self, record: Record) -> None:
        self.records.append(record)

    def is_full(self) -> bool:
        return False


@asynccontextmanager
async def running(
    runtime_dir: Path, sink: Kept, extra_ca: Path | None, seal_key: str | None = None
) -> AsyncIterator[EgressClient]:
    server = EgressServer(
        EgressPaths(runtime_dir=runtime_dir),
        sink,
        extra_ca=extra_ca,
        seal_key=seal_key,
    )
    task = asyncio.create_task(server.run())
    client = EgressClient(runtime_dir=runtime_dir)

    async def answers() -> bool:
        try:
            await client.check()
        except EgressUnavailable:
            return False
        return True

    await until(answers)
    try:
        yield client
    finally:
        task.cancel()
        await asyncio.wait({task})


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return self_signed(tmp_path, GIT, API, OTHER)


@pytest_asyncio.fixture
async def upstream(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Upstream]:
    monkeypatch.setattr(resolve, "look_up", lambda *_: ("127.0.0.1",))
    served = Upstream()
    listening = await asyncio.start_server(
        served.serve, "127.0.0.1", ssl=server_context(certificate)
    )
    served.port = listening.sockets[0].getsockname()[1]
    yield served
    listening.close()


@pytest_asyncio.fixture
async def box(
    runtime_dir: Path, certificate: Path, upstream: Upstream
) -> AsyncIterator[Sandboxed]:
    sink = Kept()
    async with running(runtime_dir, sink, certificate) as client:
        sandboxed = Sandboxed(runtime_dir, client, upstream, sink.records)
        await sandboxed.open(TOKEN)
        yield sandboxed
        await client.close("sesn_1")


async def test_a_header_leaves_with_the_real_value(
    box: Sandboxed, upstream: Upstream
) -> None:
    status, _, body = await box.ask(GIT, ("Authorization", f"Bearer {HELD}"))
    assert (status, body) == (200, b"ok")
    assert upstream.header("authorization") == f"Bearer {SECRET}"


async def test_basic_leaves_with_the_real_value_inside(
    box: Sandboxed, upstream: Upstream
) -> None:
    held = base64.b64encode(f"x-access-token:{HELD}".encode()).decode()
    await box.ask(GIT, ("Authorization", f"Basic {held}"))
    sent = upstream.header("authorization") or ""
    assert base64.b64decode(sent.removeprefix("Basic ")).decode() == (
        f"x-access-token:{SECRET}"
    )


async def test_a_request_is_recorded_with_its_path_and_credential(
    box: Sandboxed,
) -> None:
    await box.ask(
        GIT, ("X-Api-Key", HELD), path="/repos/a?q=1", method="POST", body=b"x"
    )
    await box.recorded(1)
    [record] = box.records
    assert (record.method, record.path, record.host) == ("POST", "/repos/a", GIT)
    assert record.credentials == ("git token",)
    assert SECRET not in json.dumps(asdict(record))


@pytest.mark.parametrize(
    "how", ["plain", "basic", "escaped", "chunked", "gzip", "deflate"]
)
async def test_a_server_that_repeats_it_does_not_bring_it_back(
    box: Sandboxed, upstream: Upstream, how: str
) -> None:
    def answer(
        request: h11.Request, body: bytes
    ) -> tuple[list[tuple[str, str]], list[bytes]]:
        sent = dict(request.headers)[b"authorization"]
        said = json.dumps({"authorization": sent.decode()}).encode()
        headers = [("X-Echo", sent.decode())]
        if how == "escaped":
            said = b"a=ghp_Rea1%2FSecret%2BValue%3D0123456789abcdef&b"
        if how == "gzip":
            packed = gzip.compress(said * 50) + gzip.compress(said)
            return [*headers, ("Content-Encoding", "gzip")], cut(packed, 7)
        if how == "deflate":
            return [*headers, ("Content-Encoding", "deflate")], [zlib.compress(said)]
        if how == "chunked":
            return headers, cut(said, 1)
        return [*headers, ("Content-Length", str(len(said)))], [said]

    upstream.answer = answer
    value = f"Bearer {HELD}"
    if how == "basic":
        value = "Basic " + base64.b64encode(f"u:{HELD}".encode()).decode()
    status, headers, body = await box.ask(GIT, ("Authorization", value))
    assert status == 200
    whole = body + b"".join(headers.values())
    for secret in (SECRET, base64.b64encode(f"u:{SECRET}".encode()).decode()):
        assert secret.encode() not in whole
    assert b"%2FSecret" not in whole
    if how != "escaped":
        assert value.encode() in whole
    assert b"content-encoding" not in headers


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


async def test_an_answer_that_cannot_be_read_does_not_pass(
    box: Sandboxed, upstream: Upstream
) -> None:
    upstream.answer = lambda *_: ([("Content-Encoding", "br")], [b"?"])
    status, _, body = await box.ask(GIT, ("Authorization", HELD))
    assert (status, b"encoded as br" in body) == (502, True)


async def test_a_name_of_a_header_does_not_bring_it_back(
    box: Sandboxed, certificate: Path
) -> None:
    value = "sk-in-the-name-of-a-header"
    token = BoundCredential(**{**asdict(TOKEN), "value": value})

    async def naming(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\n{value}: 1\r\nContent-Length: 0\r\n\r\n"
        writer.write(head.encode())

    async with served(box, naming, certificate):
        await box.open(token)
        status, headers, _ = await box.ask(GIT, ("Authorization", HELD))
    assert status == 200
    assert HELD[: len(value)].lower().encode() in headers
    assert value.encode() not in headers


@pytest.mark.parametrize("answer", ["HTTP/1.1 200 OK\r\nX-Echo : {}", "{} OK"])
async def test_a_malformed_answer_does_not_bring_it_back(
    box: Sandboxed, certificate: Path, answer: str
) -> None:
    async def odd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert SECRET in head
        writer.write(answer.format(SECRET).encode() + b"\r\n\r\n")

    async with served(box, odd, certificate):
        status, _, body = await box.ask(GIT, ("Authorization", HELD))
    assert (status, b"its answer is malformed" in body) == (502, True)
    assert SECRET.encode() not in body
    [record] = box.records
    assert (record.verdict, record.rule) == ("failed", "broken_off")
    assert SECRET not in record.reason


async def test_a_websocket_to_a_host_of_a_credential_ends_whole(
    box: Sandboxed, certificate: Path
) -> None:
    async def switching(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        reply = "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket"
        # What it ends with may be how a secret begins, and waits for more.
        writer.write(f"{reply}\r\n\r\nit is {SECRET}, or {SECRET[:6]}".encode())
        writer.close()

    async with served(box, switching, certificate):
        peer = await box.tunnel(GIT)
        head = f"GET / HTTP/1.1\r\nHost: {GIT}:{box.upstream.port}\r\n"
        asked = "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        peer.writer.write((head + asked).encode())
        assert b"101" in await peer.reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(20):
            said = await peer.reader.read(-1)
        assert said == f"it is {HELD}, or {SECRET[:6]}".encode()
        peer.close()


@asynccontextmanager
async def served(
    box: Sandboxed, handler: Handler, certificate: Path
) -> AsyncIterator[None]:
    """Have somebody else answer behind TLS."""
    context = server_context(certificate)
    listening = await asyncio.start_server(handler, "127.0.0.1", ssl=context)
    box.upstream.port = listening.sockets[0].getsockname()[1]
    await box.open(TOKEN)
    try:
        yield
    finally:
        listening.close()


async def test_pieces_of_an_answer_are_not_asked_for(
    box: Sandboxed, upstream: Upstream
) -> None:
    await box.ask(GIT, ("Authorization", HELD), ("Range", "bytes=0-5"))
    assert upstream.header("range") is None
    assert upstream.header("accept-encoding") == "identity"
    await box.ask(OTHER, ("Range", "bytes=0-5"), ("Accept-Encoding", "br"))
    assert upstream.header("range") == "bytes=0-5"
    assert upstream.header("accept-encoding") == "br"


@pytest.mark.parametrize("where", ["header", "name", "basic", "path", "body", "chunks"])
async def test_a_placeholder_for_another_host_is_held_back(
    box: Sandboxed, upstream: Upstream, where: str
) -> None:
    basic = "Basic " + base64.b64encode(f"u:{HELD}".encode()).decode()
    sent = {
        "header": {"headers": [("X-Token", HELD)]},
        "name": {"headers": [(HELD, "x")]},
        "basic": {"headers": [("Authorization", basic)]},
        "path": {"path": f"/?token={HELD}"},
        "body": {"method": "POST", "body": f"a={HELD}".encode()},
        "chunks": {"method": "POST", "chunks": cut(f"a={HELD}".encode(), 5)},
    }[where]
    status, _, body = await box.ask(OTHER, *sent.pop("headers", ()), **sent)
    assert status == 403
    assert f"credential git token was about to leave for {OTHER}".encode() in body
    assert f"bound to {GIT}, {API}".encode() in body
    [record] = box.records
    assert (record.verdict, record.rule) == ("refused", "placeholder")
    assert all(HELD.encode() not in body for _, body in upstream.seen)


async def test_a_placeholder_does_not_leave_behind_a_body(
    box: Sandboxed, certificate: Path
) -> None:
    seen = asyncio.Queue[bytes]()

    async def keeping(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        seen.put_nowait(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with served(box, keeping, certificate):
        peer = await box.tunnel(OTHER)
        head = f"POST / HTTP/1.1\r\nHost: {OTHER}:{box.upstream.port}\r\n"
        chunked = "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"
        peer.writer.write(f"{head}{chunked}X-Trailer: {HELD}\r\n\r\n".encode())
        assert b" 200 " in await peer.reader.readline()
        peer.close()
    assert HELD.encode() not in await seen.get()


async def test_a_placeholder_leaves_unencrypted_for_nobody(box: Sandboxed) -> None:
    path = EgressPaths(runtime_dir=box.runtime_dir).socket("sesn_1")
    reader, writer = await asyncio.open_unix_connection(path)
    target = f"{GIT}:{box.upstream.port}"
    head = f"GET http://{target}/ HTTP/1.0\r\nHost: {target}\r\nX: {HELD}\r\n\r\n"
    writer.write(head.encode())
    answer = (await reader.read()).decode()
    writer.close()
    assert answer.startswith("HTTP/1.1 403 ")
    assert "unencrypted" in answer
    assert f"bound to {GIT}, {API}" in answer


async def test_a_body_is_changed_only_where_the_credential_says_so(
    box: Sandboxed, upstream: Upstream
) -> None:
    body = f"token={HELD}&x=1".encode()
    await box.ask(GIT, method="POST", body=body)
    assert upstream.seen[-1][1] == body
    in_body = {**asdict(TOKEN), "in_body": True, "in_headers": False}
    await box.open(BoundCredential(**{**in_body, "hosts": (GIT,)}))
    for number, sent in enumerate(({"body": body}, {"chunks": cut(body, 3)}), 2):
        await box.ask(GIT, ("X-Token", HELD), method="POST", **sent)
        assert upstream.seen[-1][1] == f"token={SECRET}&x=1".encode()
        assert upstream.header("x-token") == HELD
        await box.recorded(number)
        assert box.records[-1].credentials == ("git token",)


async def test_a_rotated_token_is_used_at_once(
    box: Sandboxed, upstream: Upstream
) -> None:
    peer = await box.tunnel(GIT)
    await box.ask(GIT, ("Authorization", HELD), on=peer)
    newer = {**asdict(TOKEN), "value": "ghp_newer_and_shorter", "hosts": (GIT,)}
    await box.client.renew_credentials("sesn_1", [BoundCredential(**newer)])
    upstream.answer = lambda request, body: (
        [],
        [dict(request.headers)[b"authorization"]],
    )
    _, _, body = await box.ask(GIT, ("Authorization", HELD), on=peer)
    assert upstream.header("authorization") == "ghp_newer_and_shorter"
    assert b"newer" not in body
    peer.close()


async def test_one_connection_serves_many_requests_on_both_sides(
    box: Sandboxed, upstream: Upstream
) -> None:
    peer = await box.tunnel(GIT)
    for _ in range(3):
        status, _, _ = await box.ask(GIT, ("Authorization", HELD), on=peer)
        assert status == 200
    assert upstream.connections == 1
    peer.close()


async def test_a_host_header_inside_names_the_tunnel_s_host(box: Sandboxed) -> None:
    peer = await box.tunnel(GIT)
    peer.writer.write(b"GET / HTTP/1.1\r\nHost: other.example\r\n\r\n")
    assert b" 421 " in await peer.reader.readline()
    peer.close()


async def test_a_client_of_http_1_0_names_no_host_and_is_served(
    box: Sandboxed, upstream: Upstream
) -> None:
    peer = await box.tunnel(GIT)
    peer.writer.write(f"GET / HTTP/1.0\r\nX-Token: {HELD}\r\n\r\n".encode())
    assert b" 200 " in await peer.reader.readline()
    assert upstream.header("x-token") == SECRET
    assert upstream.header("host") == f"{GIT}:{upstream.port}"
    peer.close()


async def test_without_credentials_nothing_is_looked_into(
    box: Sandboxed, upstream: Upstream, certificate: Path
) -> None:
    await box.open()
    with pytest.raises(ssl.SSLCertVerificationError):
        await box.tunnel(GIT)  # the server's own certificate, not of the session's
    box.authority = certificate.read_text()
    status, _, _ = await box.ask(GIT, ("Authorization", HELD))
    assert (status, upstream.header("authorization")) == (200, HELD)


async def test_a_client_that_minds_reaches_other_hosts_at_its_second_try(
    box: Sandboxed, certificate: Path
) -> None:
    session_authority, box.authority = box.authority, certificate.read_text()
    with pytest.raises(ssl.SSLCertVerificationError):
        await box.tunnel(OTHER)

    async def recorded() -> bool:
        return [one.rule for one in box.records] == ["no_trust"]

    await until(recorded)
    status, _, _ = await box.ask(OTHER)
    assert status == 200
    for _ in range(2):
        with pytest.raises(ssl.SSLCertVerificationError):
            await box.tunnel(GIT)  # its own hosts stay looked into
    assert session_authority != box.authority


def test_a_session_that_names_hosts_without_end_is_kept_small(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(certificates, "MOST_LEAVES", 2)
    authority = Authority.make("sesn_1")
    first, second, _ = (authority.server_context(f"{one}.example") for one in "abc")
    assert authority.server_context("b.example") is second
    assert authority.server_context("a.example") is not first


async def test_what_is_no_tls_passes_as_it_is(box: Sandboxed) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(5))
        writer.close()

    listening = await asyncio.start_server(echo, "127.0.0.1")
    port = listening.sockets[0].getsockname()[1]
    policy = NetworkPolicy(private_hosts=(GIT,))
    await box.client.renew("sesn_1", policy)
    path = EgressPaths(runtime_dir=box.runtime_dir).socket("sesn_1")
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(f"CONNECT {GIT}:{port} HTTP/1.0\r\n\r\n".encode())
    assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    writer.close()
    listening.close()


async def test_a_server_that_is_not_trusted_gets_no_secret(
    runtime_dir: Path, upstream: Upstream
) -> None:
    sink = Kept()
    async with running(runtime_dir, sink, None) as client:
        box = Sandboxed(runtime_dir, client, upstream, sink.records)
        await box.open(TOKEN)
        status, _, body = await box.ask(GIT, ("Authorization", HELD))
        await client.close("sesn_1")
    assert (status, b"AGENTSITE_EXTRA_CA" in body) == (502, True)
    assert upstream.seen == []


@pytest.mark.parametrize(("key", "kept"), [("same", True), ("another", False)])
async def test_a_proxy_that_is_started_again_knows_its_secrets_or_none(
    runtime_dir: Path, certificate: Path, upstream: Upstream, key: str, kept: bool
) -> None:
    first = new_seal_key()
    async with running(runtime_dir, Kept(), certificate, first) as client:
        box = Sandboxed(runtime_dir, client, upstream, [])
        await box.open(TOKEN)
        authority = box.authority
    stored = "".join(path.read_text() for path in (runtime_dir / "policies").iterdir())
    assert SECRET not in stored
    assert "PRIVATE KEY" not in stored
    second = first if key == "same" else new_seal_key()
    async with running(runtime_dir, Kept(), certificate, second) as client:
        box.client = client
        if kept:
            await box.ask(GIT, ("Authorization", HELD))
            assert upstream.header("authorization") == SECRET
        await box.open(TOKEN)
        assert (box.authority == authority) is kept
        await client.close("sesn_1")


def test_a_host_of_a_credential_is_kept_in_its_plain_form() -> None:
    [token] = from_json([{**asdict(TOKEN), "hosts": ["API.Git.Example."]}])
    assert token.hosts == (API,)


@pytest.mark.parametrize(
    ("field", "value"),
    [("value", "with\nnewline"), ("value", "short"), ("hosts", ["https://a"])],
)
def test_a_credential_that_cannot_be_kept_is_refused_without_saying_it(
    field: str, value: object
) -> None:
    fields = {**asdict(TOKEN), "value": "a-secret-nobody-tells", field: value}
    with pytest.raises(ValueError, match=r"git token|without a scheme") as refused:
        from_json([fields])
    assert "a-secret" not in str(refused.value)
    assert "newline" not in str(refused.value)


def test_a_secret_is_not_in_what_is_printed_of_it() -> None:
    assert SECRET not in repr(TOKEN)


@pytest.mark.parametrize(
    ("value", "prefix"),
    [
        ("ghp_" + "a" * 36, "ghp_"),
        ("sk-ant-api03-" + "b" * 40, "sk-ant-"),
        ("plain", ""),
    ],
)
def test_a_placeholder_has_the_shape_of_its_secret(value: str, prefix: str) -> None:
    held = new_placeholder(value)
    assert held.startswith(prefix)
    assert len(held) >= max(len(value), 24)
    assert held != new_placeholder(value)
    assert len(new_placeholder("x" * 40)) == 40


@pytest.mark.parametrize("seed", range(10))
def test_a_scrubbed_stream_never_has_the_secret_wherever_it_is_cut(seed: int) -> None:
    random = Random(seed)
    secrets = (b"abcabcabd", b"bcab", b"zz")
    masks = {secret: b"#" * len(secret) for secret in secrets}
    for _ in range(300):
        text = b"".join(
            random.choice((*secrets, b"a", b"abc", b"z", b"ab"))
            for _ in range(random.randint(0, 12))
        )
        scrubber, passed, at = Scrubber(masks), b"", 0
        while at < len(text):
            size = random.randint(1, 5)
            passed += scrubber.feed(text[at : at + size])
            at += size
        passed += scrubber.flush()
        assert len(passed) == len(text)
        assert not any(secret in passed for secret in secrets)


def test_only_what_may_be_a_beginning_waits() -> None:
    assert overlap(b"xxab", b"abc") == 2
    assert overlap(b"xxabc", b"abc") == 0
    assert overlap(b"", b"abc") == 0
