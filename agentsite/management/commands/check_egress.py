"""Try from inside a sandbox what it must not reach."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from agents.models import Environment
from agents.networking import NOTHING
from sandbox.errors import SandboxError
from sessions.egress_checks import found_in


class Command(BaseCommand):
    help = "Try forbidden hosts, raw addresses, metadata and DNS from inside a sandbox."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "environment",
            nargs="?",
            help="the id of an environment; without one, a network limited to nothing",
        )

    def handle(self, *args: Any, environment: str | None, **options: Any) -> None:
        try:
            findings = found_in(_network(environment))
        except SandboxError as error:
            raise CommandError(str(error)) from error
        for finding in findings:
            verdict = "refused" if finding.is_refused else "NOT REFUSED"
            said = " ".join(finding.said.split())
            self.stdout.write(f"{verdict:12} {finding.what}: {said[:300]}")
        if not all(finding.is_refused for finding in findings):
            raise CommandError("The sandbox reaches what it must not.")


def _network(environment_id: str | None) -> dict[str, Any]:
    if environment_id is None:
        return NOTHING
    found = Environment.objects.filter(pk=environment_id).first()
    if found is None:
        raise CommandError(f"There is no environment {environment_id}.")
    network: dict[str, Any] = found.config["networking"]
    return network
