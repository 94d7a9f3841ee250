"""A site whose sandboxes are made by bubblewrap."""

from __future__ import annotations

import os
import signal

import anthropic
import pytest

from sandbox.bubblewrap import processes
from tests.plugins.site import RunningSite, new_home
from tests.sandbox.fixtures import base_tree
from tests.site.conftest import bash, follow, results, script
from tests.site.test_up import ALL, run

__all__ = ["base_tree"]

pytestmark = [pytest.mark.site, pytest.mark.bubblewrap]


@pytest.fixture(scope="module")
def boxed(base_tree):
    """A site of its own, with the base image unpacked already."""
    running = RunningSite(new_home(), AGENTSITE_SANDBOX="bubblewrap")
    (running.home / "bubblewrap").mkdir(mode=0o755)
    (running.home / "bubblewrap/images").symlink_to(base_tree[1])
    running.up(ALL)
    running.wait_until_ready()
    running.wait_for_image()
    yield running
    running.stop()
    assert sandboxes(running) == {}
    running.remove()


@pytest.fixture
def client(boxed):
    with anthropic.Anthropic(base_url=boxed.url, api_key=boxed.api_key) as client:
        yield client


@pytest.fixture
def session(client):
    agent = client.beta.agents.create(
        name="Boxed",
        model="scripted-demo",
        tools=[{"type": "agent_toolset_20260401"}],
    )
    environment = client.beta.environments.create(name=f"boxed for {agent.id}")
    session = client.beta.sessions.create(agent=agent.id, environment_id=environment.id)
    yield session
    client.beta.sessions.delete(session.id)


def sandboxes(site):
    return processes.running(site.runtime_dir.name.removeprefix("agentsite-"))


def test_health_names_what_makes_the_sandboxes(boxed):
    assert boxed.health()["parts"]["engine"]["detail"].startswith("bubblewrap.")


def test_an_agent_works_and_its_files_outlive_the_sandbox(boxed, session):
    assert run(boxed, session.id, "echo kept > note; id -u") == ["1000"]
    [process] = sandboxes(boxed)[session.id]
    os.kill(process, signal.SIGKILL)
    assert run(boxed, session.id, "cat note") == ["kept"]


def test_no_network_but_the_proxy(boxed, session):
    ask = (
        "tail -n +3 /proc/net/dev | cut -d: -f1; curl -sS -m 5 http://169.254.169.254/"
    )
    [said] = run(boxed, session.id, ask)
    assert "link-local, where clouds keep metadata" in said
    interfaces, _, _ = said.partition("Egress")
    assert interfaces.split() == ["lo"]


def test_a_call_outlives_a_killed_worker_and_is_collected(boxed, client, session):
    task = script({"tools": [bash("sleep 4; echo survived")]}, {"say": "Done."})
    client.beta.sessions.events.send(session.id, events=[task])
    boxed.wait(lambda: session.id in sandboxes(boxed))
    os.kill(boxed.pid("worker"), signal.SIGKILL)
    seen = follow(client, session.id)
    assert [line.strip() for line in results(seen)] == ["survived"]
    boxed.wait_until_ready()
