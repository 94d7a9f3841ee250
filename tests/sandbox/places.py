"""Where sandboxes of a test keep their things, and how one is asked for."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from sandbox.base import Sandbox
from sandbox.spec import SandboxSpec, ToolOutcome


@contextmanager
def short_folder() -> Iterator[Path]:
    """Give a folder whose sockets have short paths; pytest's own is too deep."""
    folder = Path(tempfile.mkdtemp(prefix="ag-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def shared_gid() -> int:
    """Return a group that is not root's."""
    return os.getgid() or 10_000


def new_id(prefix: str = "sesn") -> str:
    return f"{prefix}_{uuid4().hex[:16]}"


def spec_of(image: str, **fields: Any) -> SandboxSpec:
    return SandboxSpec(session_id=new_id(), image=image, **fields)


async def bash(sandbox: Sandbox, command: str, **input: Any) -> ToolOutcome:
    return await run(sandbox, "bash", command=command, **input)


async def run(sandbox: Sandbox, tool: str, **input: Any) -> ToolOutcome:
    return await sandbox.execute(new_id("call"), tool, input)


def text(outcome: ToolOutcome) -> str:
    assert outcome.content[0]["type"] == "text"
    return str(outcome.content[0]["text"])


async def until(asked: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(20):
        while not await asked():
            await asyncio.sleep(0.01)
