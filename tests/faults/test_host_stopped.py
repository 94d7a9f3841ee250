"""F4, F9: a host that stands still comes back to find its sessions gone; a signal to all."""

from __future__ import annotations

import os
import signal
import time
import uuid

import pytest

from tests.faults.checker import count
from tests.faults.records import check_all
from tests.faults.stage import say
from tests.site.conftest import bash
from tests.site.processes import is_alive

pytestmark = [pytest.mark.site, pytest.mark.docker]


def counted_steps(seconds):
    """Three counted commands; the first takes its time."""
    tokens = [uuid.uuid4().hex[:8] for _ in range(3)]
    first, *others = tokens
    return [
        {"tools": [bash(count(first, f"sleep {seconds}"))]},
        *({"tools": [bash(count(token))]} for token in others),
        {"say": "Done."},
    ]


def test_a_host_that_stood_still_beyond_its_lease_can_no_longer_write(
    stage,
):
    refused = stage.site.logs().count("turn given up")
    logs = [stage.begin(*counted_steps(4)) for _ in range(2)]
    for log in logs:
        log.wait_for("agentsite.tool_started")
    owner, fence = logs[0].owner(), logs[0].fence()
    stopped = stage.host_of(logs[0])
    held = [log for log in logs if log.owner() == owner]
    os.kill(stopped, signal.SIGSTOP)
    began = time.monotonic()
    try:
        stage.site.wait(lambda: all(log.fence() > fence for log in held))
        say(f"taken over {time.monotonic() - began:.1f} s after its host stood still")
        for log in logs:
            log.wait_until_idle()
        before = [log.newest() for log in held]
    finally:
        os.kill(stopped, signal.SIGCONT)
    stage.site.wait(lambda: stage.site.logs().count("turn given up") > refused)
    assert [log.newest() for log in held] == before
    stage.site.wait_until_ready()
    assert is_alive(stopped)
    check_all(stage.site, stage.client, logs)


def test_a_signal_to_every_process_of_the_cluster_hands_its_turns_over(on_sqlite):
    stage = on_sqlite
    logs = [stage.begin(*counted_steps(4)) for _ in range(4)]
    for log in logs:
        log.wait_for("agentsite.tool_started")
    leader, asked = stage.site.pid("worker"), time.time()
    os.killpg(leader, signal.SIGTERM)
    stage.site.wait(lambda: not is_alive(leader))
    for log in logs:
        log.wait_until_idle()
    for log in logs:  # handed over, not found dead
        recoveries = log.events("agentsite.recovery")
        assert not any(event.payload.get("cut") for event in recoveries)
        first, *_ = log.events("agent.tool_result")
        assert not first.payload["is_error"]
        say(f"went on {recoveries[0].at - asked:.2f} s after SIGTERM to the group")
    stage.site.wait_until_ready()
    check_all(stage.site, stage.client, logs)
