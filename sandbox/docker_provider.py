"""Sandboxes as Docker containers without a network, behind one unix socket each."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from typing import Protocol, TypeVar

from docker import APIClient
from docker.errors import DockerException
from requests.exceptions import RequestException

from sandbox.connection import Lost, NotSent
from sandbox.containers import Containers
from sandbox.errors import EngineUnavailable, ProvisionFailed
from sandbox.places import Places, sources, under_uploads, written
from sandbox.socket_sandbox import SocketSandbox
from sandbox.spec import FileMount, NetworkPolicy, SandboxSpec, SandboxStatus

ENGINE_THREADS = 8
ENGINE_SECONDS = 60
READY_SECONDS = 30.0  # for a new sandbox
ADOPT_SECONDS = 10.0  # for one that runs already, and may just be starting
READY_POLL_SECONDS = 0.02
ENDED_EVERY = 20  # polls
SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")

T = TypeVar("T")


class WayOut(Protocol):
    """What a provider asks of the egress proxy."""

    async def open(self, session_id: str, policy: NetworkPolicy) -> None: ...

    async def close(self, session_id: str) -> None: ...


class DockerProvider:
    """Makes, adopts and removes the containers of one site."""

    name = "docker"

    def __init__(
        self,
        *,
        site: str,
        runtime_dir: Path,
        state_dir: Path,
        gid: int,
        egress: WayOut | None = None,
        runtime: str | None = None,
        engine_url: str = "unix:///var/run/docker.sock",
    ) -> None:
        self.site = site
        self.places = Places(runtime_dir=runtime_dir, state_dir=state_dir, gid=gid)
        self.egress = egress
        self.runtime = runtime
        self.engine_url = engine_url
        self._threads = ThreadPoolExecutor(ENGINE_THREADS, "docker")
        self._containers: Containers | None = None
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def check(self) -> None:
        await self._call(Containers.ping)

    async def provision(self, spec: SandboxSpec) -> SocketSandbox:
        if not SESSION_ID.fullmatch(spec.session_id):
            raise ProvisionFailed(f"{spec.session_id!r} cannot name a sandbox.")
        async with self._turns[spec.session_id]:
            sandbox = await self._running(spec)
            await self._place_files(sandbox, spec)
            return sandbox

    async def status(self, session_id: str) -> SandboxStatus:
        state = await self._call(Containers.state, session_id)
        if state == "running":
            return SandboxStatus.RUNNING
        has_files = await self._call(Containers.has_files, session_id)
        return SandboxStatus.STOPPED if state or has_files else SandboxStatus.ABSENT

    async def destroy(self, session_id: str, *, keep_workspace: bool) -> None:
        async with self._turns[session_id]:
            await self._call(Containers.remove, session_id)
            if self.egress:
                await self.egress.close(session_id)
            if not keep_workspace:
                await self._call(Containers.remove_volumes, session_id)
                await self._in_thread(self.places.remove, session_id)
        self._turns.pop(session_id, None)

    async def sessions(self) -> frozenset[str]:
        return await self._call(Containers.sessions)

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._containers:
            self._containers.api.close()

    async def _running(self, spec: SandboxSpec) -> SocketSandbox:
        await self._prepare(spec)
        sandbox = self._sandbox(spec)
        if await answers(sandbox):
            return sandbox
        await sandbox.close()
        if await self._call(Containers.state, spec.session_id) == "running":
            try:
                return await self._answering(spec, ADOPT_SECONDS)
            except ProvisionFailed:
                pass  # it runs and does not answer: only a new one will
        await self._call(Containers.start, spec)
        return await self._answering(spec, READY_SECONDS)

    def _sandbox(self, spec: SandboxSpec) -> SocketSandbox:
        socket = self.places.socket(spec.session_id)
        return SocketSandbox(spec.session_id, socket, spec.limits)

    async def _prepare(self, spec: SandboxSpec) -> None:
        try:
            await self._in_thread(self.places.prepare, spec)
        except OSError as error:
            raise ProvisionFailed(
                f"The folders of session {spec.session_id} cannot be made: {error}."
            ) from error
        if self.egress:
            await self.egress.open(spec.session_id, spec.network)

    async def _answering(self, spec: SandboxSpec, seconds: float) -> SocketSandbox:
        """Return the sandbox once its tool server answers."""
        session_id = spec.session_id
        sandbox = self._sandbox(spec)
        try:
            async with asyncio.timeout(seconds):
                for attempt in count(1):
                    if await answers(sandbox):
                        break
                    if attempt % ENDED_EVERY == 0:
                        await self._refuse_ended(session_id)
                    await asyncio.sleep(READY_POLL_SECONDS)
        except TimeoutError as error:
            await sandbox.close()
            raise await self._silent(session_id) from error
        return sandbox

    async def _refuse_ended(self, session_id: str) -> None:
        state = await self._call(Containers.state, session_id)
        if state in ("exited", "dead", None):
            raise await self._silent(session_id)

    async def _silent(self, session_id: str) -> ProvisionFailed:
        words = await self._call(Containers.last_words, session_id)
        return ProvisionFailed(
            f"The sandbox of session {session_id} did not come up: {words}."
        )

    async def _place_files(self, sandbox: SocketSandbox, spec: SandboxSpec) -> None:
        """Write each file once: the agent may have changed or removed it since."""
        session_id = spec.session_id
        before = await self._in_thread(self.places.mounted, session_id)
        now = sources(spec.files)
        if now == before:
            return
        for path, source in before.items():
            if not under_uploads(path) and now.get(path) != source:
                await sandbox.remove(path)
        for mount in written(spec):
            if before.get(mount.path) != str(mount.source):
                await sandbox.write(mount.path, await self._bytes_of(mount))
        await self._in_thread(self.places.mark_mounted, session_id, now)

    async def _bytes_of(self, mount: FileMount) -> bytes:
        try:
            return await self._in_thread(mount.source.read_bytes)
        except OSError as error:
            raise ProvisionFailed(f"{mount.path} cannot be read: {error}.") from error

    async def _call(self, work: Callable[..., T], *arguments: object) -> T:
        """Ask the engine, in a thread: its client blocks."""
        try:
            containers = await self._in_thread(self._connected)
            return await self._in_thread(work, containers, *arguments)
        except (DockerException, RequestException) as error:
            raise EngineUnavailable(
                f"The Docker engine at {self.engine_url} cannot do it: {error}."
            ) from error

    def _connected(self) -> Containers:
        if self._containers is None:
            api = APIClient(
                self.engine_url,
                version="auto",
                timeout=ENGINE_SECONDS,
                max_pool_size=ENGINE_THREADS,
            )
            self._containers = Containers(
                api=api, site=self.site, places=self.places, runtime=self.runtime
            )
        return self._containers

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(work, *arguments))


async def answers(sandbox: SocketSandbox) -> bool:
    try:
        await sandbox.ping(5.0)
    except (NotSent, Lost, TimeoutError):
        return False
    return True
