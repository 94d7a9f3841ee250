"""A site that makes sandboxes ahead, as every site does that is not told otherwise."""

from __future__ import annotations

import anthropic
import pytest

from sandbox.pool import PREFIX
from tests.plugins.site import RunningSite, new_home
from tests.site.test_up import ALL, run

pytestmark = [pytest.mark.site, pytest.mark.docker]


@pytest.fixture(scope="module")
def ready():
    """A site of its own, in which a first session has shown what is wanted."""
    running = RunningSite(new_home())
    del running.environment["AGENTSITE_SANDBOX_POOL"]
    running.up(ALL)
    running.wait_until_ready()
    running.wait_for_image()
    yield running
    running.stop()
    assert running.containers() == []
    assert not [name for name in volumes(running) if PREFIX in name]
    running.remove()


@pytest.fixture
def client(ready):
    with anthropic.Anthropic(base_url=ready.url, api_key=ready.api_key) as client:
        yield client


@pytest.fixture
def begin(client):
    agent = client.beta.agents.create(
        name="Hurried",
        model="scripted-demo",
        tools=[{"type": "agent_toolset_20260401"}],
    )

    def begin(config=None, **options):
        environment = client.beta.environments.create(
            name=f"{agent.id} {options}", config={"type": "cloud", **(config or {})}
        )
        return client.beta.sessions.create(
            agent=agent.id, environment_id=environment.id, **options
        )

    return begin


def tickets(site):
    return [path.name for path in site.home.glob("sandboxes/.pool/*/tickets/pool-*")]


def claimed(site, session):
    ticket = site.home / "sandboxes" / session.id / "sandbox"
    return ticket.read_text() if ticket.exists() else None


def volumes(site):
    with site.engine() as engine:
        found = engine.volumes.list(filters={"label": f"agentsite.site={site.name}"})
        return [volume.name for volume in found]


def test_a_session_gets_one_with_all_that_is_its_own(ready, client, begin):
    assert run(ready, begin().id, "echo cold") == ["cold"]
    ready.wait(lambda: tickets(ready))
    [waiting] = tickets(ready)
    file = client.beta.files.upload(file=("sum.csv", b"Nov,3\n"))
    path = "/mnt/session/uploads/sum.csv"
    session = begin(
        {
            "variables": {"COLOUR": "blue"},
            "networking": {"type": "limited", "allowed_hosts": []},
        },
        resources=[{"type": "file", "file_id": file.id, "mount_path": path}],
    )
    look = f"echo $COLOUR; cat {path}; curl -sS http://evil.example/; echo kept > note"
    [said] = run(ready, session.id, look)
    assert claimed(ready, session) == waiting
    assert said.startswith("blue\nNov,3\n")
    assert "evil.example is not among the hosts" in said

    ready.wait(lambda: tickets(ready))  # another one takes its place
    [container] = [one for one in ready.containers() if waiting in one.name]
    container.kill()
    assert run(ready, session.id, "cat note; echo $COLOUR") == ["kept\nblue"]
    assert claimed(ready, session) == waiting

    client.beta.sessions.delete(session.id)
    ready.wait(lambda: not [name for name in volumes(ready) if waiting in name])
