"""The egress proxy over real sockets on loopback, which private_hosts allows."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from sandbox.egress import records, resolve, server
from sandbox.egress.client import EgressClient
from sandbox.egress.paths import EgressPaths
from sandbox.egress.records import Record, Spool, closed_files, read
from sandbox.egress.server import EgressServer
from sandbox.errors import EgressUnavailable
from sandbox.spec import AllowedHost, NetworkPolicy
from tests.sandbox.places import until

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Kept:
    """A sink that keeps records."""

    records: list[Record] = field(default_factory=list)
    full: bool = False

    def take(self, record: Record) -> None:
        self.records.append(record)

    def is_full(self) -> bool:
        return self.full


@dataclass
class Egress:
    """A running proxy with one session, sesn_1."""

    client: EgressClient
    sink: Kept
    runtime_dir: Path

    async def allow(self, port: int) -> None:
        policy = NetworkPolicy(private_hosts=(f"127.0.0.1:{port}",))
        await self.client.open("sesn_1", policy)

    async def send(self, data: bytes, session_id: str = "sesn_1") -> Streams:
        path = EgressPaths(runtime_dir=self.runtime_dir).socket(session_id)
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(data)
        return reader, writer

    async def whole(self, data: bytes, session_id: str = "sesn_1") -> bytes:
        """Send a request and return everything until the end."""
        reader, writer = await self.send(data, session_id)
        async with asyncio.timeout(20):
            answer = await reader.read()
        writer.close()
        return answer


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def proxy(runtime_dir: Path) -> AsyncIterator[Egress]:
    sink = Kept()
    running = asyncio.create_task(
        EgressServer(EgressPaths(runtime_dir=runtime_dir), sink).run()
    )
    client = EgressClient(runtime_dir=runtime_dir)
    await until(lambda: answers(client))
    try:
        yield Egress(client, sink, runtime_dir)
    finally:
        running.cancel()
        await asyncio.wait({running})


async def answers(client: EgressClient) -> bool:
    try:
        await client.check()
    except EgressUnavailable:
        return False
    return True


@pytest_asyncio.fixture
async def egress(runtime_dir: Path) -> AsyncIterator[Egress]:
    async with proxy(runtime_dir) as running:
        await running.client.open("sesn_1", NetworkPolicy())
        yield running
        await running.client.close("sesn_1")


@asynccontextmanager
async def upstream(handler: Handler) -> AsyncIterator[int]:
    """A server on loopback; its port."""

    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1")
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()


async def echo_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer with the head of the request as it arrived, and its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.splitlines() if b"ength:" in line), 0
    )
    body = head + await reader.readexactly(length)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()


async def echo_bytes(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    while data := await reader.read(1000):
        writer.write(data)
        await writer.drain()


def get(port: int, *headers: str, path: str = "/") -> bytes:
    lines = [f"GET http://127.0.0.1:{port}{path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode()


async def test_a_plain_request_is_forwarded_without_what_is_the_proxys(
    egress: Egress,
) -> None:
    async with upstream(echo_request) as port:
        await egress.allow(port)
        secret = ("Proxy-Authorization: Basic x", "X-Case: Kept", "Connection: close")
        answer = await egress.whole(get(port, *secret, path="/a?b=c"))
    assert b"GET /a?b=c HTTP/1.1\r\n" in answer
    assert b"X-Case: Kept" in answer
    assert b"Proxy-Authorization" not in answer


async def test_a_connection_serves_several_requests(egress: Egress) -> None:
    async with upstream(echo_request) as port:
        await egress.allow(port)
        reader, writer = await egress.send(get(port, path="/first"))
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"200 OK" in head
        assert b"GET /first" in await reader.readuntil(b"\r\n\r\n")
        writer.write(get(port, "Connection: close", path="/second"))
        assert b"GET /second" in await reader.read()
        writer.close()


async def test_a_body_is_streamed_both_ways(egress: Egress) -> None:
    async def streaming(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        size = int(await reader.readline(), 16)
        data = await reader.readexactly(size)
        writer.write(b"%x\r\n%s\r\n" % (size, data))
        await reader.readuntil(b"0\r\n\r\n")
        writer.write(b"0\r\n\r\n")

    async with upstream(streaming) as port:
        await egress.allow(port)
        head = get(port, "Transfer-Encoding: chunked").replace(b"GET", b"POST")
        reader, writer = await egress.send(head + b"3\r\nabc\r\n")
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        assert await reader.readuntil(b"abc\r\n") == b"3\r\nabc\r\n"
        writer.write(b"0\r\n\r\n")
        assert await reader.readuntil(b"0\r\n\r\n")
        writer.close()


async def test_of_two_lengths_only_one_goes_on(egress: Egress) -> None:
    seen = asyncio.Queue[bytes]()

    async def keeping(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        seen.put_nowait(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with upstream(keeping) as port:
        await egress.allow(port)
        both = ("Content-Length: 4", "Transfer-Encoding: chunked", "Connection: close")
        body = b"23\r\nGET /smuggled HTTP/1.1\r\nHost: b\r\n\r\n0\r\n\r\n"
        await egress.whole(get(port, *both) + body)
    head = (await seen.get()).lower()
    assert b"transfer-encoding: chunked" in head
    assert b"content-length" not in head


async def test_a_client_that_expects_100_waits_for_the_server(egress: Egress) -> None:
    async def careful(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await reader.readexactly(4)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" + body)

    async with upstream(careful) as port:
        await egress.allow(port)
        wanted = ("Expect: 100-continue", "Content-Length: 4", "Connection: close")
        head = get(port, *wanted).replace(b"GET", b"PUT")
        reader, writer = await egress.send(head)
        assert b"100" in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"body")
        assert (await reader.read()).endswith(b"body")
        writer.close()


async def test_an_early_refusal_of_a_body_reaches_the_client(egress: Egress) -> None:
    async def refusing(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")

    async with upstream(refusing) as port:
        await egress.allow(port)
        head = get(port, "Content-Length: 1000000").replace(b"GET", b"PUT")
        assert b"413 Too Large" in await egress.whole(head)


async def test_a_websocket_is_joined(egress: Egress) -> None:
    async def switching(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Upgrade: websocket" in head
        reply = b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket"
        writer.write(reply + b"\r\n\r\nfirst")
        await echo_bytes(reader, writer)

    async with upstream(switching) as port:
        await egress.allow(port)
        asked = ("Connection: Upgrade", "Upgrade: websocket")
        reader, writer = await egress.send(get(port, *asked))
        assert b"101" in await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(5) == b"first"
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"ping"
        writer.close()


async def test_connect_joins_the_two_ends(egress: Egress) -> None:
    async with upstream(echo_bytes) as port:
        await egress.allow(port)
        request = f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
        reader, writer = await egress.send(request.encode() + b"early")
        assert b"200 Connection established" in await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(5) == b"early"
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await until(lambda: counted(egress.sink, 2))
    record = egress.sink.records[-1]
    assert (record.method, record.verdict) == ("CONNECT", "allowed")
    assert (record.bytes_up, record.bytes_down) == (5, 5)
    assert record.session_id == "sesn_1"


async def counted(sink: Kept, count: int = 1) -> bool:
    return len(sink.records) >= count


@pytest.mark.parametrize(
    ("request_line", "rule"),
    [
        ("GET http://127.0.0.1:1/ HTTP/1.0", "127.0.0.0/8 (loopback)"),
        ("GET http://169.254.169.254/latest HTTP/1.0", "metadata"),
        ("CONNECT 10.0.0.1:443 HTTP/1.0", "10.0.0.0/8 (private)"),
        ("CONNECT [::1]:443 HTTP/1.0", "loopback"),
        ("GET http://2130706433/ HTTP/1.0", "127.0.0.0/8 (loopback)"),
        ("GET http://0x7f.1/ HTTP/1.0", "127.0.0.0/8 (loopback)"),
    ],
)
async def test_a_refusal_is_a_readable_403(
    egress: Egress, request_line: str, rule: str
) -> None:
    answer = (await egress.whole(f"{request_line}\r\n\r\n".encode())).decode()
    status, _, body = answer.partition("\r\n\r\n")
    assert status.startswith("HTTP/1.1 403 Egress to ")
    assert rule in body
    [record] = egress.sink.records
    assert record.verdict == "refused"
    assert rule in record.reason
    assert record.rule == "address"


async def test_a_host_header_that_names_another_host_is_refused(egress: Egress) -> None:
    async with upstream(echo_request) as port:
        await egress.allow(port)
        forged = get(port).replace(b"Host: 127.0.0.1", b"Host: bank.example")
        assert b"421" in (await egress.whole(forged)).splitlines()[0]


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET https://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
        b"CONNECT a.example HTTP/1.1\r\nHost: a.example\r\n\r\n",
        b"GET ftp://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
)
async def test_what_a_proxy_cannot_take_is_a_400(
    egress: Egress, request_head: bytes
) -> None:
    assert (await egress.whole(request_head)).startswith(b"HTTP/1.1 400 ")


async def test_endless_headers_are_refused(egress: Egress) -> None:
    answer = await egress.whole(b"GET http://a/ HTTP/1.1\r\nX: " + b"x" * 200_000)
    assert answer.startswith(b"HTTP/1.1 431 ")


async def test_a_name_without_an_address_is_a_502(
    egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(host: str, port: int) -> tuple[str, ...]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(resolve, "look_up", unknown)
    answer = await egress.whole(
        b"GET http://no.example/ HTTP/1.1\r\nHost: no.example\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"no.example has no address" in answer


async def test_slow_names_of_one_session_keep_no_other_waiting(
    egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = threading.Event()

    def look_up(host: str, port: int) -> tuple[str, ...]:
        if host.startswith("slow"):
            slow.wait(20)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(resolve, "look_up", look_up)
    monkeypatch.setattr(resolve, "RESOLVE_SECONDS", 0.2)
    await egress.client.open("sesn_2", NetworkPolicy())
    try:
        many = [connect(f"slow{number}.example") for number in range(80)]
        answers = await asyncio.gather(*(egress.whole(one) for one in many))
        assert all(b"no answer" in answer for answer in answers)
        answer = await egress.whole(connect("quick.example"), session_id="sesn_2")
        assert b"Name or service not known" in answer
    finally:
        slow.set()
        await egress.client.close("sesn_2")


def connect(host: str) -> bytes:
    return f"CONNECT {host}:443 HTTP/1.0\r\n\r\n".encode()


async def test_a_name_that_means_a_private_address_is_refused(
    egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolve, "look_up", lambda host, port: ("10.0.0.1",))
    answer = await egress.whole(b"CONNECT rebind.example:443 HTTP/1.0\r\n\r\n")
    assert b"10.0.0.1 is in 10.0.0.0/8 (private)" in answer


async def test_the_address_that_was_judged_is_the_one_dialled(
    egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def look_up(host: str, port: int) -> tuple[str, ...]:
        asked.append(host)
        return ("127.0.0.1",)

    monkeypatch.setattr(resolve, "look_up", look_up)
    async with upstream(echo_request) as port:
        policy = NetworkPolicy(private_hosts=("git.example",))
        await egress.client.open("sesn_1", policy)
        request = f"GET http://git.example:{port}/ HTTP/1.1\r\nHost: git.example:{port}"
        answer = await egress.whole(request.encode() + b"\r\nConnection: close\r\n\r\n")
    assert b"200 OK" in answer
    assert asked == ["git.example"]


async def test_a_name_that_is_not_allowed_is_refused_and_never_looked_up(
    egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(resolve, "look_up", lambda host, port: asked.append(host))
    await egress.client.open("sesn_1", NetworkPolicy(mode="limited"))
    answer = await egress.whole(b"CONNECT secret.evil.example:443 HTTP/1.0\r\n\r\n")
    status, _, body = answer.decode().partition("\r\n\r\n")
    assert status.startswith("HTTP/1.1 403 ")
    assert "secret.evil.example is not among the hosts" in body
    assert "allow secret.evil.example" in body
    assert asked == []
    [record] = egress.sink.records
    assert (record.verdict, record.rule) == ("refused", "not_allowed")


async def test_a_limited_session_reaches_what_is_allowed(
    egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolve, "look_up", lambda *_: ("127.0.0.1",))
    allowed = (AllowedHost(pattern="*.example", rule="session"),)
    policy = NetworkPolicy(
        mode="limited", allowed=allowed, private_hosts=("git.example",)
    )
    async with upstream(echo_request) as port:
        await egress.client.open("sesn_1", policy)
        request = f"GET http://git.example:{port}/ HTTP/1.0\r\n\r\n"
        assert b"200 OK" in await egress.whole(request.encode())
    [record] = egress.sink.records
    assert (record.verdict, record.rule) == ("allowed", "session")
    assert record.reason.startswith("*.example, in what was allowed for this session")


@pytest.mark.parametrize(
    "target",
    ["a.example%00.evil:443", "user@a.example:443", "a_b!.example:443", "[::1:443"],
)
async def test_a_target_that_can_be_read_in_two_ways_is_a_400(
    egress: Egress, target: str
) -> None:
    answer = await egress.whole(f"CONNECT {target} HTTP/1.0\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 400 ")


async def test_a_host_that_does_not_answer_is_a_504(egress: Egress) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        await egress.allow(port)
        assert (await egress.whole(get(port))).startswith(b"HTTP/1.1 504 ")


async def test_the_next_address_is_tried_when_one_does_not_answer(
    egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolve, "look_up", lambda *_: ("::1", "127.0.0.1"))
    async with upstream(echo_request) as port:
        policy = NetworkPolicy(private_hosts=("two.example",))
        await egress.client.open("sesn_1", policy)
        request = f"GET http://two.example:{port}/ HTTP/1.0\r\n\r\n"
        assert b"200 OK" in await egress.whole(request.encode())


async def test_a_name_with_many_addresses_costs_few_attempts(
    egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    async def refuse(address: str, port: int) -> resolve.Streams:
        tried.append(address)
        raise ConnectionRefusedError(address)

    many = tuple(f"192.0.2.{number}" for number in range(200))
    monkeypatch.setattr(resolve, "look_up", lambda *_: many)
    monkeypatch.setattr(resolve, "connect", refuse)
    answer = await egress.whole(connect("many.example"))
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert len(tried) == 8


async def test_a_client_that_leaves_takes_its_request_along(egress: Egress) -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def silent(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()
        left.set()

    async with upstream(silent) as port, asyncio.timeout(20):
        await egress.allow(port)
        _, writer = await egress.send(get(port))
        await asked.wait()
        writer.close()
        await left.wait()
        await until(lambda: counted(egress.sink))
    [record] = egress.sink.records
    assert (record.verdict, record.rule) == ("failed", "broken_off")
    assert record.reason == "the client left before the answer ended"


async def test_what_is_asked_early_is_answered_in_turn(egress: Egress) -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.1)  # so that the second is there before the first answer
        path = head.split()[1]
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(path) + path
        )

    async with upstream(slow) as port:
        await egress.allow(port)
        reader, writer = await egress.send(get(port, path="/first"))
        await asyncio.sleep(0.05)
        writer.write(get(port, "Connection: close", path="/second"))
        async with asyncio.timeout(20):
            answers = await reader.read()
        assert answers.index(b"/first") < answers.index(b"/second")
        writer.close()


async def test_a_record_keeps_the_path_and_not_the_query(egress: Egress) -> None:
    async with upstream(echo_request) as port:
        await egress.allow(port)
        await egress.whole(get(port, "Connection: close", path="/a/b?token=secret"))
    [record] = egress.sink.records
    assert (record.path, record.verdict, record.method) == ("/a/b", "allowed", "GET")
    assert record.bytes_down > 0


async def test_one_session_can_have_so_many_connections(
    egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CONNECTIONS", 1)
    async with upstream(echo_bytes) as port:
        await egress.allow(port)
        request = f"CONNECT 127.0.0.1:{port} HTTP/1.0\r\n\r\n".encode()
        reader, writer = await egress.send(request)
        await reader.readuntil(b"\r\n\r\n")
        assert b"503 Too many" in await egress.whole(request)
        writer.close()


async def test_a_policy_is_renewed_only_where_the_session_is_open(
    egress: Egress,
) -> None:
    limited = NetworkPolicy(mode="limited")
    await egress.client.renew("sesn_1", limited)
    answer = await egress.whole(b"CONNECT a.example:443 HTTP/1.0\r\n\r\n")
    assert b"403" in answer.splitlines()[0]
    await egress.client.renew("sesn_2", limited)
    assert not EgressPaths(runtime_dir=egress.runtime_dir).socket("sesn_2").exists()


async def test_what_was_refused_is_told_once_and_since_when(egress: Egress) -> None:
    await egress.client.open("sesn_1", NetworkPolicy(mode="limited"))
    began = time.time()
    for _ in range(2):
        await egress.whole(b"CONNECT a.example:443 HTTP/1.0\r\n\r\n")
    [said] = await egress.client.refusals("sesn_1", began)
    assert said.startswith("Egress to a.example:443 was refused: a.example is not")
    assert await egress.client.refusals("sesn_1", time.time() + 1) == []
    assert await egress.client.refusals("sesn_other", 0) == []


async def test_closing_a_session_cuts_what_passes(egress: Egress) -> None:
    async with upstream(echo_bytes) as port:
        await egress.allow(port)
        request = f"CONNECT 127.0.0.1:{port} HTTP/1.0\r\n\r\n".encode()
        reader, writer = await egress.send(request)
        await reader.readuntil(b"\r\n\r\n")
        await egress.client.close("sesn_1")
        assert await reader.read(1) == b""
        with pytest.raises(OSError, match="No such file"):
            await egress.send(b"")
        writer.close()


async def test_a_new_proxy_opens_every_session_again(runtime_dir: Path) -> None:
    async with upstream(echo_request) as port:
        async with proxy(runtime_dir) as first:
            await first.allow(port)
        async with proxy(runtime_dir) as second:
            answer = await second.whole(get(port, "Connection: close"))
            assert b"200 OK" in answer
            await second.client.close("sesn_1")


async def test_without_a_proxy_the_client_says_so(runtime_dir: Path) -> None:
    with pytest.raises(EgressUnavailable, match="does not answer"):
        await EgressClient(runtime_dir=runtime_dir).open("sesn_1", NetworkPolicy())


@pytest.mark.parametrize("session_id", ["../x", "", "a/b"])
async def test_a_session_id_is_no_path(egress: Egress, session_id: str) -> None:
    with pytest.raises(EgressUnavailable, match="no session id"):
        await egress.client.open(session_id, NetworkPolicy())


def a_record(**fields: Any) -> Record:
    known = {"session_id": "sesn_1", "host": "a.example", "port": 443}
    said = {"method": "CONNECT", "path": None, "verdict": "allowed"}
    why = {"rule": "unrestricted", "reason": "the network is unrestricted"}
    figures = {"bytes_up": 1, "bytes_down": 2, "seconds": 0.1}
    return Record(**{**known, **said, **why, **figures, **fields})


async def test_records_wait_in_files_until_somebody_takes_them(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    told = [a_record(), a_record(host="b.example")]
    for record in told:
        spool.take(record)
    assert closed_files(tmp_path) == []

    async def closed() -> bool:
        return bool(closed_files(tmp_path))

    await until(closed)
    [path] = closed_files(tmp_path)
    assert [*read(path)] == told


async def test_a_killed_proxy_leaves_its_records_to_the_next(tmp_path: Path) -> None:
    told = a_record()
    Spool(tmp_path).take(told)
    [part] = tmp_path.glob("*.part")
    with part.open("a") as file:
        file.write('{"host": "torn')
    Spool(tmp_path)
    [path] = closed_files(tmp_path)
    assert [*read(path)] == [told]


async def test_a_spool_without_room_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "LOOK_SECONDS", 0)
    spool = Spool(tmp_path, most=500)
    assert not spool.is_full()
    for _ in range(3):
        spool.take(a_record())
    assert spool.is_full()
    for path in tmp_path.iterdir():
        path.unlink()
    assert not spool.is_full()


async def test_nothing_leaves_unrecorded(egress: Egress) -> None:
    async with upstream(echo_request) as port:
        await egress.allow(port)
        egress.sink.full = True
        answer = await egress.whole(get(port, "Connection: close"))
        assert answer.startswith(b"HTTP/1.1 503 Egress to 127.0.0.1")
        egress.sink.full = False
        assert b"200 OK" in await egress.whole(get(port, "Connection: close"))


async def test_a_tunnel_is_recorded_when_it_begins_and_when_it_ends(
    egress: Egress,
) -> None:
    async with upstream(echo_bytes) as port:
        await egress.allow(port)
        request = f"CONNECT 127.0.0.1:{port} HTTP/1.0\r\n\r\n".encode()
        reader, writer = await egress.send(request)
        await reader.readuntil(b"\r\n\r\n")
        await until(lambda: counted(egress.sink))
        [begun] = egress.sink.records
        assert begun.seconds is None
        writer.close()
        await until(lambda: counted(egress.sink, 2))
    ended = egress.sink.records[-1]
    assert (ended.id, ended.began_at) == (begun.id, begun.began_at)
    assert ended.seconds is not None
