"""End every container of this site, builds too; files stay. Part of stopping."""

from __future__ import annotations

import asyncio
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from sessions import builds
from sessions.sandboxes import provider


class Command(BaseCommand):
    help = "End every sandbox of this site and keep its files."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        asyncio.run(_stop_all())
        if settings.AGENTSITE.sandbox == "docker":
            builds.builder().remove_leftovers()


async def _stop_all() -> None:
    hands = provider()
    try:
        stops = (
            hands.destroy(session_id, keep_workspace=True)
            for session_id in await hands.sessions()
        )
        await asyncio.gather(*stops, hands.drain())
    finally:
        await hands.close()
