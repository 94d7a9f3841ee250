"""Bring the database up to date and make the first rows. Part of `up`."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

from agentsite.first_start import login_link, make_first_rows, owner, write_secret
from sessions import queue


class Command(BaseCommand):
    help = "Migrate the database and make a first workspace, owner, key and link."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        conf = settings.AGENTSITE
        settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
        call_command("migrate", interactive=False, verbosity=0)
        make_first_rows(conf)
        queue.every(60, "sessions.tasks.sweep")
        queue.every(1, "sessions.tasks.stop_idle")
        # Asked for at once where one is wanted; this finds what a killed worker left.
        queue.every(1, "sessions.tasks.build_images")
        queue.every(720, "sessions.tasks.prune_images")
        queue.every(1, "sessions.tasks.mend")
        if first := owner():
            conf.runtime_dir.mkdir(parents=True, exist_ok=True)
            write_secret(conf.runtime_dir / "login_link", login_link(conf, first))
