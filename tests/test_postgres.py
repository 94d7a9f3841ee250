"""What is written to the database holds on PostgreSQL too: the same tests, run there."""

from __future__ import annotations

import os
import subprocess
import sys
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
    "tests/sessions/test_asks.py",
    "tests/sessions/test_budgets.py",
    "tests/sessions/test_budget_asks.py",
    "tests/sessions/test_budget_pause.py",
    "tests/sessions/test_usage.py",
    "tests/sessions/test_egress.py",
    "tests/sessions/test_network.py",
    "tests/sessions/test_leases.py",
    "tests/sessions/test_liveness.py",
    "tests/sessions/test_host.py",
    "tests/sessions/test_host_faults.py",
    "tests/sessions/test_races.py",
)


def test_the_same_tests_pass_on_postgresql(postgres):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SUITES],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": postgres.url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
