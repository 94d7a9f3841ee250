"""The way out of a bubblewrap sandbox is the same one, and as narrow."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

import pytest
import pytest_asyncio

from sandbox.bubblewrap.provider import BubblewrapProvider
from sandbox.egress import resolve
from sandbox.egress.client import EgressClient
from sandbox.egress.credentials import new_placeholder
from sandbox.egress.paths import EgressPaths
from sandbox.egress.records import Record
from sandbox.egress.server import EgressServer
from sandbox.egress_check import check_egress
from sandbox.spec import BoundCredential, NetworkPolicy, SandboxSpec
from tests.sandbox.certificates import self_signed, server_context
from tests.sandbox.fixtures import BoxEngine
from tests.sandbox.places import bash, new_id, text, until

pytestmark = pytest.mark.bubblewrap

HOST = "api.example"
SECRET = "sk-rea1SecretValue0123456789abcdefghij"


class Dropped:
    """A sink that keeps nothing."""

    def take(self, record: Record) -> None: ...

    def is_full(self) -> bool:
        return False


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return self_signed(tmp_path, HOST)


@pytest.fixture
def port(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """An https server on loopback, which HOST means, that repeats what it is sent."""

    class Echo(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            sent = self.headers.get("Authorization", "")
            body = f"{sent == f'Bearer {SECRET}'}: {sent}".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    monkeypatch.setattr(resolve, "look_up", lambda *_: ("127.0.0.1",))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.socket = server_context(certificate).wrap_socket(
        server.socket, server_side=True
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest_asyncio.fixture
async def provider(
    bubblewrap_provider: BubblewrapProvider, box_engine: BoxEngine, certificate: Path
) -> AsyncIterator[BubblewrapProvider]:
    paths = EgressPaths(runtime_dir=box_engine.runtime_dir)
    egress = EgressServer(paths, Dropped(), extra_ca=certificate)
    running = asyncio.create_task(egress.run())
    bubblewrap_provider.egress = EgressClient(runtime_dir=box_engine.runtime_dir)
    bubblewrap_provider.extra_ca = certificate

    async def listens() -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(paths.control)) == 0

    await until(listens)
    yield bubblewrap_provider
    bubblewrap_provider.egress = None
    running.cancel()
    await asyncio.wait({running})


@pytest.mark.parametrize(("mode", "tries"), [("limited", 6), ("unrestricted", 5)])
async def test_a_check_from_inside_finds_every_way_closed(
    provider: BubblewrapProvider,
    base_tree: tuple[str, Path],
    mode: Literal["limited", "unrestricted"],
    tries: int,
) -> None:
    found = await check_egress(provider, base_tree[0], NetworkPolicy(mode=mode))
    assert [(one.what, one.said) for one in found if not one.is_refused] == []
    assert len(found) == tries


async def test_a_secret_is_put_in_outside(
    provider: BubblewrapProvider, base_tree: tuple[str, Path], port: int
) -> None:
    held = new_placeholder(SECRET)
    token = BoundCredential(
        name="api key", placeholder=held, value=SECRET, hosts=(HOST,)
    )
    spec = SandboxSpec(
        session_id=new_id(),
        image=base_tree[0],
        environment={"TOKEN": held},
        network=NetworkPolicy(private_hosts=(HOST,)),
        credentials=(token,),
    )
    sandbox = await provider.provision(spec)
    ask = f'curl -sS -H "Authorization: Bearer $TOKEN" https://{HOST}:{port}/'
    assert text(await bash(sandbox, ask)) == f"True: Bearer {held}"
    await sandbox.close()
