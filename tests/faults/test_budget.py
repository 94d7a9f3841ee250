"""A budget over workers that die: what was asked again is held by the same cap."""

from __future__ import annotations

import pytest

from tests.faults.records import Log
from tests.faults.stage import say
from tests.site.conftest import script

pytestmark = [pytest.mark.site, pytest.mark.docker]

CENTS = 30
PER_TOKEN = {  # of the scripted model, in cents: agents' first prices
    "input_tokens": 0.0005,
    "output_tokens": 0.0025,
    "cache_read_input_tokens": 0.00005,
    "cache_creation_input_tokens": 0.000625,
}


def cost(usage):
    return sum(usage[name] * price for name, price in PER_TOKEN.items())


def test_a_budget_holds_over_killed_workers(stage):
    talk = {"words": 1000, "delay_ms": 1, "stop": "pause_turn"}  # about five cents
    session = stage.client.beta.sessions.create(
        agent=stage.agent.id,
        environment_id=stage.environment.id,
        initial_events=[script(*[talk] * 20)],
        budget={
            "type": "limit",
            "max_list_cost": {"amount": str(CENTS), "currency": "USD"},
        },
    )
    log = Log(stage.site, session.id)
    for asked in (2, 5):  # the second kill hits what is asked after the first
        log.wait_for("span.model_request_start", count=asked)
        stage.kill_host_of(log)
    log.wait_until_idle()
    log.check()
    (idle,) = log.events("session.status_idle")
    assert idle.payload["stop_reason"] == {"type": "budget_reached"}
    ends = [e.payload for e in log.events("span.model_request_end")]
    assert sum(end["is_error"] for end in ends) >= 1
    costs = [cost(end["model_usage"]) for end in ends]
    assert sum(costs[:-1]) < CENTS <= sum(costs)
    known = stage.client.beta.sessions.retrieve(session.id).usage.list_cost
    assert int(known.amount) == round(sum(costs))
    say(f"{len(ends)} requests, {sum(costs):.2f} cents of {CENTS}, two workers killed")
