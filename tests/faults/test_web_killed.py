"""F10: the web process dies under its watchers: who comes back misses nothing."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from tests.faults.readers import reading, until_read
from tests.faults.stage import say
from tests.site.conftest import bash, script

pytestmark = [pytest.mark.site, pytest.mark.docker]

WATCHERS = 200


async def test_two_hundred_watchers_lose_and_repeat_nothing_when_web_is_killed(
    on_sqlite,
):
    site = on_sqlite.site
    steps = [{"words": 6, "delay_ms": 40, "tools": [bash("true")]} for _ in range(30)]
    log = on_sqlite.begin()
    on_sqlite.send(log, script(*steps, {"say": "Done."}))
    async with reading(log, WATCHERS) as watchers:
        web = site.pid("web")
        os.kill(web, signal.SIGKILL)
        at = max(watcher.last for watcher in watchers)
        await asyncio.to_thread(log.wait_until_idle)
        await until_read(log, watchers)
        everything = list(range(1, log.newest() + 1))
        assert at < everything[-1]
        assert all(watcher.numbers == everything for watcher in watchers)
        assert all(watcher.connections > 1 for watcher in watchers)
    log.check()
    site.wait_until_ready()
    say(f"killed at number {at} of {everything[-1]}, with {WATCHERS} watchers")
