"""A session of eight hours whose client is gone: workers come and go, it finishes.

Its steps are told at the scripted model's pace, and the hours pass in leaps: the moments
at which it began are set back in the database while it works.
"""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from tests.faults.checker import count
from tests.faults.records import Log, counted, rows
from tests.faults.stage import say
from tests.site.conftest import bash, script
from tests.site.processes import process_of

pytestmark = [pytest.mark.site, pytest.mark.docker]

HOURS = 8
PACE = 50
"""Milliseconds that each step thinks."""

CLOCKS = ("created_at", "running_since")


def started(client, environment, *, steps, window):
    """Begin it with all it needs to know, and leave."""
    agent = client.beta.agents.create(
        name="Night shift",
        model=f"scripted-window-{window}",
        tools=[{"type": "agent_toolset_20260401"}],
    )
    calls = [
        {"tools": [bash(count(f"s{number}", "seq 150"))], "wait_ms": PACE}
        for number in range(steps)
    ]
    return client.beta.sessions.create(
        agent=agent.id,
        environment_id=environment.id,
        initial_events=[script(*calls, {"say": "All is done."})],
    )


def leap(site, session_id, hours):
    """Let this much time pass for a session and its threads."""
    with closing(
        sqlite3.connect(site.home / "agentsite.sqlite3", timeout=60)
    ) as database:
        for table, key in (("session", "id"), ("thread", "session_id")):
            for clock in CLOCKS:
                _set_back(
                    database, f"agent_sessions_{table}", key, session_id, clock, hours
                )
        database.commit()


def _set_back(database, table, key, session_id, clock, hours):
    said = database.execute(
        f"SELECT id, {clock} FROM {table} WHERE {key} = ?", [session_id]
    ).fetchall()
    for id, moment in said:
        if moment:
            before = datetime.fromisoformat(moment) - timedelta(hours=hours)
            database.execute(
                f"UPDATE {table} SET {clock} = ? WHERE id = ? AND {clock} = ?",
                [before.isoformat(sep=" "), id, moment],
            )


def kill_host(site, log):
    site.wait(log.owner)
    os.kill(process_of(site, log.owner()), signal.SIGKILL)


def stop_and_start(site, log):
    site.stop_workers()
    site.start_workers()


def kill_cluster(site, log):
    os.kill(site.pid("worker"), signal.SIGKILL)


RESTARTS = (kill_host, stop_and_start, kill_cluster)


def survives(site, client, environment, *, steps, window):
    site.wait_for_image()
    began = datetime.now(UTC)
    session = started(client, environment, steps=steps, window=window)
    log = Log(site, session.id)
    for number, restart in enumerate(RESTARTS, start=1):
        wanted = steps * number // (len(RESTARTS) + 1)
        site.wait(lambda wanted=wanted: results(log) >= wanted, 600)
        leap(site, session.id, HOURS / len(RESTARTS))
        restart(site, log)
    site.wait(lambda: log.status() == "idle", 600)
    took = (datetime.now(UTC) - began).total_seconds()

    log.check(counted(site, client, [log])[0])
    assert log.events("session.status_idle")[0].payload["stop_reason"] == {
        "type": "end_turn"
    }
    said = log.events("agent.message")[0]
    assert said.payload["content"][0]["text"] == "All is done."
    compactions = len(log.events("agent.thread_context_compacted"))
    assert compactions >= 2
    assert results(log) >= steps
    recoveries = log.events("agentsite.recovery")
    taken_over = [each for each in recoveries if "cut" in each.payload]
    assert len(taken_over) >= 2  # what was stopped in peace was handed over
    used = client.beta.sessions.retrieve(session.id)
    assert used.usage.active_seconds >= HOURS * 3600
    assert used.stats.duration_seconds >= HOURS * 3600
    requests = len(log.events("span.model_request_start"))
    lost = [each.payload["seconds_lost"] for each in taken_over]
    say(
        f"{steps} steps, {requests} model requests, {log.newest()} numbers, {compactions}"
        f" compactions, recoveries lost {lost} s; {used.usage.active_seconds / 3600:.1f} h"
        f" told in {took:.0f} s"
    )


def results(log):
    """How many calls have theirs; counted, since the log is long and asked often."""
    ((found,),) = rows(
        log.site,
        "SELECT count(*) FROM agent_sessions_event WHERE session_id = ? AND type = ?",
        log.session_id,
        "agent.tool_result",
    )
    return found


def test_a_night_s_work_survives_three_restarts_and_two_compactions(
    site, client, environment
):
    survives(site, client, environment, steps=60, window=10_000)


@pytest.mark.soak
def test_five_hundred_steps_survive_three_restarts_and_two_compactions(
    site, client, environment
):
    survives(site, client, environment, steps=500, window=80_000)
