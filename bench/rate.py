"""B7 and B11: how fast the log is written, and how soon a job starts."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping

from agentsite.conf import ROOT
from bench.figures import Row, Spread
from bench.site import Bench
from tests.plugins.postgres import running_server


def appends(bench: Bench) -> list[Row]:
    """Against the driver on the same disk; with the workers stopped."""
    bench.site.stop_workers()
    try:
        sqlite = _append_rates(bench.site.environment)
    finally:
        bench.site.start_workers()
        bench.site.wait_until_ready()
    with running_server(durable=True) as server:
        environment = {**bench.site.environment, "DATABASE_URL": server.url}
        _run(environment, "manage.py", "migrate")
        postgres = _append_rates(environment)
    return [_row("SQLite", sqlite, 0.15), _row("PostgreSQL", postgres, 0.3)]


def _row(name: str, rates: Mapping[str, list[float]], target: float) -> Row:
    pairs = zip(rates["ours"], rates["raw"], strict=True)
    ratio = statistics.median(ours / raw for ours, raw in pairs)
    return Row(
        name=f"B7 appends a second, {name}",
        measured=f"{statistics.median(rates['ours']):,.0f}",
        baseline=f"{statistics.median(rates['raw']):,.0f} (insert and commit, bare driver)",
        result=f"{ratio:.2f}x",
        target=f">= {target}x",
        holds=ratio >= target,
    )


def _append_rates(environment: Mapping[str, str]) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = json.loads(
        _run(environment, "-m", "bench.inside", "appends")
    )
    return rates


def jobs(bench: Bench) -> Row:
    """From a view's `enqueue` to the first line of the job, on the jobs' cluster."""
    folder = str(bench.site.shared)
    said = _run(bench.site.environment, "-m", "bench.inside", "jobs", folder)
    spread = Spread.of([nanoseconds / 1e9 for nanoseconds in json.loads(said)])
    return Row(
        name="B11 job enqueued -> started",
        measured=str(spread),
        baseline="",
        result="",
        target="p95 <= 30 ms",
        holds=spread.p95 <= 30,
    )


def _run(environment: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=dict(environment),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout
