"""Print a new API key, and nothing else."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from agents.models import ApiKey, Role, Workspace


class Command(BaseCommand):
    help = "Make an API key and print it. It is shown only now."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="What the key is for.")
        parser.add_argument("--workspace", default="", help="A workspace's id or name.")
        parser.add_argument("--role", choices=Role.values, default=Role.BUILDER.value)

    def handle(
        self, *args: Any, name: str, workspace: str, role: str, **options: Any
    ) -> None:
        _, key = ApiKey.issue(_workspace(workspace), name, role=role)
        self.stdout.write(key)


def _workspace(wanted: str) -> Workspace:
    if not wanted:
        if first := Workspace.objects.order_by("created_at").first():
            return first
        raise CommandError("This site has no workspace yet: run `make up` first.")
    found = Workspace.objects.filter(pk=wanted) or Workspace.objects.filter(name=wanted)
    if len(found) != 1:
        raise CommandError(f"{len(found)} workspaces are named {wanted!r}: give an id.")
    return found[0]
