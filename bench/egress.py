"""A small https request through the egress proxy, spliced and with a secret put in,
against the same request without it: on a new connection, and on one that is kept."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from bench.figures import Row, Spread
from sandbox.egress.certificates import Authority
from sandbox.egress.client import EgressClient
from sandbox.egress.paths import EgressPaths
from sandbox.errors import EgressUnavailable
from sandbox.spec import BoundCredential, NetworkPolicy

REQUESTS = 200
HOST = "localhost"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 100
SECRET = "ghp_0123456789abcdefghijklmnopqrstuvwxyz"
HELD = "ghp_zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"

Connect = Callable[[], socket.socket]


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="ag-", dir="/tmp") as folder:
        home = Path(folder)
        authority = Authority.make("bench")
        (home / "ca.pem").write_text(authority.certificate_pem)
        with upstream(authority) as port, proxy(home) as client:
            return _rows(home, client, authority, port)


def _rows(
    home: Path, client: EgressClient, authority: Authority, port: int
) -> list[Row]:
    policy = NetworkPolicy(private_hosts=(f"{HOST}:{port}",))
    token = BoundCredential(name="token", placeholder=HELD, value=SECRET, hosts=(HOST,))
    asyncio.run(client.open("plain", policy))
    trusted = asyncio.run(client.open("bound", policy, [token]))
    paths = EgressPaths(runtime_dir=home)
    server = authority.certificate_pem
    ways = {
        "direct": encrypted(lambda: socket.create_connection((HOST, port)), server),
        "spliced": encrypted(tunnel(paths.socket("plain"), port), server),
        "with a secret": encrypted(tunnel(paths.socket("bound"), port), trusted),
    }
    named = f"Host: {HOST}:{port}\r\nAuthorization: Bearer {HELD}"
    head = f"GET / HTTP/1.1\r\n{named}\r\n\r\n".encode()
    return [
        _row(kind, {name: Spread.of(timed(way, head)) for name, way in ways.items()})
        for kind, timed in (("new", new_connections), ("kept alive", kept_connection))
    ]


def _row(kind: str, found: dict[str, Spread]) -> Row:
    direct = found.pop("direct")
    more = (f"{each - direct} ({name})" for name, each in found.items())
    return Row(
        name=f"https request through egress, {kind} connection",
        measured=", ".join(f"{each} ({name})" for name, each in found.items()),
        baseline=f"{direct} (direct)",
        result="+" + ", +".join(more),
        target="",
        holds=None,
    )


def new_connections(connect: Connect, head: bytes) -> list[float]:
    times = []
    for _ in range(REQUESTS):
        began = time.perf_counter()
        with connect() as line:
            ask(line, head)
        times.append(time.perf_counter() - began)
    return times


def kept_connection(connect: Connect, head: bytes) -> list[float]:
    times = []
    with connect() as line:
        ask(line, head)
        for _ in range(REQUESTS):
            began = time.perf_counter()
            ask(line, head)
            times.append(time.perf_counter() - began)
    return times


def ask(line: socket.socket, head: bytes) -> None:
    line.sendall(head)
    answer = b""
    while not answer.endswith(b"x" * 100):
        piece = line.recv(4096)
        if not piece:
            raise ConnectionResetError(f"no answer: {answer[:200]!r}")
        answer += piece


def encrypted(connect: Connect, authority: str) -> Connect:
    context = ssl.create_default_context(cadata=authority)
    return lambda: context.wrap_socket(connect(), server_hostname=HOST)


def tunnel(path: Path, port: int) -> Connect:
    def connect() -> socket.socket:
        line = socket.socket(socket.AF_UNIX)
        line.connect(str(path))
        line.sendall(
            f"CONNECT {HOST}:{port} HTTP/1.1\r\nHost: {HOST}:{port}\r\n\r\n".encode()
        )
        answer = line.recv(4096)
        if b" 200 " not in answer:
            raise ConnectionRefusedError(answer)
        return line

    return connect


@contextlib.contextmanager
def upstream(authority: Authority) -> Iterator[int]:
    """A server in a process of its own; its port."""
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe()
    process = fork.Process(target=serve, args=(there, authority), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        process.kill()
        process.join()


def serve(told: Connection, authority: Authority) -> None:
    async def answer(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(ANSWER)
        writer.close()

    async def run() -> None:
        context = authority.server_context(HOST)
        server = await asyncio.start_server(answer, "127.0.0.1", ssl=context)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


@contextlib.contextmanager
def proxy(home: Path) -> Iterator[EgressClient]:
    options = ["--runtime-dir", str(home), "--records", str(home / "records")]
    command = [sys.executable, "-m", "sandbox.egress", *options]
    process = subprocess.Popen(
        [*command, "--extra-ca", str(home / "ca.pem")], env={**os.environ}
    )
    client = EgressClient(runtime_dir=home)
    try:
        asyncio.run(until_it_answers(client))
        yield client
    finally:
        process.terminate()
        process.wait()


async def until_it_answers(client: EgressClient) -> None:
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(EgressUnavailable):
                return await client.check()
            await asyncio.sleep(0.05)
