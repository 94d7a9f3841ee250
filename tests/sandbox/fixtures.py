"""Fixtures for tests that need a real engine; conftest files import them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from sandbox.docker_provider import DockerProvider
from sandbox.images import ensure_base_image
from tests.sandbox.places import new_id, shared_gid, short_folder


@pytest.fixture(scope="session")
def base_image() -> str:
    return ensure_base_image(print)


@pytest.fixture
def runtime_dir() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


@pytest_asyncio.fixture
async def docker_provider(
    runtime_dir: Path, tmp_path: Path
) -> AsyncIterator[DockerProvider]:
    provider = DockerProvider(
        site=new_id("test"),
        runtime_dir=runtime_dir,
        state_dir=tmp_path / "state",
        gid=shared_gid(),
    )
    yield provider
    for session_id in await provider.sessions():
        await provider.destroy(session_id, keep_workspace=False)
    await provider.close()
