"""Remove the images of environments that nobody uses any more. A job does so, too."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sandbox.errors import SandboxError
from sessions import builds


class Command(BaseCommand):
    help = "Remove images that no environment and no session uses; print their names."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            removed = builds.prune(builds.builder())
        except SandboxError as error:
            raise CommandError(str(error)) from error
        for name in removed:
            self.stdout.write(name)
