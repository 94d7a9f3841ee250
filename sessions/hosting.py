"""A host in each worker process of the cluster that hosts turns."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time

from django.conf import settings

import sessions.harness.anthropic_model  # noqa: F401 - before the fork: it is shared
from sessions import queue
from sessions.host import DRAIN_SECONDS, Database, Host
from sessions.sandboxes import SiteHands

logger = logging.getLogger(__name__)

SWITCH_SECONDS = 0.0005
"""How long the database's thread may keep the loop waiting; Python's own is 5 ms."""

RESTART_SECONDS = 1.0
"""How long the process of a host that failed waits before it ends."""


class HostThread:
    """A host and its loop in a thread of a q2 worker process."""

    def __init__(self) -> None:
        self._host: Host | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping = False

    def start(self) -> None:
        """Begin in this process: loop and clients are made after the fork."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._main, name="host", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Drain, and wait until every lease is handed back."""
        self._stopping = True
        if self._host and self._loop and self._thread:
            self._loop.call_soon_threadsafe(self._host.drain)
            self._thread.join(DRAIN_SECONDS + 4)

    def _main(self) -> None:
        assert self._loop is not None
        sys.setswitchinterval(SWITCH_SECONDS)
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._run())
        except BaseException:
            logger.exception("the host of process %d failed", os.getpid())
        finally:
            self._loop.close()
        if not self._stopping:
            self._end_process()

    async def _run(self) -> None:
        database = Database()
        self._host = Host(
            slots=settings.AGENTSITE.slots,
            hands=SiteHands(database),
            database=database,
        )
        await self._host.run()

    def _end_process(self) -> None:
        """End a worker without a host: the cluster puts a new one in its place."""
        logger.error("process %d ends, since it hosts no turns", os.getpid())
        time.sleep(RESTART_SECONDS)
        os._exit(1)


def host_turns() -> None:
    """Have each worker process of this cluster run a host, until it is asked to end."""
    thread = HostThread()
    queue.on_worker_start(thread.start)
    queue.on_worker_end(thread.stop)
