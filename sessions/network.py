"""What one session's sandbox may reach."""

from __future__ import annotations

from django.conf import settings

from agents.networking import policy_of
from sandbox.spec import NetworkPolicy
from sessions.models import Session


def policy_for(session: Session) -> NetworkPolicy:
    """What a session may reach: its environment as it was when it was made."""
    return policy_of(
        session.environment_config["networking"],
        mcp_servers=session.agent_snapshot.get("mcp_servers") or (),
        private_hosts=settings.AGENTSITE.private_hosts,
    )
