"""A container engine of the tests' own, which they may restart and kill.

It has its own folders and socket, and lives in a network namespace by itself.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from tests.plugins.site import all_pids, end_with_tests

PATIENCE = 60.0


class Engine:
    """A dockerd, started with live-restore or without."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.live_restore: bool | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/socket"

    def run(self, *, live_restore: bool) -> None:
        """Have it run in this mode."""
        if self.live_restore != live_restore:
            self.end(signal.SIGTERM)
            self.start(live_restore=live_restore)

    def start(self, *, live_restore: bool) -> None:
        options = ["--live-restore"] if live_restore else []
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["unshare", "--net", "dockerd", *self._places(), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=end_with_tests,
            )
        self.live_restore = live_restore
        self._wait(self._answers)

    def end(self, number: signal.Signals) -> None:
        """End it by a signal, and wait until it is gone."""
        if self._process is None:
            return
        assistant = int((self.folder / "run/containerd/containerd.pid").read_text())
        self._process.send_signal(number)
        self._process.wait(PATIENCE)
        self._process = self.live_restore = None
        # A new engine takes even a dead one, which nobody has buried, for alive.
        self._wait(lambda: not Path(f"/proc/{assistant}").exists())
        (self.folder / "pid").unlink(missing_ok=True)

    def _wait(self, is_so: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE
        while not is_so():
            assert time.monotonic() < until, (self.folder / "log").read_text()[-3000:]
            time.sleep(0.1)

    def load(self, image: str) -> None:
        """Copy an image from the machine's own engine."""
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as out:
            subprocess.run(
                ["docker", "--host", self.url, "load", "--quiet"],
                stdin=out.stdout,
                stdout=subprocess.DEVNULL,
                check=True,
            )

    def remove(self) -> None:
        """End it with all of its containers, and remove its folders."""
        if self._process is None or self.live_restore:
            self.end(signal.SIGKILL)
            self.start(live_restore=False)  # which ends what an engine left running
        with self._client() as client:
            for container in client.containers.list(all=True):
                container.remove(force=True)
        self.end(signal.SIGTERM)
        left = self.processes()
        for mounted in self._mounts():
            subprocess.run(["umount", "--lazy", mounted], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
        assert left == []

    def processes(self) -> list[int]:
        """Whatever runs for it: itself, its containerd, the shims of its containers."""
        mark = str(self.folder).encode()
        return [pid for pid in all_pids() if mark in command_of(pid)]

    def _mounts(self) -> list[str]:
        """What a killed engine left mounted, the last first."""
        lines = Path("/proc/self/mounts").read_text().splitlines()
        places = [line.split()[1] for line in lines]
        return [
            place for place in reversed(places) if place.startswith(str(self.folder))
        ]

    def _places(self) -> list[str]:
        return [
            *("--host", self.url),
            *("--data-root", f"{self.folder}/data"),
            *("--exec-root", f"{self.folder}/run"),
            *("--pidfile", f"{self.folder}/pid"),
            *("--bridge", "none", "--iptables=false"),
            *("--log-level", "warn"),
        ]

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as line, contextlib.suppress(OSError):
            line.settimeout(5)
            line.connect(f"{self.folder}/socket")
            line.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in line.recv(64)
        return False

    @contextlib.contextmanager
    def _client(self) -> Iterator[docker.DockerClient]:
        client = docker.DockerClient(base_url=self.url)
        try:
            yield client
        finally:
            client.close()


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.fixture(scope="session")
def own_engine() -> Iterator[Engine]:
    """One for the whole test run, without an image. Who ends it starts it again."""
    if os.geteuid() != 0:
        pytest.skip("an engine of its own needs root")
    folder = Path(tempfile.mkdtemp(prefix="agentsite-engine-"))
    folder.chmod(0o755)  # the site's own user asks it, too
    engine = Engine(folder)
    engine.start(live_restore=True)
    try:
        yield engine
    finally:
        engine.remove()
