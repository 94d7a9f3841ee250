"""A PostgreSQL server of the test run's own, in a temporary folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PATIENCE = 20.0


class PostgresServer:
    """Listens on a unix socket only, and may be killed and started again."""

    def __init__(
        self, folder: Path, *, durable: bool = False, **environment: str
    ) -> None:
        self.folder = folder
        self.durable = durable
        self.environment = environment
        self.data = folder / "data"
        self.url = f"postgresql://postgres@{str(folder).replace('/', '%2F')}/postgres"

    def create(self) -> None:
        options = ("-A", "trust", "-U", "postgres", "-E", "UTF8")
        as_postgres(program("initdb"), "-D", str(self.data), *options)

    def start(self) -> None:
        """Start it; after a kill, as soon as the last of its processes is gone."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return self._start()
            except subprocess.CalledProcessError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def _start(self) -> None:
        fsync = "on" if self.durable else "off"
        options = f"-k {self.folder} -c listen_addresses= -c fsync={fsync}"
        log = str(self.folder / "log")
        self._control("start", "-w", "-o", options, "-l", log)

    def stop(self, mode: str = "immediate") -> None:
        self._control("stop", "-w", "-m", mode)

    def kill(self) -> None:
        """kill -9 of the first process; the others see that it is gone, and end."""
        os.kill(self.pid(), signal.SIGKILL)

    def pid(self) -> int:
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def _control(self, *arguments: str) -> None:
        command = (program("pg_ctl"), "-D", str(self.data), *arguments)
        as_postgres(*command, **self.environment)


def program(name: str) -> str:
    """Debian keeps PostgreSQL's programs out of PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    path = os.pathsep.join([*map(str, folders), os.environ["PATH"]])
    found = shutil.which(name, path=path)
    assert found, f"{name} is not installed: apt-get install postgresql"
    return found


def as_postgres(*command: str, **environment: str) -> None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() == 0:
        command = ("runuser", "-u", "postgres", "--", *command)
    subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        cwd="/",
        timeout=60,
        env={**os.environ, **environment},
    )


@contextlib.contextmanager
def running_server(
    *, durable: bool = False, **environment: str
) -> Iterator[PostgresServer]:
    folder = Path(tempfile.mkdtemp(prefix="agentsite-pg-"))
    folder.chmod(0o755)  # the site's own user connects through it
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    server = PostgresServer(folder, durable=durable, **environment)
    server.create()
    server.start()
    try:
        yield server
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            server.stop()  # unless a test left it dead
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for the whole test run. Who stops it starts it again."""
    with running_server() as server:
        yield server
