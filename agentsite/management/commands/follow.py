"""Show a session's events in the terminal as they happen."""

from __future__ import annotations

import os
import sys
from typing import Any

import httpx2
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from agentsite.follow import Lines, Refused, follow


class Command(BaseCommand):
    help = "Show a session from its first event on, and follow it. Ctrl-C ends that."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("session_id")
        parser.add_argument(
            "--until-idle", action="store_true", help="End when the session is idle."
        )

    def handle(
        self, *args: Any, session_id: str, until_idle: bool, **options: Any
    ) -> None:
        url, key = settings.AGENTSITE.public_url, _key()
        lines = Lines()
        try:
            with httpx2.Client(base_url=url, headers={"x-api-key": key}) as client:
                for event in follow(client, session_id):
                    for line in lines.of(event):
                        self.stdout.write(line)
                    self.stdout.flush()
                    if until_idle and event["type"] == "session.status_idle":
                        return
        except Refused as refusal:
            raise CommandError(str(refusal)) from None
        except (KeyboardInterrupt, BrokenPipeError):
            # Whoever looked has seen enough. Python would complain about the pipe again
            # when it closes its output.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _key() -> str:
    """The key from the environment, else the site's first one."""
    if key := os.environ.get("AGENTSITE_API_KEY"):
        return key
    path = settings.AGENTSITE.home / "api_key"
    try:
        return str(path.read_text()).strip()
    except OSError as error:
        raise CommandError(
            f"{path} cannot be read ({error.strerror}): put a key into AGENTSITE_API_KEY."
        ) from None
