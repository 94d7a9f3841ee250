"""Fixtures for tests that need real sandboxes; conftest files import them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from agentsite.supervisor.child import LAUNCH
from agentsite.supervisor.identity import veils
from sandbox.bubblewrap.boxes import Boxes
from sandbox.bubblewrap.images import ensure_base_tree
from sandbox.bubblewrap.provider import BubblewrapProvider
from sandbox.bubblewrap.trees import Trees
from sandbox.docker_provider import DockerProvider
from sandbox.images import ensure_base_image
from sandbox.places import Places
from sandbox.socket_provider import SocketProvider
from tests.sandbox.places import new_id, shared_gid, short_folder

ROOT = Path(__file__).resolve().parents[2]


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


@pytest.fixture(scope="session")
def base_tree() -> tuple[str, Path]:
    """The base image's name and the folder of unpacked ones, kept between runs."""
    folder = Path(tempfile.gettempdir()) / "agentsite-test-images"
    image = ensure_base_tree(
        print,
        trees=Trees(folder=folder),
        work_dir=Path(tempfile.gettempdir()),
        engine_url="unix:///var/run/docker.sock",
    )
    return image, folder


class BoxEngine:
    """An engine of bubblewrap sandboxes in a process of its own, that may be killed."""

    def __init__(self, runtime_dir: Path, state: Path, user: int | None = None) -> None:
        self.site = new_id("test")
        self.socket = runtime_dir / "boxes.sock"
        self.runtime_dir = runtime_dir
        self.state_dir = state / "sandboxes"
        self.folder = state / "bubblewrap"
        self.user = user
        self.gid = user or shared_gid()
        os.chown(runtime_dir, -1, self.gid)
        runtime_dir.chmod(0o2770)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = {
            "--site": self.site,
            "--socket": self.socket,
            "--runtime-dir": self.runtime_dir,
            "--state-dir": self.state_dir,
            "--folder": self.folder,
            "--gid": self.gid,
        }
        words = [str(word) for pair in options.items() for word in pair]
        self.socket.unlink(missing_ok=True)
        command = [sys.executable, "-m", "sandbox.bubblewrap", *words]
        self.process = subprocess.Popen(self._as_user(command), cwd=ROOT)
        until = time.monotonic() + 30
        while not self.socket.exists():
            assert self.process.poll() is None, "the engine ended"
            assert time.monotonic() < until, "the engine does not listen"
            time.sleep(0.02)

    def _as_user(self, command: list[str]) -> list[str]:
        """The same command, as a user who may see what it needs, wherever that is."""
        if self.user is None:
            return command
        needed = (ROOT, Path(sys.base_prefix))
        order = {
            "argv": command,
            "parent": os.getpid(),
            "death_signal": signal.SIGKILL,
            "uid": self.user,
            "gid": self.user,
            "groups": [self.user],
            "veils": veils(needed, self.user, [self.user]),
        }
        return [sys.executable, "-IS", str(LAUNCH), json.dumps(order)]

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def provider(self) -> BubblewrapProvider:
        return BubblewrapProvider(
            socket=self.socket,
            runtime_dir=self.runtime_dir,
            state_dir=self.state_dir,
            gid=self.gid,
        )

    def boxes(self) -> Boxes:
        """The same engine in this process, to look at what is left."""
        places = Places(
            runtime_dir=self.runtime_dir, state_dir=self.state_dir, gid=self.gid
        )
        return Boxes(site=self.site, places=places, folder=self.folder)


@contextmanager
def running_engine(
    state: Path, images: Path, user: int | None = None
) -> Iterator[BoxEngine]:
    with short_folder() as runtime_dir:
        engine = BoxEngine(runtime_dir, state, user)
        engine.folder.mkdir()
        (engine.folder / "images").symlink_to(images)
        if user:
            os.chown(engine.folder, user, user)
        engine.start()
        yield engine
        engine.kill()
        boxes = engine.boxes()
        for session_id in boxes.sandboxes():
            boxes.remove(session_id)
            boxes.remove_files(session_id)
        boxes.close()


@pytest.fixture(scope="module")
def box_engine(
    tmp_path_factory: pytest.TempPathFactory, base_tree: tuple[str, Path]
) -> Iterator[BoxEngine]:
    with running_engine(tmp_path_factory.mktemp("boxes"), base_tree[1]) as engine:
        yield engine


@pytest_asyncio.fixture
async def bubblewrap_provider(
    box_engine: BoxEngine,
) -> AsyncIterator[BubblewrapProvider]:
    provider = box_engine.provider()
    yield provider
    for session_id in await provider.sessions():
        await provider.destroy(session_id, keep_workspace=False)
    await provider.close()


@dataclass(frozen=True, kw_only=True)
class Place:
    """A provider whose sandboxes are abused, and the image they are made of."""

    provider: SocketProvider
    image: str


@pytest.fixture(
    params=[
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param("bubblewrap", marks=pytest.mark.bubblewrap),
    ]
)
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "docker":
        image = request.getfixturevalue("base_image")
    else:
        image, _ = request.getfixturevalue("base_tree")
    provider = request.getfixturevalue(f"{request.param}_provider")
    return Place(provider=provider, image=image)
