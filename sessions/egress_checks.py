"""Checks of an environment's network, asked for in its page and run as jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.conf import settings

from agents.actors import Actor
from agents.models import Act, Environment
from agents.networking import policy_of
from sandbox.egress_check import Finding, check_egress
from sandbox.errors import SandboxError
from sandbox.spec import NetworkPolicy
from sessions import queue
from sessions.models import EgressCheck
from sessions.network import own_registries
from sessions.sandboxes import base_image, provider

KEPT = 5


def ask(actor: Actor, environment: Environment) -> EgressCheck:
    """Have the network of an environment checked soon."""
    actor.require(Act.BUILD)
    check = EgressCheck.objects.create(environment=environment, asked_by=actor.name)
    old = EgressCheck.objects.filter(environment=environment).order_by("-created_at")
    EgressCheck.objects.filter(pk__in=old.values("pk")[KEPT:]).delete()
    queue.enqueue("sessions.egress_checks.run", check.pk)
    return check


def run(check_id: str) -> None:
    """The job: it may run twice, and the last answer counts."""
    check = EgressCheck.objects.filter(pk=check_id).first()
    if check is None:
        return
    try:
        findings = found_in(check.environment.config["networking"])
        check.findings = [asdict(finding) for finding in findings]
    except SandboxError as error:
        check.error = str(error)
    check.save(update_fields=["findings", "error"])


def found_in(network: Mapping[str, Any]) -> list[Finding]:
    """Make a sandbox with this network and try to get out of it. Raises SandboxError."""
    policy = policy_of(
        network,
        private_hosts=settings.AGENTSITE.private_hosts,
        registries=own_registries(),
    )
    return asyncio.run(_check(policy))


async def _check(policy: NetworkPolicy) -> list[Finding]:
    hands = provider()
    try:
        image = await asyncio.to_thread(base_image)
        return await check_egress(hands, image, policy)
    finally:
        await hands.close()
