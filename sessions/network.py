"""What one session's sandbox may reach."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from django.conf import settings

from agents.networking import policy_of
from sandbox import image_status
from sandbox.egress.client import EgressClient
from sandbox.errors import EgressUnavailable
from sandbox.spec import NetworkPolicy
from sessions.events import EventType
from sessions.models import Event, Session

logger = logging.getLogger(__name__)

PATIENCE = 2.0
"""Seconds that a person's click waits for the proxy of this machine."""


def policy_for(session: Session, session_hosts: Sequence[str]) -> NetworkPolicy:
    """What a session may reach: its environment as it was when it was made.

    `session_hosts` were allowed since, for it alone.
    """
    return policy_of(
        session.environment_config["networking"],
        mcp_servers=session.agent_snapshot.get("mcp_servers") or (),
        session_hosts=session_hosts,
        private_hosts=settings.AGENTSITE.private_hosts,
        registries=own_registries(),
    )


def own_registries() -> tuple[str, ...]:
    """The package registries of this machine's that its images are set to."""
    return tuple(image_status.read(settings.AGENTSITE.home).get("registries", ()))


def session_hosts(session_id: str) -> tuple[str, ...]:
    """The hosts that somebody allowed for this session: the log has them."""
    allowed = Event.objects.filter(
        session=session_id, type=EventType.HOST_ALLOWED, payload__scope="session"
    )
    payloads = allowed.order_by("seq").values_list("payload", flat=True)
    return tuple(dict.fromkeys(payload["host"] for payload in payloads))


def renew_here(session: Session) -> None:
    """Tell this machine's proxy at once what a session may reach now.

    Where its sandbox is on another machine, the host that works on it does so when it
    is woken, and the next one before its first call.
    """
    client = EgressClient(runtime_dir=settings.AGENTSITE.runtime_dir, patience=PATIENCE)
    policy = policy_for(session, session_hosts(session.pk))
    try:
        asyncio.run(client.renew(session.pk, policy))
    except EgressUnavailable as error:
        logger.info("%s follows with its next wake-up: %s", session.pk, error)
