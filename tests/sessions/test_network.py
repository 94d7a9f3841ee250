"""What a session's sandbox may reach."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async

from agents import actions as definitions
from agents import networking
from agents.environment_params import EnvironmentUpdate
from agents.errors import InvalidRequest
from agents.models import Environment
from sandbox import image_status
from sandbox.spec import AllowedHost
from sessions import actions, log
from sessions.events import Draft, EgressRefused
from sessions.models import Event
from sessions.network import policy_for, session_hosts
from tests.conftest import browser_of
from tests.sessions.hosting import (
    bash,
    begin,
    hosting,
    is_idle,
    scripted,
    seen,
    send,
    until,
)

LIMITED = {
    "type": "limited",
    "allowed_hosts": ["git.example"],
    "allow_mcp_servers": False,
    "allow_package_managers": False,
}


@pytest.fixture
def limited(session):
    network = {**LIMITED}
    session.environment_config = {**session.environment_config, "networking": network}
    session.agent_snapshot["mcp_servers"] = [{"url": "https://mcp.example/sse"}]
    session.save()
    return session


def rules(policy):
    return {host.rule for host in policy.allowed}


def test_an_unrestricted_session_is_told_so(session, settings):
    named = settings.AGENTSITE.model_copy(update={"private_hosts": ("git.example",)})
    settings.AGENTSITE = named
    policy = policy_for(session, ())
    assert (policy.mode, policy.private_hosts) == ("unrestricted", ("git.example",))


def test_a_limited_session_reaches_its_hosts_alone(limited):
    policy = policy_for(limited, ())
    assert policy.mode == "limited"
    assert policy.allowed == (AllowedHost(pattern="git.example", rule="allowed_hosts"),)


@pytest.mark.parametrize(
    ("field", "rule", "pattern"),
    [
        ("allow_package_managers", "package_managers", "pypi.org"),
        ("allow_mcp_servers", "mcp_servers", "mcp.example"),
    ],
)
def test_a_switch_opens_its_hosts(limited, field, rule, pattern):
    limited.environment_config["networking"][field] = True
    policy = policy_for(limited, ())
    assert AllowedHost(pattern=pattern, rule=rule) in policy.allowed
    assert rules(policy) == {"allowed_hosts", rule}


def test_package_managers_reach_what_images_are_set_to(limited, settings, tmp_path):
    settings.AGENTSITE = settings.AGENTSITE.model_copy(update={"home": tmp_path})
    mirror = "https://mirror.example:8443/simple"
    image_status.write(tmp_path, "ready", "", image="base", registries=[mirror])
    allowed = AllowedHost(pattern="mirror.example", rule="package_managers")
    assert allowed not in policy_for(limited, ()).allowed
    limited.environment_config["networking"]["allow_package_managers"] = True
    assert allowed in policy_for(limited, ()).allowed


def test_a_changed_environment_reaches_new_sessions_only(actor, limited, environment):
    changes = {"type": "cloud", "networking": {"type": "unrestricted"}}
    update = EnvironmentUpdate.model_validate({"config": changes})
    definitions.update_environment(actor, environment.pk, update)
    limited.refresh_from_db()
    assert policy_for(limited, ()).mode == "limited"


def allowed_events(session):
    rows = Event.objects.filter(session=session, type="agentsite.host_allowed")
    return [
        (row.payload["host"], row.payload["scope"], row.payload["by"]) for row in rows
    ]


def test_a_host_that_somebody_allows_is_reached_by_this_session(actor, limited):
    actions.allow_host(actor, limited, "Evil.example.")
    hosts = session_hosts(limited.pk)
    assert hosts == ("evil.example",)
    policy = policy_for(limited, hosts)
    assert AllowedHost(pattern="evil.example", rule="session") in policy.allowed
    assert allowed_events(limited) == [("evil.example", "session", "Alice")]
    limited.environment.refresh_from_db()
    assert limited.environment.config["networking"]["type"] == "unrestricted"


def test_allowing_twice_is_told_once(actor, limited):
    for _ in range(2):
        actions.allow_host(actor, limited, "evil.example")
    assert len(allowed_events(limited)) == 1


def test_the_longest_host_can_be_allowed(actor, limited):
    longest = ".".join(["a" * 63] * 3 + ["b" * 61])
    actions.allow_host(actor, limited, longest)
    assert session_hosts(limited.pk) == (longest,)
    [event] = Event.objects.filter(session=limited, type="agentsite.host_allowed")
    most = Event._meta.get_field("idempotency_key").max_length
    assert len(event.idempotency_key) <= most


@pytest.fixture
def limited_environment(limited, environment):
    config = {**environment.config, "networking": {**LIMITED}}
    Environment.objects.filter(pk=environment.pk).update(config=config)
    return environment


def test_a_host_allowed_in_the_environment_is_for_new_sessions(
    actor, limited, limited_environment
):
    actions.allow_host_in_environment(actor, limited, "evil.example")
    limited_environment.refresh_from_db()
    network = limited_environment.config["networking"]
    assert network["allowed_hosts"] == ["git.example", "evil.example"]
    assert session_hosts(limited.pk) == ()
    assert allowed_events(limited) == [("evil.example", "environment", "Alice")]


@pytest.mark.parametrize("host", ["", "*", "https://evil.example", "evil.example:443"])
def test_what_is_no_host_cannot_be_allowed(actor, limited, host):
    with pytest.raises(InvalidRequest, match="host: "):
        actions.allow_host(actor, limited, host)
    assert allowed_events(limited) == []


def test_a_session_can_be_allowed_so_many_hosts(actor, limited, monkeypatch):
    monkeypatch.setattr(networking, "MOST_HOSTS", 2)
    for host in ("a.example", "b.example", "a.example"):
        actions.allow_host(actor, limited, host)
    with pytest.raises(InvalidRequest, match="2 hosts are allowed already"):
        actions.allow_host(actor, limited, "c.example")
    assert session_hosts(limited.pk) == ("a.example", "b.example")


def test_an_unrestricted_session_has_nothing_to_allow(actor, session):
    with pytest.raises(InvalidRequest, match="not limited"):
        actions.allow_host(actor, session, "evil.example")


def test_an_operator_may_open_a_session_and_not_an_environment(
    as_bob, limited, limited_environment
):
    here = f"/sessions/{limited.pk}/hosts"
    assert as_bob.post(here, {"environment": "evil.example"}).status_code == 403
    assert as_bob.post(here, {"session": "evil.example"}).status_code == 302
    assert [event[:2] for event in allowed_events(limited)] == [
        ("evil.example", "session")
    ]


def test_a_viewer_and_a_stranger_may_not(as_charlie, bob, limited):
    bob.memberships.update(role="viewer")
    said = {"session": "evil.example"}
    here = f"/sessions/{limited.pk}/hosts"
    assert browser_of(bob).post(here, said).status_code == 403
    assert as_charlie.post(here, said).status_code == 404
    assert allowed_events(limited) == []


def test_the_api_allows_too(client, api_key, limited, limited_environment):
    def allow(**said):
        return client.post(
            f"/v1/sessions/{limited.pk}/allowed_hosts",
            said,
            content_type="application/json",
            headers={"x-api-key": api_key},
        )

    assert allow(host="a.example").json()["scope"] == "session"
    assert allow(host="b.example", scope="environment").status_code == 200
    assert allow(host="*").status_code == 400
    assert [event[:2] for event in allowed_events(limited)] == [
        ("a.example", "session"),
        ("b.example", "environment"),
    ]


def test_a_refused_host_has_its_buttons_in_the_page(as_alice, limited):
    refused = {"host": "evil.example", "port": 443, "reason": "not among the hosts"}
    kinds = [EgressRefused(**refused, rule=rule) for rule in ("not_allowed", "address")]
    log.append(limited.pk, [Draft(payload=kind) for kind in kinds])
    page = as_alice.get(f"/sessions/{limited.pk}").content.decode()
    assert page.count('form="allow-host" name="session" value="evil.example"') == 1
    assert page.count('form="allow-host" name="environment"') == 1


@pytest.mark.django_db(transaction=True)
async def test_a_sandbox_that_runs_reaches_the_host_at_once(
    actor, working_agent, environment, hands
):
    await sync_to_async(Environment.objects.filter(pk=environment.pk).update)(
        config={**environment.config, "networking": {**LIMITED}}
    )
    await environment.arefresh_from_db()
    session = await begin(
        actor,
        working_agent,
        environment,
        scripted({"tools": [bash("sleep 600")]}, {"say": "Done."}),
    )

    def hosts():
        return [one.pattern for one in hands.provider.networks[session.pk].allowed]

    async def reached():
        return "evil.example" in hosts()

    async def works():
        return bool(hands.provider.executed)

    async with hosting(hands):
        await until(works)
        assert hosts() == ["git.example"]
        await sync_to_async(actions.allow_host)(actor, session, "evil.example")
        await until(reached)
        await hands.provider.lose(session.pk)
        await is_idle(session)
        await send(actor, session, [scripted({"tools": [bash("echo")]}, {"say": "ok"})])
        await until(seen(session, "agent.tool_result", count=2))
        await is_idle(session)
    assert hosts() == ["git.example", "evil.example"]
