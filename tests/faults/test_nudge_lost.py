"""F3: a process dies between what it stored and the telling: it is found all the same."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest

from tests.faults.readers import reading, until
from tests.faults.stage import say
from tests.site.conftest import script

pytestmark = pytest.mark.site

ANSWERED = script({"say": "Here."})["content"][0]["text"]


async def test_what_nobody_was_told_of_is_seen_and_taken_up_once(stage):
    log = stage.begin()
    async with reading(log) as (watcher,):
        await dies(stage, "rename_and_die", log, "Unheard of")
        await seen(log, watcher, "a change")
        await dies(stage, "send_and_die", log, ANSWERED)
        await seen(log, watcher, "a message")
        await asyncio.to_thread(log.wait_for, "session.status_idle")
        before = await asyncio.to_thread(log.newest)
        await asyncio.to_thread(stage.inside, "wake", log.session_id, 10)
        # Wakes are heard in order: after another session's they have done what they do.
        other = await asyncio.to_thread(stage.begin, {"say": "Here."})
        await asyncio.to_thread(other.wait_until_idle)
        await until(lambda: watcher.last >= before)
        assert watcher.numbers == list(range(1, before + 1))
    assert log.newest() == before
    assert log.fence() == 1
    assert len(log.events("span.model_request_start")) == 1
    log.check()


async def dies(stage, program, log, words):
    done = await asyncio.to_thread(stage.inside, program, log.session_id, words)
    assert done.returncode == -signal.SIGKILL, done.stderr


async def seen(log, watcher, what):
    stored = time.monotonic()
    newest = await asyncio.to_thread(log.newest)
    await until(lambda: watcher.last >= newest)
    say(f"{what} was seen {time.monotonic() - stored:.2f} s after its writer's death")
