"""The way out of a real sandbox, through the real proxy."""

from __future__ import annotations

import asyncio
import datetime
import os
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox.docker_provider import DockerProvider
from sandbox.egress import resolve
from sandbox.egress.client import EgressClient
from sandbox.egress.paths import EgressPaths
from sandbox.egress.records import Record
from sandbox.egress.server import EgressServer
from sandbox.spec import FileMount, NetworkPolicy
from tests.sandbox.places import bash, shared_gid, spec_of, text

pytestmark = pytest.mark.docker

HOST = "git.example"


class Kept(list[Record]):
    """A sink that keeps records."""

    take = list.append

    def is_full(self) -> bool:
        return False


@pytest_asyncio.fixture
async def records(
    runtime_dir: Path, docker_provider: DockerProvider
) -> AsyncIterator[Kept]:
    """Run an egress proxy for the provider's sandboxes; what it recorded."""
    os.chown(runtime_dir, -1, shared_gid())
    runtime_dir.chmod(0o2770)
    kept = Kept()
    egress = EgressServer(EgressPaths(runtime_dir=runtime_dir), kept)
    running = asyncio.create_task(egress.run())
    docker_provider.egress = EgressClient(runtime_dir=runtime_dir)
    while not (runtime_dir / "egress.sock").exists():
        await asyncio.sleep(0.01)
    yield kept
    docker_provider.egress = None
    running.cancel()
    await asyncio.wait({running})


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A key and its own certificate for HOST, in one file each."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "key.pem").write_bytes(private)
    (tmp_path / "ca.pem").write_bytes(made.public_bytes(pem))
    return tmp_path / "ca.pem"


@pytest.fixture
def git_server(
    tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[int]:
    """A repository behind https on loopback, which HOST means to the proxy."""
    git = partial(subprocess.run, check=True, capture_output=True)
    work, served = tmp_path / "work", tmp_path / "served"
    git(["git", "init", "-q", work])
    (work / "a.txt").write_text("from the repository\n")
    git(["git", "-C", work, "add", "."])
    author = ["-c", "user.name=Alice", "-c", "user.email=alice@example.org"]
    git(["git", "-C", work, *author, "commit", "-qm", "First"])
    git(["git", "clone", "-q", "--bare", work, served / "books.git"])
    git(["git", "-C", served / "books.git", "update-server-info"])
    monkeypatch.setattr(resolve, "look_up", lambda *_: ("127.0.0.1",))
    with serving(served, certificate) as server:
        yield server.server_address[1]
        server.shutdown()


def serving(folder: Path, certificate: Path) -> ThreadingHTTPServer:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


async def test_git_clones_from_a_private_host_that_is_named(
    docker_provider: DockerProvider,
    base_image: str,
    records: Kept,
    git_server: int,
    certificate: Path,
) -> None:
    sandbox = await docker_provider.provision(
        spec_of(
            base_image,
            files=(FileMount(path="/workspace/ca.pem", source=certificate),),
            network=NetworkPolicy(private_hosts=(f"{HOST}:{git_server}",)),
        )
    )
    clone = (
        "GIT_SSL_CAINFO=/workspace/ca.pem git clone -q "
        f"https://{HOST}:{git_server}/books.git"
    )
    outcome = await bash(sandbox, f"{clone} && cat books/a.txt")
    assert text(outcome) == "from the repository"
    await sandbox.close()
    assert {(record.host, record.verdict) for record in records} <= {(HOST, "allowed")}


async def test_a_new_policy_acts_at_once(
    docker_provider: DockerProvider, base_image: str, records: Kept, git_server: int
) -> None:
    spec = spec_of(base_image)
    sandbox = await docker_provider.provision(spec)
    ask = f"curl -skS -o /dev/null -w '%{{http_code}}' https://{HOST}:{git_server}/"
    assert "response 403" in text(await bash(sandbox, ask))
    assert docker_provider.egress
    policy = NetworkPolicy(private_hosts=(HOST,))
    await docker_provider.egress.open(spec.session_id, policy)
    assert text(await bash(sandbox, ask)) == "200"
    await sandbox.close()


async def test_metadata_and_host_addresses_are_refused_with_a_sentence(
    docker_provider: DockerProvider, base_image: str, records: Kept
) -> None:
    sandbox = await docker_provider.provision(spec_of(base_image))
    outcome = await bash(sandbox, "curl -sS http://169.254.169.254/latest/meta-data/")
    assert "link-local, where clouds keep metadata" in text(outcome)
    await sandbox.close()
    assert [record.verdict for record in records] == ["refused"]


async def test_the_agent_is_told_what_its_program_does_not_say(
    docker_provider: DockerProvider, base_image: str, records: Kept
) -> None:
    spec = spec_of(base_image, network=NetworkPolicy(mode="limited"))
    sandbox = await docker_provider.provision(spec)
    outcome = await bash(sandbox, "curl -sS https://evil.example/")
    assert "evil.example is not among" not in text(outcome)
    assert "Egress to evil.example:443 was refused" in outcome.content[1]["text"]
    assert len((await bash(sandbox, "echo quiet")).content) == 1
    await sandbox.close()


async def test_packages_install_at_run_time_and_stay(
    docker_provider: DockerProvider, base_image: str, records: Kept
) -> None:
    spec = spec_of(base_image)
    sandbox = await docker_provider.provision(spec)
    installs = "pip install -q six==1.17.0 && npm install -g -s is-number@7.0.0"
    assert not (await bash(sandbox, installs)).is_error
    await sandbox.close()
    await docker_provider.destroy(spec.session_id, keep_workspace=True)
    again = await docker_provider.provision(spec)
    seen = 'python3 -c "import six; print(six.__version__)"; npm ls -g'
    told = text(await bash(again, seen))
    assert "1.17.0" in told
    assert "is-number@7.0.0" in told
    await again.close()
