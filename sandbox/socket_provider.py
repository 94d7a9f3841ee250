"""What providers share whose sandboxes answer on a socket, whatever engine runs them."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import IO, TypeVar

from sandbox import archive, inside, pool, trust
from sandbox.connection import Lost, NotSent
from sandbox.disk import MB, DiskWatch
from sandbox.engine import Engine, WayOut
from sandbox.errors import ProvisionFailed, SandboxError
from sandbox.places import Places, sources, under_uploads, written
from sandbox.pool import Pool
from sandbox.socket_sandbox import SocketSandbox
from sandbox.spec import (
    BoundCredential,
    FileMount,
    Files,
    Limits,
    NetworkPolicy,
    Origin,
    SandboxSpec,
    SandboxStatus,
)

ENGINE_THREADS = 8
READY_SECONDS = 30.0  # for a new sandbox
ADOPT_SECONDS = 10.0  # for one that runs already, and may just be starting
READY_POLL_SECONDS = 0.02
ENDED_EVERY = 20  # polls
HOLD_POLL_SECONDS = 0.05
LEFT_OVER_SECONDS = 60.0
AT_ONCE = 2  # made ahead at a time
SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")

T = TypeVar("T")


class SocketProvider:
    """Makes, adopts and removes the sandboxes of one site on one engine."""

    name = "sandboxes"

    def __init__(
        self,
        *,
        engine: Engine,
        places: Places,
        egress: WayOut | None = None,
        extra_ca: Path | None = None,
        made_ahead: int = 0,
    ) -> None:
        self.engine = engine
        self.places = places
        self.egress = egress
        self.extra_ca = extra_ca
        self.pool = Pool(places.state_dir / ".pool", made_ahead)
        self._looked_at = -math.inf
        self._threads = ThreadPoolExecutor(ENGINE_THREADS, self.name)
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def check(self) -> None:
        await self._in_thread(self.engine.ping)

    async def provision(self, spec: SandboxSpec) -> SocketSandbox:
        if not SESSION_ID.fullmatch(spec.session_id):
            raise ProvisionFailed(f"{spec.session_id!r} cannot name a sandbox.")
        async with self._turns[spec.session_id], AsyncExitStack() as undo:
            held = await self._hold(spec.session_id)
            undo.callback(held.close)
            sandbox = await self._claimed_or_running(spec)
            undo.push_async_callback(sandbox.close)
            await self._place_files(sandbox, spec)
            sandbox.disk = await self._disk(spec)
            sandbox.held = held
            undo.pop_all()
            return sandbox

    async def _disk(self, spec: SandboxSpec) -> DiskWatch:
        async def measure() -> int:
            return await self._in_thread(
                lambda: self.engine.used(self.places.name(spec.session_id))
            )

        folder = await self._in_thread(self.engine.host_folder)
        return DiskWatch(most=spec.limits.disk_mb * MB, measure=measure, host=folder)

    async def _claimed_or_running(self, spec: SandboxSpec) -> SocketSandbox:
        claimed = await self._in_thread(self._claim, spec)
        name = await self._in_thread(self.places.name, spec.session_id)
        sandbox = await self._running(replace(spec, name=name))
        if name != spec.session_id and sandbox.origin.files == Files.RUNNING:
            # Again each time: whoever claimed it may have come no further.
            await sandbox.set_variables(inside.environment(spec))
            if claimed:
                sandbox.origin = await self._origin(Files.NEW)
        return sandbox

    def _claim(self, spec: SandboxSpec) -> bool:
        """Take a sandbox that was made ahead, for a session that has none here."""
        session_id = spec.session_id
        is_new = not self.places.is_known(session_id)
        if is_new and self.pool.most and not self.engine.has_files(session_id):
            self.pool.note(spec)
            if spec.snapshot is None or not spec.snapshot.exists():
                self.pool.take(spec, self.places.ticket(session_id))
        name = self.places.name(session_id)
        if name != session_id:  # also where whoever claimed it came no further
            self.places.adopt(name, session_id)
        return is_new and name != session_id

    async def tend(self) -> None:
        """Make ahead what sessions will want soon; end what they will not."""
        with self.pool.alone() as alone:
            if alone:
                await self._look_for_left_over()
                wanted = await self._in_thread(self.pool.wanted)
                await asyncio.gather(*(self._make(spec) for spec in wanted[:AT_ONCE]))

    async def drain(self) -> None:
        """End what was made ahead and is nobody's."""
        self.pool.most = 0
        await self._in_thread(self.pool.withdraw)
        await self._end_left_over()

    async def _make(self, spec: SandboxSpec) -> None:
        name = pool.new_name()
        blank = SandboxSpec(session_id=name, image=spec.image)
        made = replace(
            spec,
            session_id=name,
            name=name,
            environment=blank.environment,
            files=blank.files,
            network=blank.network,
            credentials=blank.credentials,
            snapshot=None,
        )
        try:
            await self._in_thread(self.places.prepare, made)
            trusted = self.places.trust(name)
            await self._in_thread(trust.write, trusted, "", self.extra_ca)
            await self._in_thread(self._start, made)
            await (await self._answering(made, READY_SECONDS)).close()
        except SandboxError:
            self.pool.forget(spec)
            await self._end(name)
            raise
        await self._in_thread(self.pool.offer, spec, name)

    async def _look_for_left_over(self) -> None:
        if time.monotonic() - self._looked_at > LEFT_OVER_SECONDS:
            self._looked_at = time.monotonic()
            await self._end_left_over()

    async def _end_left_over(self) -> None:
        names = await self._in_thread(self.engine.sandboxes)
        claimed = self.places.claimed
        for name in await self._in_thread(self.pool.left_over, names, claimed):
            await self._end(name)

    async def _end(self, name: str) -> None:
        """End a sandbox that is nobody's, with all that belongs to it."""
        await self._in_thread(self.engine.remove, name)
        await self._in_thread(self.engine.remove_files, name)
        await self._in_thread(self.places.remove, name)

    async def _hold(self, session_id: str) -> IO[bytes]:
        """Wait until nobody has the session's place alone."""
        while True:
            held = await self._in_thread(
                partial(self.places.hold, session_id, alone=False)
            )
            if held:
                return held
            await asyncio.sleep(HOLD_POLL_SECONDS)

    @asynccontextmanager
    async def alone(self, session_id: str) -> AsyncIterator[bool]:
        held = await self._in_thread(partial(self.places.hold, session_id, alone=True))
        try:
            yield held is not None
        finally:
            if held:
                held.close()

    async def snapshot(self, session_id: str, path: Path) -> bool:
        return await self._in_thread(self._pack, session_id, path)

    def _pack(self, session_id: str, path: Path) -> bool:
        name = self.places.name(session_id)
        if not self.engine.has_files(name):
            return False
        archive.write(path, self.engine.pack(name))
        return True

    async def find(self, session_id: str) -> SocketSandbox | None:
        sandbox = self._sandbox(session_id, Limits())
        if await answers(sandbox):
            return sandbox
        await sandbox.close()
        return None

    async def renew_network(self, session_id: str, policy: NetworkPolicy) -> None:
        if self.egress:
            await self.egress.renew(session_id, policy)

    async def renew_credentials(
        self, session_id: str, credentials: Sequence[BoundCredential]
    ) -> None:
        if self.egress:
            await self.egress.renew_credentials(session_id, credentials)

    async def status(self, session_id: str) -> SandboxStatus:
        name = await self._in_thread(self.places.name, session_id)
        state = await self._in_thread(self.engine.state, name)
        if state == "running":
            return SandboxStatus.RUNNING
        has_files = await self._in_thread(self.engine.has_files, name)
        return SandboxStatus.STOPPED if state or has_files else SandboxStatus.ABSENT

    async def destroy(self, session_id: str, *, keep_workspace: bool) -> None:
        async with self._turns[session_id]:
            name = await self._in_thread(self.places.name, session_id)
            await self._in_thread(self.engine.remove, name)
            if self.egress:
                await self.egress.close(session_id)
            if not keep_workspace:
                await self._in_thread(self.engine.remove_files, name)
                await self._in_thread(self.places.remove, session_id)
        self._turns.pop(session_id, None)

    async def running(self) -> frozenset[str]:
        return await self._in_thread(self._whose, self.engine.running)

    async def sessions(self) -> frozenset[str]:
        return await self._in_thread(self._whose, self.engine.sandboxes)

    def _whose(self, names: Callable[[], frozenset[str]]) -> frozenset[str]:
        """The sessions that sandboxes belong to; those made ahead are nobody's."""
        claimed = self.places.claimed()
        found = (claimed.get(name, name) for name in names())
        return frozenset(one for one in found if not one.startswith(pool.PREFIX))

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.engine.close()

    async def _running(self, spec: SandboxSpec) -> SocketSandbox:
        await self._prepare(spec)
        sandbox = self._sandbox(spec.session_id, spec.limits)
        if await answers(sandbox):
            return sandbox
        await sandbox.close()
        if await self._in_thread(self.engine.state, spec.name) == "running":
            try:
                return await self._answering(spec, ADOPT_SECONDS)
            except ProvisionFailed:
                pass  # it runs and does not answer: only a new one will
        files = await self._in_thread(self._start, spec)
        sandbox = await self._answering(spec, READY_SECONDS)
        sandbox.origin = await self._origin(files)
        return sandbox

    async def _origin(self, files: Files) -> Origin:
        notes = await self._in_thread(self.engine.notes)
        return Origin(provider=self.name, files=files, notes=tuple(notes))

    def _start(self, spec: SandboxSpec) -> Files:
        """Start a sandbox in place of one that stopped, or does not answer.

        That one has nothing worth keeping: what it was made of is read-only. So it is
        made anew, and follows the environment as it is now.
        """
        self.engine.remove(spec.name)
        files = self._restore(spec)
        self.places.renew(spec.session_id)
        self.engine.start(spec)
        return files

    def _restore(self, spec: SandboxSpec) -> Files:
        """Have the session's files here, where any are left; say which.

        What an earlier restoring left half-done is not taken for the session's files.
        """
        copy = self.places.restoring(spec.session_id)
        if copy.exists():
            self.engine.remove_files(spec.name)
        if self.engine.has_files(spec.name):
            return Files.KEPT
        if spec.snapshot is None or not spec.snapshot.exists():
            copy.unlink(missing_ok=True)
            return Files.NEW
        archive.write(copy, [("", archive.pieces(spec.snapshot))])
        self.engine.unpack(spec, archive.pieces(copy))
        copy.unlink()
        return Files.RESTORED

    def _sandbox(self, session_id: str, limits: Limits) -> SocketSandbox:
        socket = self.places.socket(session_id)
        found = Origin(provider=self.name, files=Files.RUNNING)
        return SocketSandbox(session_id, socket, limits, found, refusals=self.egress)

    async def _prepare(self, spec: SandboxSpec) -> None:
        try:
            await self._in_thread(self.places.prepare, spec)
        except OSError as error:
            raise ProvisionFailed(
                f"The folders of session {spec.session_id} cannot be made: {error}."
            ) from error
        authority = ""
        if self.egress:
            authority = await self.egress.open(
                spec.session_id, spec.network, spec.credentials
            )
        await self._in_thread(
            trust.write, self.places.trust(spec.session_id), authority, self.extra_ca
        )

    async def _answering(self, spec: SandboxSpec, seconds: float) -> SocketSandbox:
        """Return the sandbox once its tool server answers."""
        sandbox = self._sandbox(spec.session_id, spec.limits)
        try:
            async with asyncio.timeout(seconds):
                for attempt in count(1):
                    if await answers(sandbox):
                        break
                    if attempt % ENDED_EVERY == 0:
                        await self._refuse_ended(spec)
                    await asyncio.sleep(READY_POLL_SECONDS)
        except TimeoutError as error:
            await sandbox.close()
            raise await self._silent(spec) from error
        return sandbox

    async def _refuse_ended(self, spec: SandboxSpec) -> None:
        state = await self._in_thread(self.engine.state, spec.name)
        if state in ("exited", "dead", None):
            raise await self._silent(spec)

    async def _silent(self, spec: SandboxSpec) -> ProvisionFailed:
        words = await self._in_thread(self.engine.last_words, spec.name)
        return ProvisionFailed(
            f"The sandbox of session {spec.session_id} did not come up: {words}."
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
                data = await self._bytes_of(mount)
                await sandbox.write(mount.path, data, executable=mount.executable)
        await self._in_thread(self.places.mark_mounted, session_id, now)

    async def _bytes_of(self, mount: FileMount) -> bytes:
        try:
            return await self._in_thread(mount.source.read_bytes)
        except OSError as error:
            raise ProvisionFailed(f"{mount.path} cannot be read: {error}.") from error

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(work, *arguments))


async def answers(sandbox: SocketSandbox) -> bool:
    try:
        await sandbox.ping(5.0)
    except (NotSent, Lost, TimeoutError):
        return False
    return True
