"""What turns know of the database: a place where a function is run that asks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

Result = TypeVar("Result")


class Database(Protocol):
    """Runs a function where the database may be asked: a host has one thread for that."""

    async def __call__(
        self, work: Callable[..., Result], *args: Any, **kwargs: Any
    ) -> Result: ...
