"""The threads in which streams read the database, apart from those of the views."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from django.db import close_old_connections

THREADS = 3

Result = TypeVar("Result")

_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="streams-db")


async def in_database(work: Callable[..., Result], *args: Any) -> Result:
    """Run short, synchronous work that asks the database."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_threads, _run, work, args)


def _run(work: Callable[..., Result], args: tuple[Any, ...]) -> Result:
    close_old_connections()
    return work(*args)
