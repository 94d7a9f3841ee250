"""F5: hosts that want the same session: one has it, and each claim raises the fence."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.records import Log, rows
from tests.faults.stage import say
from tests.site.conftest import script

pytestmark = pytest.mark.site

CLAIMANTS = 3
CLAIMS = 60
MANY = 40


def test_of_hosts_that_claim_one_session_one_has_it(stage):
    stage.site.stop_workers()
    try:
        log = stage.begin({"say": "At last."})
        names = [f"claimant-{number}" for number in range(CLAIMANTS)]
        with ThreadPoolExecutor(CLAIMANTS) as threads:
            found = list(threads.map(lambda name: claims(stage, name, log), names))
    finally:
        stage.site.start_workers()
        stage.site.wait_until_ready()
    fences = sorted(fence for each in found for fence in each)
    assert fences == list(range(1, len(fences) + 1))
    assert len([each for each in found if each]) > 1
    log.wait_until_idle()
    assert log.fence() == len(fences) + 1
    log.check()
    say(f"claims of each: {[len(each) for each in found]}")


def claims(stage, name, log):
    done = stage.inside("claim", name, log.session_id, CLAIMS)
    assert done.returncode == 0, done.stderr
    return [int(fence) for fence in done.stdout.split()]


def test_what_begins_in_one_moment_is_shared_and_claimed_once(stage):
    done = stage.inside(
        "begin_many",
        stage.agent.id,
        stage.environment.id,
        MANY,
        script({"words": 30, "delay_ms": 100})["content"][0]["text"],
    )
    logs = [Log(stage.site, session_id) for session_id in done.stdout.split()]
    assert len(logs) == MANY, done.stderr
    owners = {}
    stage.site.wait(lambda: owners.update(owned(stage, logs)) or len(owners) == MANY)
    held = [list(owners.values()).count(owner) for owner in {*owners.values()}]
    assert len(held) == 2
    say(f"{MANY} sessions at once, shared {sorted(held)}")
    for log in logs:
        log.wait_until_idle()
        log.check()
        assert log.fence() == 1


def owned(stage, logs):
    """The owner of each of these sessions that has one now."""
    wanted = {log.session_id for log in logs}
    found = rows(stage.site, "SELECT id, owner FROM agent_sessions_session")
    return {id: owner for id, owner in found if owner and id in wanted}
