"""Run one django-q2 cluster: `default` hosts turns, `jobs` runs jobs."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser


class Command(BaseCommand):
    help = "Run a cluster of workers until SIGTERM."
    requires_system_checks = []  # `make check` holds them; a restart is to be quick

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", choices=["default", "jobs"])

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        # django-q2 reads its name when it is first imported, which Django has done.
        if os.environ.get("Q_CLUSTER_NAME") != name:
            os.environ["Q_CLUSTER_NAME"] = name
            os.execv(sys.executable, [sys.executable, *sys.argv])  # noqa: S606
        from sessions import queue

        if name == queue.TURNS:
            from sessions import hosting

            hosting.host_turns()
        else:
            from sessions import egress

            egress.take_in_workers()
        queue.run_cluster(name)
