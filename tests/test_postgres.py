"""What is written to the database holds on PostgreSQL too: the same tests, run there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.postgres

ROOT = Path(__file__).resolve().parent.parent
SUITES = (
    "tests/agents",
    "tests/sessions/api",
    "tests/sessions/test_log.py",
    "tests/sessions/test_lifecycle.py",
    "tests/sessions/test_actions.py",
    "tests/sessions/test_budgets.py",
    "tests/sessions/test_budget_asks.py",
    "tests/sessions/test_budget_pause.py",
    "tests/sessions/test_usage.py",
    "tests/sessions/test_leases.py",
    "tests/sessions/test_host.py",
    "tests/sessions/test_host_faults.py",
    "tests/sessions/test_races.py",
)


def program(name):
    """Debian keeps PostgreSQL's programs out of PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    path = os.pathsep.join([*map(str, folders), os.environ["PATH"]])
    found = shutil.which(name, path=path)
    assert found, f"{name} is not installed: apt-get install postgresql"
    return found


def as_postgres(*command):
    """PostgreSQL refuses to run as root."""
    if os.geteuid() == 0:
        command = ("runuser", "-u", "postgres", "--", *command)
    return subprocess.run(
        command, check=True, capture_output=True, text=True, cwd="/", timeout=60
    )


@pytest.fixture(scope="module")
def database_url():
    """A server of our own in a temporary folder, on a unix socket only."""
    folder = Path(tempfile.mkdtemp(prefix="agentsite-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    data = str(folder / "data")
    server = program("pg_ctl")
    as_postgres(program("initdb"), "-D", data, "-A", "trust", "-U", "postgres")
    options = f"-k {folder} -c listen_addresses= -c fsync=off"
    log = str(folder / "log")
    as_postgres(server, "start", "-w", "-D", data, "-o", options, "-l", log)
    try:
        yield f"postgresql://postgres@{str(folder).replace('/', '%2F')}/postgres"
    finally:
        as_postgres(server, "stop", "-m", "immediate", "-D", data)
        shutil.rmtree(folder, ignore_errors=True)


def test_the_same_tests_pass_on_postgresql(database_url):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SUITES],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
