"""F16: whatever is killed at whatever moment, no session is lost or does a thing twice."""

from __future__ import annotations

import os
import random
import uuid

import pytest

from tests.faults.checker import count
from tests.faults.records import check_all, check_site, wait_until_all_idle
from tests.faults.stage import Killer, say
from tests.site.conftest import bash, message

pytestmark = [pytest.mark.site, pytest.mark.docker]

SEED = int(os.environ.get("KILLER_SEED", random.SystemRandom().randrange(10_000)))


def steps(number):
    """Words and counted commands, so that a kill meets streams, tools and pauses."""
    return [
        {
            "words": 4,
            "delay_ms": 60,
            "tools": [bash(count(f"{uuid.uuid4().hex[:8]}-{step}", "sleep 0.5"))],
        }
        for step in range(number)
    ]


def test_random_kills_lose_nothing_and_repeat_nothing(stage):
    survive(stage, sessions=8, seconds=10, calls=10)


@pytest.mark.soak
def test_a_minute_of_random_kills_over_fifty_sessions(stage):
    survive(stage, sessions=50, seconds=60, calls=30)


def survive(stage, *, sessions, seconds, calls):
    logs = [stage.begin(*steps(calls), {"say": "Done."}) for _ in range(sessions)]
    stage.site.wait(lambda: all(log.has("agentsite.tool_started") for log in logs))
    killer = Killer(stage.site, seconds=seconds, seed=SEED)
    killer.start()
    for log in logs:  # clients go on meanwhile
        stage.send_until_taken(log, message("And while you are at it?"))
    killer.join()
    say(f"seed {SEED}; killed {', '.join(killer.killed)}")
    wait_until_all_idle(stage.site, patience=300)
    stage.site.wait_until_ready()
    check_all(stage.site, stage.client, logs)
    for log in logs:
        assert len(log.events("user.message")) == 3  # one more had it read its counter
    check_site(stage.site)
    say(f"{sum(len(log.events('agentsite.recovery')) for log in logs)} recoveries")
