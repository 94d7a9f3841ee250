"""F14: a request that is sent again, and wakes that come again: done once."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import anthropic
import pytest

from tests.faults.records import rows
from tests.site.conftest import script

pytestmark = pytest.mark.site

TIMES = 10


def at_once(act):
    """Do it ten times side by side, as clients do that are told to ask again."""

    def insistently(_):
        while True:
            try:
                return act()
            except anthropic.ConflictError as busy:
                if busy.body["error"]["type"] != "conflict_error":
                    raise

    with ThreadPoolExecutor(TIMES) as threads:
        return list(threads.map(insistently, range(TIMES)))


def test_a_message_that_is_sent_ten_times_at_once_is_one_event_and_one_turn(stage):
    log, key = stage.begin(), uuid.uuid4().hex
    step = script({"words": 5, "delay_ms": 20})
    answers = at_once(lambda: stage.send(log, step, key=key))
    assert len({answer.data[0].id for answer in answers}) == 1
    log.wait_for("session.status_idle")
    stage.inside("wake", log.session_id, TIMES)
    other = stage.begin({"say": "Here."})  # whose wake is heard after those
    other.wait_until_idle()
    for kind in ("user.message", "session.status_running", "span.model_request_start"):
        assert len(log.events(kind)) == 1
    assert log.fence() == 1
    log.check()


def test_wakes_that_come_ten_times_during_a_turn_start_no_second_one(stage):
    log = stage.begin({"words": 40, "delay_ms": 50})
    log.wait_for("span.model_request_start")
    stage.inside("wake", log.session_id, TIMES)
    log.wait_until_idle()
    assert log.fence() == 1
    assert len(log.events("span.model_request_start")) == 1
    log.check()


def test_a_session_that_is_asked_for_ten_times_at_once_is_one(stage):
    title = uuid.uuid4().hex

    def create():
        return stage.client.beta.sessions.create(
            agent=stage.agent.id,
            environment_id=stage.environment.id,
            title=title,
            extra_headers={"Idempotency-Key": title},
        )

    assert len({session.id for session in at_once(create)}) == 1
    count = "SELECT count(*) FROM agent_sessions_session WHERE title = ?"
    assert rows(stage.site, count, title) == [(1,)]
