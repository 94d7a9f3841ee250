"""F15: a database that cannot be written to: locked for long, or on a full disk."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import anthropic
import pytest

from tests.faults.checker import count
from tests.faults.records import check_all, rows
from tests.faults.stage import Stage, say
from tests.plugins.site import running_site
from tests.site.conftest import bash, message

pytestmark = [pytest.mark.site, pytest.mark.docker]

SIZE_MB = 48


@pytest.fixture
def small_disk():
    """A file system of its own, with little room."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    folder = Path(tempfile.mkdtemp(prefix="agentsite-small-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=0755"]
    subprocess.run([*mount, "small", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()


@contextlib.contextmanager
def filled(folder):
    """Nothing more fits, until the end of the block."""
    filler = folder / "filler"
    try:
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def locked(site):
    """Somebody writes to the SQLite file, and does not come to an end."""
    path = site.home / "agentsite.sqlite3"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("ROLLBACK")


def begin(stage):
    """Sessions at work, each with counted commands before it and a counter file."""

    def step():
        return {"words": 3, "tools": [bash(count(uuid.uuid4().hex[:8], "sleep 1"))]}

    logs = [
        stage.begin(*(step() for _ in range(4)), {"say": "Done."}) for _ in range(3)
    ]
    for log in logs:
        log.wait_for("agentsite.tool_started")
    return logs


def refusal(stage, log):
    """Send until something is refused; return the refusal, and what was taken before."""
    taken = []
    while True:
        text = uuid.uuid4().hex
        try:
            stage.send(log, message(text))
        except anthropic.InternalServerError as refused:
            return refused, taken
        taken.append(text)


def is_clear(refused):
    assert refused.status_code == 503
    assert refused.body["type"] == "error"
    assert refused.body["error"]["type"] == "api_error"
    assert "Send the request again" in refused.body["error"]["message"]
    assert refused.body["request_id"] == refused.response.headers["request-id"]
    assert refused.response.headers["x-should-retry"] == "true"


def page_of(url):
    """The status and the text of a page."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def events_of(stage, log):
    """Reading goes on while nothing can be written."""
    return list(stage.client.beta.sessions.events.list(log.session_id))


def recovers(stage, logs, log, taken):
    """Nothing that was taken is lost, and nobody was taken for dead meanwhile."""
    stage.send_until_taken(log, message("And now?"))
    for each in logs:
        each.wait_until_idle()
        assert not any(e.payload.get("cut") for e in each.events("agentsite.recovery"))
    stored = [e.payload["content"][0]["text"] for e in log.events("user.message")]
    assert set(taken) <= set(stored)
    assert stored[-1] == "And now?"
    assert len(stored) == len(set(stored))
    stage.site.wait_until_ready()
    check_all(stage.site, stage.client, logs)


def test_a_full_disk_is_told_and_the_site_recovers_by_itself(small_disk):
    with running_site(small_disk) as site:
        site.wait_for_image()
        stage = Stage(site)
        link = site.login_link()
        logs = begin(stage)
        log = stage.begin()
        with filled(small_disk):
            refused, taken = refusal(stage, log)
            is_clear(refused)
            status, text = page_of(link)
            assert status == 503
            assert "cannot reach its database" in text
            assert events_of(stage, logs[0])
        recovers(stage, [*logs, log], log, taken)
        say(f"{len(taken)} messages were taken while the disk was full")
        stage.close()


def test_a_database_locked_for_longer_than_a_lease_costs_nobody_their_sessions(
    on_sqlite,
):
    stage = on_sqlite
    logs = begin(stage)
    log = stage.begin()
    with locked(stage.site):
        began = time.monotonic()
        refused, taken = refusal(stage, log)
        say(f"refused after {time.monotonic() - began:.1f} s")
        is_clear(refused)
        assert events_of(stage, logs[0])
        stage.site.wait(lambda: all_leases_are_over(stage.site))
    recovers(stage, [*logs, log], log, taken)


def all_leases_are_over(site):
    held = rows(
        site,
        "SELECT lease_until FROM agent_sessions_session WHERE status = ? AND owner <> ?",
        "running",
        "",
    )
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    return all(until < now for (until,) in held)
