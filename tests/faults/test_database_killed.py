"""F11: the database dies under writers: what was acknowledged is there, once."""

from __future__ import annotations

import contextlib
import threading

import anthropic
import pytest

from tests.faults.records import wait_until_all_idle
from tests.faults.stage import say
from tests.site.conftest import bash, message

pytestmark = [pytest.mark.site, pytest.mark.docker, pytest.mark.postgres]

WRITERS = 6


class Writer(threading.Thread):
    """Sends message after message to a session, and notes which were acknowledged."""

    def __init__(self, stage, log):
        super().__init__(daemon=True)
        self.stage, self.log = stage, log
        self.acknowledged, self.refused, self.statuses = [], [], set()
        self.over = threading.Event()

    def run(self):
        number = 0
        while not self.over.wait(0.02):
            number += 1
            text = f"message {number}"
            try:
                self.stage.send(self.log, message(text))
            except anthropic.InternalServerError as refusal:
                self.refused.append(text)
                self.statuses.add(refusal.status_code)
            else:
                self.acknowledged.append(text)


@contextlib.contextmanager
def writing(stage, logs):
    writers = [Writer(stage, log) for log in logs]
    for writer in writers:
        writer.start()
    try:
        yield writers
    finally:
        for writer in writers:
            writer.over.set()
            writer.join()


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_what_was_acknowledged_outlives_the_database(on_postgres, postgres, end):
    stage = on_postgres
    busy = [{"words": 5, "delay_ms": 20, "tools": [bash("true")]} for _ in range(40)]
    logs = [stage.begin(*busy, {"say": "Done."}) for _ in range(WRITERS)]
    with writing(stage, logs) as writers:
        stage.site.wait(lambda: all(len(w.acknowledged) > 5 for w in writers))
        getattr(postgres, end)()
        stage.site.wait(lambda: all(w.refused for w in writers))
        postgres.start()
        before = [len(writer.acknowledged) for writer in writers]
        stage.site.wait(
            lambda: all(
                len(w.acknowledged) > n for w, n in zip(writers, before, strict=True)
            )
        )
    wait_until_all_idle(stage.site)
    for writer in writers:
        assert writer.statuses == {503}
        recoveries = writer.log.events("agentsite.recovery")
        assert not any(event.payload.get("cut") for event in recoveries)
        stored = texts_of(writer.log)
        assert len(stored) == len(set(stored))
        assert set(writer.acknowledged) <= set(stored)
        assert set(stored) <= {*writer.acknowledged, *writer.refused}
        writer.log.check()
    stage.site.wait_until_ready()
    say(
        f"{sum(len(w.acknowledged) for w in writers)} acknowledged and there,"
        f" {sum(len(w.refused) for w in writers)} refused"
    )


def texts_of(log):
    """The messages a session's writer sent, without the one it began with."""
    _, *sent = log.events("user.message")
    return [event.payload["content"][0]["text"] for event in sent]
