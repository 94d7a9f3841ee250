"""What a session's sandbox may reach."""

from __future__ import annotations

import pytest

from agents import actions
from agents.environment_params import EnvironmentUpdate
from sandbox.spec import AllowedHost
from sessions.network import policy_for

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
    policy = policy_for(session)
    assert (policy.mode, policy.private_hosts) == ("unrestricted", ("git.example",))


def test_a_limited_session_reaches_its_hosts_alone(limited):
    policy = policy_for(limited)
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
    policy = policy_for(limited)
    assert AllowedHost(pattern=pattern, rule=rule) in policy.allowed
    assert rules(policy) == {"allowed_hosts", rule}


def test_a_changed_environment_reaches_new_sessions_only(actor, limited, environment):
    changes = {"type": "cloud", "networking": {"type": "unrestricted"}}
    update = EnvironmentUpdate.model_validate({"config": changes})
    actions.update_environment(actor, environment.pk, update)
    limited.refresh_from_db()
    assert policy_for(limited).mode == "limited"
