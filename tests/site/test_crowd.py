"""Many watched sessions at once, over a restart of the web process."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from tests.faults.readers import Reader, until
from tests.faults.records import Log, rows
from tests.faults.stage import say

pytestmark = [pytest.mark.site, pytest.mark.soak]

SESSIONS = 500
PATIENCE = 300.0


def newest(site):
    found = rows(site, "SELECT id, next_seq FROM agent_sessions_session")
    return {session_id: following - 1 for session_id, following in found}


def resting(site):
    idle = "SELECT id FROM agent_sessions_session WHERE status = 'idle'"
    return {session_id for (session_id,) in rows(site, idle)}


async def test_watchers_of_five_hundred_sessions_miss_nothing_over_a_restart_of_web(
    site, new_session
):
    began = time.monotonic()
    steps = [{"words": 30, "delay_ms": 100}]
    sessions = [new_session(*steps) for _ in range(SESSIONS)]
    readers = [Reader(Log(site, session.id)) for session in sessions]
    tasks = [asyncio.create_task(reader.follow()) for reader in readers]
    try:
        await until(lambda: all(reader.connections for reader in readers), PATIENCE)
        os.kill(site.pid("web"), signal.SIGTERM)
        watched = {session.id for session in sessions}
        await until(lambda: watched <= resting(site), PATIENCE)
        ends = newest(site)
        await until(
            lambda: all(each.last >= ends[each.session_id] for each in readers),
            PATIENCE,
        )
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for reader in readers:
        assert reader.numbers == list(range(1, ends[reader.session_id] + 1))
        assert reader.connections > 1
    site.wait_until_ready()
    say(
        f"{SESSIONS} watched sessions over a restart of web: {sum(ends.values())} numbers,"
        f" none missed or repeated, {time.monotonic() - began:.0f} s"
    )
