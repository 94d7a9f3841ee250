"""Start the whole site, or some of its roles, under one supervisor."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from dotenv import dotenv_values

from agentsite.conf import ROOT
from agentsite.supervisor.roles import ROLES
from agentsite.supervisor.site import CannotStart, Site


class Command(BaseCommand):
    help = "Start the site and keep it running until Ctrl-C."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--roles",
            default=",".join(ROLES),
            help=f"Which parts to run here, of: {', '.join(ROLES)}.",
        )

    def handle(self, *args: Any, roles: str, **options: Any) -> None:
        if not sys.platform.startswith("linux"):
            raise CommandError("Agentsite runs on Linux: start it in a Linux machine.")
        _pass_on_dotenv()
        conf = settings.AGENTSITE
        os.environ["AGENTSITE_RUNTIME_DIR"] = str(conf.runtime_dir)
        try:
            asyncio.run(Site(conf, _wanted(roles)).run())
        except CannotStart as reason:
            sys.exit(str(reason))


def _wanted(roles: str) -> list[str]:
    names = [name.strip() for name in roles.split(",") if name.strip()]
    unknown = [name for name in names if name not in ROLES]
    if unknown or not names:
        raise CommandError(
            f"--roles knows {', '.join(ROLES)}, and not {', '.join(unknown) or 'none'}."
        )
    return names


def _pass_on_dotenv() -> None:
    """Children may run as a user who cannot read `.env`."""
    for name, value in dotenv_values(ROOT / ".env").items():
        if value is not None:
            os.environ.setdefault(name, value)
