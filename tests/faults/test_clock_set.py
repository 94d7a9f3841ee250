"""F13: somebody sets the clock: no lease is lost by it, and nothing runs for it."""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from pathlib import Path

import pytest

from sessions.leases import LEASE_SECONDS
from tests.faults.checker import count
from tests.faults.records import check_all
from tests.faults.stage import Stage
from tests.plugins.postgres import running_server
from tests.plugins.site import running_site
from tests.site.conftest import bash
from tests.site.processes import holders

pytestmark = [pytest.mark.site, pytest.mark.docker]

LIBRARIES = "/usr/lib/*/faketime/libfaketimeMT.so.1"
HOUR = 3600
TRUSTED_AFTER = LEASE_SECONDS + 5
"""Seconds after which a host takes what others hold for the clock's sake, too."""


class Clock:
    """The wall clock of every process that has this environment."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.set(0)

    def set(self, ahead: int) -> None:
        self._file.write_text(f"{ahead:+d}\n")

    @property
    def environment(self) -> dict[str, str]:
        (library,) = Path("/").glob(LIBRARIES.lstrip("/"))
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


@pytest.fixture
def clock():
    assert [*Path("/").glob(LIBRARIES.lstrip("/"))], "apt-get install libfaketime"
    with tempfile.TemporaryDirectory(prefix="agentsite-clock-") as folder:
        Path(folder).chmod(0o755)
        yield Clock(Path(folder))


@pytest.mark.parametrize(
    "database",
    [
        pytest.param("sqlite", marks=pytest.mark.soak),  # its lease clock has no hands
        pytest.param("postgres", marks=pytest.mark.postgres),
    ],
)
def test_a_clock_that_is_set_by_an_hour_and_back_moves_no_session(clock, database):
    if database == "sqlite":
        lives_with(clock)
        return
    with running_server(**clock.environment) as server:
        lives_with(clock, DATABASE_URL=server.url)


def lives_with(clock, **environment):
    with running_site(**clock.environment, **environment) as site:
        site.wait_for_image()
        stage = Stage(site)
        if environment:  # SQLite's lease clock is one that nobody can set
            site.wait(lambda: all(age_of(host) > TRUSTED_AFTER for host in hosts(site)))
        logs = [stage.begin(*steps(), {"say": "Done."}) for _ in range(3)]
        for log in logs:
            log.wait_for("agentsite.tool_started")
        for ahead in (HOUR, -HOUR):
            clock.set(ahead)
            site.wait(lambda ahead=ahead: all(goes_by(log, ahead) for log in logs))
        for log in logs:
            log.wait_until_idle()
        assert [log.fence() for log in logs] == [1] * len(logs)
        assert not any(log.events("agentsite.recovery") for log in logs)
        check_all(site, stage.client, logs)
        stage.close()


def steps():
    """About a quarter of a minute of counted commands."""
    return [
        {"tools": [bash(count(uuid.uuid4().hex[:8], "sleep 1"))]} for _ in range(12)
    ]


def goes_by(log, ahead):
    """Whether a session has gone a few steps by a clock that is ahead by so much."""
    now = time.time() + ahead
    moments = [event.at for event in log.events("agent.tool_result")[-3:]]
    return all(abs(now - moment) < HOUR / 2 for moment in moments)


def hosts(site):
    """The processes that host turns."""
    files = (site.runtime_dir / "hosts").glob("*.json")
    return [pid for file in files for pid in holders(file)]


def age_of(pid):
    """Seconds since a process began, by the boot clock."""
    began = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    ticks = os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - began / ticks
