"""A worker process dies in the middle of a turn: the session goes on by itself."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from sessions.leases import LEASE_SECONDS
from tests.site.conftest import bash, results, script
from tests.site.processes import holders, is_alive, process_of

pytestmark = pytest.mark.site

SLOW_COUNT = 'echo run >> count; for n in $(seq 30); do sleep 0.1; done; echo "at last"'
STEPS = (
    {"tools": [bash(SLOW_COUNT)]},
    {"tools": [bash("wc -l < count")]},
    {"say": "Ok."},
)


def say(measured):
    """For whoever reads along with `pytest -s`; nothing depends on it."""
    sys.stdout.write(f"\n{measured}\n")


def kill_host_of(site, log):
    """kill -9 the worker that holds the session; return the moment."""
    os.kill(process_of(site, log.owner()), signal.SIGKILL)
    return time.time()


def test_a_reply_cut_off_by_a_killed_worker_is_asked_again(site, new_session, log_of):
    session = new_session({"words": 100, "delay_ms": 30}, {"say": "Never."})
    log = log_of(session)
    log.wait_for("span.model_request_start")
    time.sleep(0.5)  # words are on their way: none of them is in the log
    killed = kill_host_of(site, log)
    log.wait_until_idle()
    log.check()
    assert len(log.events("agent.message")) == 1
    cut, whole = log.events("span.model_request_end")
    assert (cut.payload["is_error"], whole.payload["is_error"]) == (True, False)
    (recovery,) = log.events("agentsite.recovery")
    assert "model request" in recovery.payload["cut"]
    # Found dead by its lock: nobody waited until its lease was over.
    assert recovery.payload["seconds_lost"] < LEASE_SECONDS
    _, again = log.events("span.model_request_start")
    say(f"asked again {again.at - killed:.2f} s after kill -9 in a model stream")
    say(f"the log says {recovery.payload['seconds_lost']} s were lost")


@pytest.mark.docker
def test_a_command_outlives_its_killed_worker_and_runs_once(
    site, client, new_session, log_of
):
    site.wait_for_image()
    session = new_session(*STEPS)
    log = log_of(session)
    log.wait_for("agentsite.tool_started")
    killed = kill_host_of(site, log)
    log.wait_until_idle()
    log.check()
    first, second = results(list(client.beta.sessions.events.list(session.id)))
    assert first.strip() == "at last"
    assert second.strip() == "1"
    over, told = log.events("agentsite.recovery")
    assert "bash" in over.payload["cut"]
    assert [call["outcome"] for call in told.payload["calls"]] == ["collected"]
    say(f"taken over {over.at - killed:.2f} s after kill -9 in a bash call")


@pytest.mark.docker
def test_a_cluster_asked_to_end_hands_its_commands_over(
    site, client, new_session, log_of
):
    site.wait_for_image()
    session = new_session(*STEPS)
    log = log_of(session)
    log.wait_for("agentsite.tool_started")
    leader, asked = site.pid("worker"), time.time()
    os.kill(leader, signal.SIGTERM)
    site.wait(lambda: not is_alive(leader))
    gone = time.time()
    log.wait_until_idle()
    log.check()
    first, second = results(list(client.beta.sessions.events.list(session.id)))
    assert (first.strip(), second.strip()) == ("at last", "1")
    assert not any(e.payload.get("cut") for e in log.events("agentsite.recovery"))
    site.wait_until_ready()
    (told,) = log.events("agentsite.recovery")
    say(f"the cluster ended {gone - asked:.2f} s after SIGTERM")
    say(f"the next one collected the call {told.at - asked:.2f} s after SIGTERM")


@pytest.mark.docker
def test_a_stop_reaches_a_command_whose_worker_was_killed(
    site, client, new_session, log_of
):
    site.wait_for_image()
    session = new_session({"tools": [bash("sleep 600", timeout_ms=900_000)]})
    log = log_of(session)
    log.wait_for("agentsite.tool_started")
    kill_host_of(site, log)
    client.beta.sessions.events.send(session.id, events=[{"type": "user.interrupt"}])
    log.wait_until_idle()
    more = script({"tools": [bash("pgrep -c sleep || echo none left")]}, {"say": "Ok."})
    client.beta.sessions.events.send(session.id, events=[more])
    site.wait(lambda: len(log.events("agent.tool_result")) == 2)
    log.wait_until_idle()
    log.check()
    found = results(list(client.beta.sessions.events.list(session.id)))
    assert "none left" in found[1]


def test_workers_without_a_host_end_until_one_comes_up(site, new_session, log_of):
    hosts = site.runtime_dir / "hosts"
    kept = hosts.rename(hosts.with_name("hosts.kept"))
    hosts.touch()  # in the way: no host can note there that it lives
    before = site.logs().count("hosts no turns")
    try:
        for pid in [pid for path in kept.glob("*.json") for pid in holders(path)]:
            os.kill(pid, signal.SIGKILL)
        site.wait(lambda: site.logs().count("hosts no turns") > before)
    finally:
        hosts.unlink()
        kept.rename(hosts)
    log = log_of(new_session({"say": "Here again."}))
    log.wait_until_idle()
    log.check()
    site.wait_until_ready()
