"""The jobs of the `jobs` cluster: each bounds itself and may run twice."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from asgiref.sync import sync_to_async

from agents import files, skills
from agents.models import IdempotentAnswer
from sandbox.base import Provider
from sandbox.errors import SandboxError
from sessions import builds, egress, keeping, lifecycle, liveness
from sessions.models import Session
from sessions.outputs import CAPTURE_SECONDS, Outputs
from sessions.repositories import forget_clones
from sessions.sandboxes import provider

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


def remove_sandbox(session_id: str) -> None:
    """Remove the sandbox of a session that ended; its outputs first become Files."""
    asyncio.run(_with_provider(lambda hands: _remove(hands, [session_id])))


def build_images() -> None:
    """Build the image that has waited longest, if one does."""
    builds.build_next(builds.builder())


def prune_images() -> None:
    """Remove the images of environments that nobody uses any more."""
    for name in builds.prune(builds.builder()):
        logger.info("removed the image %s", name)


def sweep() -> None:
    """Remove what nothing speaks of any more: sandboxes, expired files, old answers."""
    asyncio.run(_with_provider(_reap))
    files.delete_expired()
    files.delete_abandoned()
    files.delete_left_behind(Session.objects.values("pk"))
    skills.delete_abandoned()
    IdempotentAnswer.forget_old()
    egress.delete_surplus()


def mend() -> None:
    """Put right what no host would: wrong statuses, what dead hosts left behind."""
    for session_id in lifecycle.stale():
        if lifecycle.settle(session_id):
            logger.warning("%s stood otherwise than its threads", session_id)
    liveness.forget_dead()


def stop_idle() -> None:
    """Stop the sandboxes that nobody has used for a while, each with a snapshot."""
    asyncio.run(_with_provider(_stop_idle))


async def _with_provider(work: Callable[[Provider], Awaitable[None]]) -> None:
    hands = provider()
    try:
        await work(hands)
    finally:
        await hands.close()


async def _reap(hands: Provider) -> None:
    here = await hands.sessions() | await sync_to_async(keeping.snapshots)()
    living = Session.objects.filter(pk__in=here, archived_at=None)
    known = {pk async for pk in living.values_list("pk", flat=True)}
    await _remove(hands, sorted(here - known))
    for session_id in await sync_to_async(keeping.due_to_remove)(known):
        async with hands.alone(session_id) as alone:
            if alone:
                await _remove(hands, [session_id])
                await sync_to_async(keeping.tell_removed)(session_id)
                await sync_to_async(forget_clones)(session_id)


async def _remove(hands: Provider, session_ids: Iterable[str]) -> None:
    for session_id in session_ids:
        await _rescue_outputs(hands, session_id)
        await hands.destroy(session_id, keep_workspace=False)
        await sync_to_async(keeping.forget_snapshot)(session_id)
        logger.info("removed the sandbox of %s", session_id)


async def _stop_idle(hands: Provider) -> None:
    running = await hands.running()
    for session_id in await sync_to_async(keeping.due_to_stop)(running):
        async with hands.alone(session_id) as alone:
            if alone:
                await _stop(hands, session_id)


async def _stop(hands: Provider, session_id: str) -> None:
    await _rescue_outputs(hands, session_id)
    await hands.destroy(session_id, keep_workspace=True)
    fault = None
    try:
        await hands.snapshot(session_id, keeping.snapshot_of(session_id))
    except SandboxError as error:
        logger.warning("no snapshot of %s: %s", session_id, error)
        fault = str(error)
    await sync_to_async(keeping.tell_stopped)(session_id, fault=fault)
    logger.info("stopped the sandbox of %s", session_id)


async def _rescue_outputs(hands: Provider, session_id: str) -> None:
    """Capture what was written after the last turn, where the session is kept."""
    session = await Session.objects.filter(pk=session_id).afirst()
    if session is None or (sandbox := await hands.find(session_id)) is None:
        return
    outputs = Outputs(session=session, fence=None, database=_database)
    await outputs.capture(sandbox, CAPTURE_SECONDS)
    await sandbox.close()


async def _database(work: Callable[..., Result], *args: Any, **kwargs: Any) -> Result:
    return await sync_to_async(work)(*args, **kwargs)
