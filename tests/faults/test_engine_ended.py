"""The engine restarts or dies, or a container does, while a tool runs in it."""

from __future__ import annotations

import signal
import uuid

import pytest

from sandbox.images import base_image_tag
from tests.faults.checker import count
from tests.faults.records import check_all
from tests.faults.stage import Stage, say
from tests.plugins.site import running_site
from tests.site.conftest import bash, results

pytestmark = [pytest.mark.site, pytest.mark.docker]

ENDS = [signal.SIGTERM, signal.SIGKILL]


@pytest.fixture(scope="module")
def on_own_engine(own_engine, site):
    """A site whose sandboxes live on an engine that may be ended."""
    site.wait_for_image()
    own_engine.load(base_image_tag())
    with running_site(DOCKER_HOST=own_engine.url) as running:
        running.wait_for_image()
        stage = Stage(running)
        yield stage
        stage.close()
        own_engine.run(live_restore=False)  # so that the site can remove what it made


def begin(stage, seconds):
    """A session that works on a counted command, and has another one to do."""
    tokens = [uuid.uuid4().hex[:8] for _ in range(2)]
    log = stage.begin(
        {"tools": [bash(count(tokens[0], f"sleep {seconds}; echo at last"))]},
        {"tools": [bash(count(tokens[1], "echo here again"))]},
        {"say": "Done."},
    )
    log.wait_for("agentsite.tool_started")
    stage.site.wait(lambda: container_of(stage, log) is not None)
    return log


def container_of(stage, log):
    mine = {"agentsite.session": log.session_id}
    found = [
        each for each in stage.site.containers() if mine.items() <= each.labels.items()
    ]
    return found[0] if found else None


def restart(stage, engine, end, live_restore):
    engine.end(end)
    engine.start(live_restore=live_restore)


@pytest.mark.parametrize("end", ENDS)
def test_with_live_restore_a_call_outlives_its_engine(on_own_engine, own_engine, end):
    stage = on_own_engine
    own_engine.run(live_restore=True)
    log = begin(stage, seconds=4)
    before = container_of(stage, log).id
    restart(stage, own_engine, end, live_restore=True)
    log.wait_until_idle()
    assert texts(stage, log) == ["at last", "here again"]
    assert container_of(stage, log).id == before
    assert log.events("agentsite.recovery") == []
    check_all(stage.site, stage.client, [log])


@pytest.mark.parametrize("end", ENDS)
def test_without_it_the_outcome_is_said_to_be_unknown(on_own_engine, own_engine, end):
    stage = on_own_engine
    own_engine.run(live_restore=False)
    log = begin(stage, seconds=600)
    before = container_of(stage, log).id
    restart(stage, own_engine, end, live_restore=False)
    went_on_in_another(stage, log, before)


def test_a_call_whose_container_is_killed_has_an_unknown_outcome(on_sqlite):
    log = begin(on_sqlite, seconds=600)
    container = container_of(on_sqlite, log)
    container.kill()
    went_on_in_another(on_sqlite, log, container.id)


def went_on_in_another(stage, log, before):
    """The model was told that nobody knows, and its next call ran in a new sandbox."""
    log.wait_until_idle()
    lost, found = texts(stage, log)
    assert "Its outcome is unknown" in lost
    assert found == "here again"
    assert container_of(stage, log).id != before
    first, second = log.events("agent.tool_result")
    assert (first.payload["is_error"], second.payload["is_error"]) == (True, False)
    (told,) = log.events("agentsite.recovery")
    assert [call["outcome"] for call in told.payload["calls"]] == ["unknown"]
    say(
        f"told {told.at - log.events('agentsite.tool_started')[0].at:.1f} s into the call"
    )
    check_all(stage.site, stage.client, [log])


def texts(stage, log):
    events = stage.client.beta.sessions.events.list(log.session_id)
    return [text.strip() for text in results(events)]
