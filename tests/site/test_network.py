"""What a sandbox of a whole site reaches, and how people learn of it."""

from __future__ import annotations

import time

import httpx2
import pytest

from tests.site.conftest import bash, follow, results, script

pytestmark = [pytest.mark.site, pytest.mark.docker]

PATIENCE = 20.0


@pytest.fixture(autouse=True, scope="module")
def image(site):
    site.wait_for_image()


@pytest.fixture(scope="module")
def call(site):
    """Asks the API for what the SDK does not know."""

    def call(method, path, **options):
        headers = {"x-api-key": site.api_key, "anthropic-version": "2023-06-01"}
        answer = httpx2.request(
            method, f"{site.url}{path}", headers=headers, timeout=60, **options
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    return call


@pytest.fixture
def limited(client, agent):
    """Starts a session that reaches only these hosts."""

    def start(*steps, hosts=()):
        network = {"type": "limited", "allowed_hosts": [*hosts]}
        environment = client.beta.environments.create(
            name=f"limited {time.monotonic_ns()}",
            config={"type": "cloud", "networking": network},
        )
        return client.beta.sessions.create(
            agent=agent.id,
            environment_id=environment.id,
            initial_events=[script(*steps)],
        )

    return start


def soon(look):
    until = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.1)
    return found


def test_what_is_refused_is_recorded_and_told(client, call, limited):
    both = "curl -sS http://evil.example/a?b=c; curl -sS https://evil.example/"
    session = limited({"tools": [bash(both)]}, {"say": "Done."})
    events = follow(client, session.id)
    [use] = [event for event in events if event.type == "agent.tool_use"]
    [said] = results(events)
    assert "evil.example is not among the hosts" in said
    path = f"/v1/sessions/{session.id}"

    def records():
        found = call("GET", f"{path}/egress?order=asc")["data"]
        return found if len(found) == 2 else None

    plain, tunnel = soon(records)
    assert (plain["method"], plain["path"], plain["port"]) == ("GET", "/a", 80)
    assert (tunnel["method"], tunnel["path"], tunnel["port"]) == ("CONNECT", None, 443)
    for record in (plain, tunnel):
        assert (record["verdict"], record["rule"]) == ("refused", "not_allowed")
        assert record["tool_use_ids"] == [use.id]

    def told():
        listed = call("GET", f"{path}/events?include=agentsite")["data"]
        found = [e for e in listed if e["type"] == "agentsite.egress_refused"]
        return found if len(found) == 2 else None

    assert {(e["host"], e["port"]) for e in soon(told)} == {
        ("evil.example", 80),
        ("evil.example", 443),
    }


def test_a_host_that_is_allowed_opens_at_once_for_a_program_that_runs(
    client, call, limited
):
    ask = "curl -s -o /dev/null -w '%{http_connect}' https://no.example/"
    wait = 'until [ "$(code)" != 403 ]; do sleep 0.1; done; code'
    session = limited(
        {"tools": [bash(f"code() {{ {ask}; }}; {wait}")]}, {"say": "Done."}
    )
    path = f"/v1/sessions/{session.id}"
    soon(lambda: call("GET", f"{path}/egress?verdict=refused")["data"])
    call("POST", f"{path}/allowed_hosts", json={"host": "no.example"})
    [said] = results(follow(client, session.id))
    assert said.startswith("502")  # looked up, and there is no such name
    failed = soon(lambda: call("GET", f"{path}/egress?verdict=failed")["data"])
    record = failed[0]
    assert (record["rule"], record["host"]) == ("no_address", "no.example")


def test_an_environment_s_network_is_checked_from_inside(site, client):
    network = {"type": "limited", "allowed_hosts": []}
    environment = client.beta.environments.create(
        name=f"checked {time.monotonic_ns()}",
        config={"type": "cloud", "networking": network},
    )
    lines = site.manage("check_egress", environment.id).splitlines()
    assert len(lines) == 6
    assert all(line.startswith("refused") for line in lines)
