"""The jobs of the `jobs` cluster: each bounds itself and may run twice."""

from __future__ import annotations

import asyncio
import logging

from agents import files
from agents.models import IdempotentAnswer
from sessions.models import Session
from sessions.sandboxes import provider

logger = logging.getLogger(__name__)


def remove_sandbox(session_id: str) -> None:
    """Remove the sandbox and the files of a session that ended."""
    asyncio.run(_remove([session_id]))


def sweep() -> None:
    """Remove what nothing speaks of any more: sandboxes, expired files, old answers."""
    asyncio.run(_reap())
    files.delete_expired()
    files.delete_left_behind(Session.objects.values("pk"))
    IdempotentAnswer.forget_old()


async def _reap() -> None:
    hands = provider()
    try:
        here = await hands.sessions()
    finally:
        await hands.close()
    living = Session.objects.filter(pk__in=here, archived_at=None)
    known = {pk async for pk in living.values_list("pk", flat=True)}
    await _remove(sorted(here - known))


async def _remove(session_ids: list[str]) -> None:
    hands = provider()
    try:
        for session_id in session_ids:
            await hands.destroy(session_id, keep_workspace=False)
            logger.info("removed the sandbox of %s", session_id)
    finally:
        await hands.close()
