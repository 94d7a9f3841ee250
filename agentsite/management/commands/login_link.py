"""Print a one-time sign-in address, and nothing else."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from agentsite.first_start import login_link, owner


class Command(BaseCommand):
    help = "Print an address that signs the owner (or EMAIL) in once, within a day."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", nargs="?", default="")

    def handle(self, *args: Any, email: str, **options: Any) -> None:
        self.stdout.write(login_link(settings.AGENTSITE, _user(email)))


def _user(email: str) -> User:
    if not email:
        if found := owner():
            return found
        raise CommandError("This site has no owner yet: run `make up` first.")
    try:
        return User.objects.get(email__iexact=email, is_active=True)
    except User.DoesNotExist:
        raise CommandError(f"Nobody here has the address {email}.") from None
    except User.MultipleObjectsReturned:
        raise CommandError(f"Several people here have the address {email}.") from None
