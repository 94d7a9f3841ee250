"""F12: the bus dies: what is stored arrives all the same, and previews come back."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from tests.faults.readers import reading, until, until_read
from tests.faults.stage import say
from tests.site.conftest import bash

pytestmark = [pytest.mark.site, pytest.mark.docker]


async def test_without_a_bus_nothing_is_lost_and_with_it_the_site_is_live_again(
    on_sqlite,
):
    site = on_sqlite.site
    steps = [{"words": 15, "delay_ms": 40, "tools": [bash("true")]} for _ in range(10)]
    log = on_sqlite.begin(*steps, {"say": "Done."})
    async with reading(log) as (watcher,):
        await until(lambda: watcher.previews > 0)
        bus = site.pid("bus")
        os.kill(bus, signal.SIGKILL)
        await until(lambda: site.pid("bus") not in {None, bus})
        back, seen = time.monotonic(), watcher.previews
        # Only the bus carries previews: the next one shows that all are on it again.
        await until(lambda: watcher.previews > seen)
        say(f"live {time.monotonic() - back:.2f} s after the bus was started again")
        assert await asyncio.to_thread(log.status) == "running"
        other = await asyncio.to_thread(on_sqlite.begin, {"say": "Here."})
        await asyncio.to_thread(other.wait_until_idle)
        await asyncio.to_thread(log.wait_until_idle)
        await until_read(log, [watcher])
        assert watcher.numbers == list(range(1, log.newest() + 1))
        assert watcher.connections == 1
    log.check()
    other.check()
    site.wait_until_ready()
