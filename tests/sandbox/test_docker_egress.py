"""The way out of a real sandbox, through the real proxy."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

import pytest
import pytest_asyncio

from sandbox.docker_provider import DockerProvider
from sandbox.egress import resolve
from sandbox.egress.client import EgressClient
from sandbox.egress.credentials import new_placeholder
from sandbox.egress.paths import EgressPaths
from sandbox.egress.records import Record
from sandbox.egress.server import EgressServer
from sandbox.egress_check import check_egress
from sandbox.spec import BoundCredential, NetworkPolicy
from tests.sandbox.certificates import self_signed, server_context
from tests.sandbox.places import bash, shared_gid, spec_of, text

pytestmark = pytest.mark.docker

HOST = "git.example"
SECRET = "ghp_rea1SecretValue0123456789abcdefghij"
BASIC = base64.b64encode(f"x-access-token:{SECRET}".encode()).decode()
HELD = new_placeholder(SECRET)
TOKEN = BoundCredential(name="git token", placeholder=HELD, value=SECRET, hosts=(HOST,))


class Kept(list[Record]):
    """A sink that keeps records."""

    take = list.append

    def is_full(self) -> bool:
        return False


@pytest_asyncio.fixture
async def records(
    runtime_dir: Path, docker_provider: DockerProvider, certificate: Path
) -> AsyncIterator[Kept]:
    """Run an egress proxy for the provider's sandboxes; what it recorded."""
    os.chown(runtime_dir, -1, shared_gid())
    runtime_dir.chmod(0o2770)
    kept = Kept()
    docker_provider.extra_ca = certificate
    paths = EgressPaths(runtime_dir=runtime_dir)
    egress = EgressServer(paths, kept, extra_ca=certificate)
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
    return self_signed(tmp_path, HOST)


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
    elsewhere = resolve.look_up

    def look_up(host: str, port: int) -> tuple[str, ...]:
        return ("127.0.0.1",) if host == HOST else elsewhere(host, port)

    monkeypatch.setattr(resolve, "look_up", look_up)
    with serving(served, certificate) as server:
        yield server.server_address[1]
        server.shutdown()


def serving(folder: Path, certificate: Path) -> ThreadingHTTPServer:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            """Files for whoever has the token, where it says `private`; an echo else."""
            sent = self.headers.get("Authorization", "")
            if self.path.startswith("/private/"):
                self.path = self.path.removeprefix("/private")
                if sent != f"Basic {BASIC}":
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", "Basic")
                    self.send_header("Content-Length", "0")
                    return self.end_headers()
            if not self.path.startswith("/echo"):
                return super().do_GET()
            right = (
                "right" if sent in (f"Bearer {SECRET}", f"Basic {BASIC}") else "wrong"
            )
            body = f"{right}: {sent}".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    context = server_context(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


async def test_git_clones_from_a_private_host_that_is_named(
    docker_provider: DockerProvider,
    base_image: str,
    records: Kept,
    git_server: int,
) -> None:
    network = NetworkPolicy(private_hosts=(f"{HOST}:{git_server}",))
    sandbox = await docker_provider.provision(spec_of(base_image, network=network))
    clone = f"git clone -q https://{HOST}:{git_server}/books.git"
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


@pytest.mark.parametrize(("mode", "tries"), [("limited", 6), ("unrestricted", 5)])
async def test_a_check_from_inside_finds_every_way_closed(
    docker_provider: DockerProvider,
    base_image: str,
    records: Kept,
    mode: Literal["limited", "unrestricted"],
    tries: int,
) -> None:
    findings = await check_egress(docker_provider, base_image, NetworkPolicy(mode=mode))
    assert [finding.what for finding in findings if not finding.is_refused] == []
    assert len(findings) == tries
    assert await docker_provider.sessions() == frozenset()


async def test_a_check_says_what_is_open(
    docker_provider: DockerProvider, base_image: str, records: Kept
) -> None:
    policy = NetworkPolicy(private_hosts=("10.0.0.1", "127.0.0.1"))
    findings = await check_egress(docker_provider, base_image, policy)
    open_ones = {finding.what for finding in findings if not finding.is_refused}
    assert open_ones == {"A private address", "This machine"}


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


PYTHON = """
import sys, urllib.request, httpx, requests
url, token = sys.argv[1:]
headers = {"Authorization": f"Bearer {token}"}
asked = urllib.request.Request(url, headers=headers)
print(urllib.request.urlopen(asked).read().decode())
print(requests.get(url, headers=headers).text)
print(httpx.get(url, headers=headers).text)
"""
NODE = """
const [url, token] = process.argv.slice(1);
fetch(url, { headers: { Authorization: `Bearer ${token}` } })
  .then((answer) => answer.text()).then(console.log);
"""


async def test_programs_use_a_token_that_is_not_in_the_sandbox(
    docker_provider: DockerProvider, base_image: str, records: Kept, git_server: int
) -> None:
    spec = spec_of(
        base_image,
        network=NetworkPolicy(private_hosts=(f"{HOST}:{git_server}",)),
        environment={"TOKEN": HELD},
        credentials=(TOKEN,),
    )
    sandbox = await docker_provider.provision(spec)
    here = f"{HOST}:{git_server}"

    async def said(command: str) -> str:
        outcome = await bash(sandbox, command)
        assert not outcome.is_error, text(outcome)
        return text(outcome)

    # What installs goes through the same proxy, and believes its certificates.
    await said("pip install -q requests httpx")
    url = f"https://{here}/echo"
    right = f"right: Bearer {HELD}"
    ask = f'curl -sS -H "Authorization: Bearer $TOKEN" {url}'
    assert await said(ask) == right
    assert await said(f'curl -sS -u "x-access-token:$TOKEN" {url}') == (
        "right: Basic " + base64.b64encode(f"x-access-token:{HELD}".encode()).decode()
    )
    told = await said(f"python3 -c '{PYTHON}' {url} $TOKEN")
    assert told.splitlines() == [right] * 3
    assert await said(f"node -e '{NODE}' {url} $TOKEN") == right
    clone = f"git clone -q https://x-access-token:$TOKEN@{here}/private/books.git"
    assert await said(f"{clone} && cat books/a.txt") == "from the repository"
    await sandbox.write("/workspace/secret", SECRET[:20].encode())
    look = (
        "env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n';"
        " grep -rI . /workspace/books/.git/config /run/agentsite/trust/extra.pem"
    )
    assert SECRET not in await said(look)
    found = await said(
        'grep -rlaF "$(cat /workspace/secret)" /workspace/books /home /tmp /run || echo none'
    )
    assert found == "none"
    await sandbox.close()
    used = {record.credentials for record in records if record.host == HOST}
    assert used == {("git token",), ()}
    assert SECRET not in repr([*records])
