"""A whole real site for tests: `make up` without the make, in a home of its own."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import docker
import pytest

from agentsite.conf import ROOT

WORKERS = ("worker", "jobs")
REST = ("bus", "egress", "model", "web", "image")
FOREIGN = ("AGENTSITE_", "DJANGO_", "ANTHROPIC_", "DATABASE_", "REDIS_", "PYTEST_")
PATIENCE = 180.0
PR_SET_PDEATHSIG = 1


class RunningSite:
    """Two supervisors on one home, so that workers can stop and start by themselves."""

    running: ClassVar[list[RunningSite]] = []

    def __init__(self, home: Path, **environment: str) -> None:
        self.home = home
        self.port = free_port()
        self.environment = {**clean_environment(home, self.port), **environment}
        self._processes: dict[tuple[str, ...], subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def api_key(self) -> str:
        return (self.home / "api_key").read_text().strip()

    @property
    def runtime_dir(self) -> Path:
        return Path(self.environment["AGENTSITE_RUNTIME_DIR"])

    @property
    def shared(self) -> Path:
        """A folder into which every part of the site may write."""
        folder = self.home / "shared"
        folder.mkdir(exist_ok=True)
        folder.chmod(0o1777)
        return folder

    def start(self) -> None:
        self.up(REST)
        self.wait(lambda: self.health().get("parts", {}).get("bus", {}).get("ok"))
        self.start_workers()
        self.wait_until_ready()

    def start_workers(self) -> None:
        self.up(WORKERS)

    def stop_workers(self) -> None:
        self.down(WORKERS)

    def up(self, roles: tuple[str, ...]) -> subprocess.Popen[bytes]:
        with (self.home / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "up", "--roles", ",".join(roles)],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=end_with_tests,
            )
        self._processes[roles] = process
        return process

    def down(self, roles: tuple[str, ...]) -> int:
        process = self._processes.pop(roles)
        process.send_signal(signal.SIGTERM)
        return process.wait(PATIENCE)

    def stop(self) -> None:
        for roles in reversed(list(self._processes)):
            self.down(roles)

    def remove(self) -> None:
        """Remove what a stopped site keeps: its folders, volumes and images."""
        with self.engine() as client:
            for volume in client.volumes.list(filters=self._labelled):
                volume.remove(force=True)
            for image in client.images.list(
                filters={"label": f"agentsite.image={self.name}"}
            ):
                for tag in image.tags:  # what stands on others goes with its name
                    client.images.remove(tag, force=True)
        shutil.rmtree(self.runtime_dir, ignore_errors=True)
        shutil.rmtree(self.home, ignore_errors=True)

    def containers(self) -> list:
        with self.engine() as client:
            return client.containers.list(all=True, filters=self._labelled)

    @contextlib.contextmanager
    def engine(self) -> Iterator[docker.DockerClient]:
        """The engine that runs this site's sandboxes."""
        client = docker.from_env(environment=self.environment)
        try:
            yield client
        finally:
            client.close()

    @property
    def name(self) -> str:
        return self.runtime_dir.name.removeprefix("agentsite-")

    @property
    def _labelled(self) -> dict[str, str]:
        return {"label": f"agentsite.site={self.name}"}

    def kill(self) -> None:
        """Kill the supervisors, and only them."""
        for roles in list(self._processes):
            process = self._processes.pop(roles)
            process.kill()
            process.wait()

    def manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def login_link(self) -> str:
        return self.manage("login_link")

    def logs(self) -> str:
        return (self.home / "log").read_text(errors="replace")

    def health(self) -> dict:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return json.loads(error.read())
        except OSError:
            return {}

    def is_ready(self) -> bool:
        return self.health().get("status") == "ready"

    def wait_until_ready(self) -> None:
        self.wait(self.is_ready)

    def wait_for_image(self) -> None:
        """Wait until sandboxes can be made: minutes, where no engine had the image."""
        self.wait(lambda: self.health()["parts"]["image"]["state"] == "ready", 900)

    def wait(self, is_so, patience: float = PATIENCE) -> None:
        until = time.monotonic() + patience
        while not is_so():
            assert time.monotonic() < until, f"{self.health()}\n{self.logs()[-5000:]}"
            for roles, process in self._processes.items():
                assert process.poll() is None, f"{roles} ended:\n{self.logs()[-5000:]}"
            time.sleep(0.1)

    def pid(self, role: str) -> int | None:
        """The process that runs a role now."""
        with contextlib.suppress(OSError, ValueError):
            return int((self.runtime_dir / "children" / role).read_text().split()[0])
        return None

    def supervisors(self) -> set[int]:
        return {process.pid for process in self._processes.values()}

    def processes(self) -> list[int]:
        """Every living process that knows this home."""
        mark = f"AGENTSITE_HOME={self.home}".encode()
        return [pid for pid in all_pids() if mark in environment_of(pid)]


def end_with_tests() -> None:
    """A test run that is killed stops its sites as Ctrl-C would."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def clean_environment(home: Path, port: int) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(FOREIGN)
    }
    model_port = free_port()
    return kept | {
        "AGENTSITE_HOME": str(home),
        "AGENTSITE_RUNTIME_DIR": f"{home}.run",
        "AGENTSITE_PORT": str(port),
        "AGENTSITE_MODEL_PORT": str(model_port),
        # The scripted model stands for the provider too: it knows no Claude.
        "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{model_port}",
        "AGENTSITE_INSTALL": "0",
        "AGENTSITE_SANDBOX_POOL": "0",
        "ANTHROPIC_API_KEY": "",
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def all_pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def environment_of(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def new_home() -> Path:
    # Short, and not below pytest's own folder: sockets and containers live by it.
    return Path(tempfile.mkdtemp(prefix="agentsite-site-"))


@contextlib.contextmanager
def running_site(home: Path | None = None, **environment: str) -> Iterator[RunningSite]:
    site = RunningSite(home or new_home(), **environment)
    try:
        site.start()
        site.running.append(site)
        yield site
    finally:
        site.running[:] = [each for each in site.running if each is not site]
        site.stop()
        site.remove()


@pytest.fixture(scope="session")
def site() -> Iterator[RunningSite]:
    """One site for the whole test run. Who stops its workers starts them again."""
    with running_site() as running:
        yield running
