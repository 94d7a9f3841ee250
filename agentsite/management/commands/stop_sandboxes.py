"""End every container of this site; their files stay. Part of stopping."""

from __future__ import annotations

import asyncio
from typing import Any

from django.core.management.base import BaseCommand

from sessions.sandboxes import provider


class Command(BaseCommand):
    help = "End every sandbox of this site and keep its files."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        asyncio.run(_stop_all())


async def _stop_all() -> None:
    hands = provider()
    try:
        stops = (
            hands.destroy(session_id, keep_workspace=True)
            for session_id in await hands.sessions()
        )
        await asyncio.gather(*stops)
    finally:
        await hands.close()
