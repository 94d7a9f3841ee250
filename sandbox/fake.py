"""Sandboxes in memory, for tests: the same contract, and nothing runs on the host."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import posixpath
import re
import tarfile
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sandbox import archive, toolserver
from sandbox.answers import outcome_in
from sandbox.errors import (
    FileUnavailable,
    ImageMissing,
    OutcomeUnknown,
    ProvisionFailed,
    SandboxGone,
)
from sandbox.fake_shell import Exited, FakeShell, Files, placed, put
from sandbox.places import sources, under_uploads
from sandbox.spec import (
    HOME,
    WORKSPACE,
    BoundCredential,
    FoundFile,
    Listing,
    NetworkPolicy,
    Origin,
    Running,
    SandboxSpec,
    SandboxStatus,
    ToolOutcome,
)
from sandbox.spec import Files as Found
from sandbox.toolserver import Ending, Outcome, ToolError, outcome_of_text


class FakeProvider:
    """Keeps sandboxes in memory. `executed` lists the calls that really ran."""

    name = "fake"

    def __init__(self, *, images: Collection[str] | None = None) -> None:
        self.images = images
        self.machines: dict[str, FakeMachine] = {}
        self.files: dict[str, Files] = {}
        self.mounted: dict[str, dict[str, str]] = {}
        self.executed: list[str] = []
        self.used: Counter[str] = Counter()
        self.networks: dict[str, NetworkPolicy] = {}
        self.credentials: dict[str, tuple[BoundCredential, ...]] = {}

    async def check(self) -> None:
        """There is always room in memory."""

    async def provision(self, spec: SandboxSpec) -> FakeSandbox:
        if self.images is not None and spec.image not in self.images:
            raise ImageMissing(
                f"Image {spec.image} of session {spec.session_id} is not here."
            )
        found = self._find(spec)
        files = self.files[spec.session_id]
        self._place(spec, files)
        machine = self.machines.get(spec.session_id)
        if machine is None:
            machine = FakeMachine(spec, files, self.executed)
            self.machines[spec.session_id] = machine
        self.networks[spec.session_id] = spec.network
        self.credentials[spec.session_id] = spec.credentials
        origin = Origin(provider=self.name, files=found)
        return FakeSandbox(spec.session_id, machine, origin, self.used)

    def _find(self, spec: SandboxSpec) -> Found:
        """Have the session's files here; say where they are from."""
        if spec.session_id in self.machines:
            return Found.RUNNING
        if spec.session_id in self.files:
            return Found.KEPT
        self.files[spec.session_id] = {}
        if spec.snapshot is None or not spec.snapshot.exists():
            return Found.NEW
        self.files[spec.session_id] = unpacked(spec.snapshot)
        return Found.RESTORED

    async def find(self, session_id: str) -> FakeSandbox | None:
        machine = self.machines.get(session_id)
        if machine is None:
            return None
        origin = Origin(provider=self.name, files=Found.RUNNING)
        return FakeSandbox(session_id, machine, origin, self.used)

    async def renew_network(self, session_id: str, policy: NetworkPolicy) -> None:
        if session_id in self.machines:
            self.networks[session_id] = policy

    async def renew_credentials(
        self, session_id: str, credentials: Sequence[BoundCredential]
    ) -> None:
        if session_id in self.machines:
            self.credentials[session_id] = tuple(credentials)

    async def status(self, session_id: str) -> SandboxStatus:
        if session_id in self.machines:
            return SandboxStatus.RUNNING
        known = session_id in self.files
        return SandboxStatus.STOPPED if known else SandboxStatus.ABSENT

    @asynccontextmanager
    async def alone(self, session_id: str) -> AsyncIterator[bool]:
        yield not self.used[session_id]

    async def snapshot(self, session_id: str, path: Path) -> bool:
        if session_id not in self.files:
            return False
        archive.write(path, [("", [packed(self.files[session_id])])])
        return True

    async def running(self) -> frozenset[str]:
        return frozenset(self.machines)

    async def destroy(self, session_id: str, *, keep_workspace: bool) -> None:
        await self.lose(session_id)
        if not keep_workspace:
            self.files.pop(session_id, None)
            self.mounted.pop(session_id, None)

    async def sessions(self) -> frozenset[str]:
        return frozenset(self.files)

    async def tend(self) -> None:
        """A sandbox in memory takes no time to make."""

    async def drain(self) -> None:
        """Nothing was made ahead."""

    async def close(self) -> None:
        """Memory needs no farewell."""

    async def lose(self, session_id: str) -> None:
        """End a sandbox as a crash does: running calls get no answer, files stay."""
        machine = self.machines.pop(session_id, None)
        if machine:
            await machine.end()

    def _place(self, spec: SandboxSpec, files: Files) -> None:
        before, now = self.mounted.get(spec.session_id, {}), sources(spec.files)
        for path, source in before.items():
            if now.get(path) != source:
                files.pop(path, None)
        for mount in spec.files:
            under_uploads(mount.path)
            if before.get(mount.path) != str(mount.source):
                try:
                    put(files, mount.path, mount.source.read_bytes())
                except OSError as error:
                    raise ProvisionFailed(f"{mount.source}: {error}.") from error
        self.mounted[spec.session_id] = now


class FakeMachine:
    """What runs in one sandbox, until it is lost."""

    def __init__(self, spec: SandboxSpec, files: Files, executed: list[str]) -> None:
        self.files = files
        self.lost = False
        self.tools = FakeTools(FakeBash(spec, files), FakeFiles(files), executed)

    async def end(self) -> None:
        self.lost = True
        tasks = {call.task for call in self.tools.running.values()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


class FakeSandbox:
    """Implements the Sandbox protocol on a machine in memory."""

    def __init__(
        self,
        session_id: str,
        machine: FakeMachine,
        origin: Origin,
        used: Counter[str],
    ) -> None:
        self.session_id = session_id
        self.machine = machine
        self.origin = origin
        self.used = used
        self.used[session_id] += 1
        self.closed = False

    async def execute(
        self, call_id: str, tool: str, input: Mapping[str, Any]
    ) -> ToolOutcome:
        self._refuse_lost()
        try:
            outcome = await self.machine.tools.execute(call_id, tool, input)
        except asyncio.CancelledError:
            if not self.machine.lost:
                raise
            raise OutcomeUnknown(
                f"The outcome of call {call_id} is unknown: the sandbox of session "
                f"{self.session_id} was lost while it ran."
            ) from None
        return outcome_in({"outcome": asdict(outcome)})

    async def outcome(self, call_id: str) -> ToolOutcome | Running | None:
        self._refuse_lost()
        known = self.machine.tools.outcome(call_id)
        if known and "outcome" in known:
            return outcome_in(known)
        return Running(seconds=known["running"]) if known else None

    async def cancel(self, call_id: str) -> None:
        self._refuse_lost()
        await self.machine.tools.cancel(call_id)

    async def read(self, path: str) -> bytes:
        self._refuse_lost()
        data = self.machine.files.get(placed(path))
        if data is None:
            raise FileUnavailable(
                f"{path} in sandbox {self.session_id} is refused: it does not exist."
            )
        return data

    async def pieces(self, path: str) -> AsyncIterator[bytes]:
        yield await self.read(path)

    async def files_below(self, path: str, most: int) -> Listing:
        self._refuse_lost()
        folder = f"{placed(path)}/"
        found = [
            FoundFile(
                path=name.removeprefix(folder),
                label=name.removeprefix(folder),
                size=len(data),
                mark=hashlib.sha256(data).hexdigest(),
            )
            for name, data in sorted(self.machine.files.items())
            if name.startswith(folder)
        ]
        return Listing(files=tuple(found[:most]), more=len(found) > most)

    async def write(self, path: str, data: bytes, *, executable: bool = False) -> None:
        self._refuse_lost()
        put(self.machine.files, placed(path), data)

    async def remove(self, path: str) -> None:
        self._refuse_lost()
        self.machine.files.pop(placed(path), None)

    async def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.used[self.session_id] -= 1

    def _refuse_lost(self) -> None:
        if self.machine.lost:
            raise SandboxGone(
                f"The sandbox of session {self.session_id} does not answer."
            )


def packed(files: Files) -> bytes:
    with io.BytesIO() as kept:
        with tarfile.open(fileobj=kept, mode="w") as target:
            for path, data in files.items():
                entry = tarfile.TarInfo(path[1:])
                entry.size = len(data)
                target.addfile(entry, io.BytesIO(data))
        return kept.getvalue()


def unpacked(path: Path) -> Files:
    files: Files = {}
    with tarfile.open(path) as source:
        for entry in source:
            if data := source.extractfile(entry):
                put(files, f"/{entry.name}", data.read())
    return files


class FakeTools(toolserver.Tools):
    """The tool server's own bookkeeping of calls, over tools in memory."""

    def __init__(self, bash: FakeBash, files: FakeFiles, executed: list[str]) -> None:
        self.fake_bash = bash
        self.fake_files = files
        self.executed = executed
        self.running = {}
        self.memory = toolserver.Memory()

    async def run(
        self, call_id: str, tool: str, input: Mapping[str, Any], stop: asyncio.Event
    ) -> Outcome:
        self.executed.append(call_id)
        if tool == "bash":
            return await self.fake_bash.run(call_id, input, stop)
        outcome: Outcome = getattr(self.fake_files, tool)(input)
        return outcome


class FakeBash:
    """The bash tool over the tiny command language."""

    def __init__(self, spec: SandboxSpec, files: Files) -> None:
        self.files = files
        self.seconds = spec.limits.command_seconds
        self.variables = {"HOME": HOME, **spec.environment}
        self.turn = asyncio.Lock()
        self.shell = self.fresh()

    def fresh(self, cwd: str = WORKSPACE) -> FakeShell:
        return FakeShell(files=self.files, variables=dict(self.variables), cwd=cwd)

    async def run(
        self, call_id: str, input: Mapping[str, Any], stop: asyncio.Event
    ) -> Outcome:
        async with self.turn:
            if stop.is_set():
                return outcome_of_text("Cancelled before it started.", is_error=True)
            if input.get("restart"):
                self.shell = self.fresh(self.shell.cwd)
            if not input.get("command", "").strip():
                return outcome_of_text("The shell was restarted; every process ended.")
            seconds = input.get("timeout_ms", self.seconds * 1000) / 1000
            return await self.command(call_id, input["command"], seconds, stop)

    async def command(
        self, call_id: str, script: str, seconds: float, stop: asyncio.Event
    ) -> Outcome:
        shell = self.shell
        ending = await toolserver.first(ended(shell, script), seconds, stop)
        if ending.code is None:
            self.shell = self.fresh(shell.cwd)
        text, spilled = self.bounded(call_id, shell.output.rstrip("\n"))
        outcome = toolserver.described(ending, text, seconds, stopped=stop.is_set())
        outcome.spilled = spilled
        return outcome

    def bounded(self, call_id: str, text: str) -> tuple[str, str | None]:
        if len(text) <= toolserver.SPILL_ABOVE:
            return text, None
        path = f"{HOME}/.outputs/{call_id}.txt"
        put(self.files, path, text.encode())
        notice = f"[{len(text)} bytes of output, in {path}. Its end:]"
        return f"{notice}\n{text[-toolserver.SPILL_PREVIEW :]}", path


async def ended(shell: FakeShell, script: str) -> Ending:
    try:
        return Ending(code=await shell.run(script))
    except Exited as exited:
        return Ending(code=exited.code, exited=True)


class FakeFiles:
    """The file tools over files in memory."""

    def __init__(self, files: Files) -> None:
        self.files = files

    def data(self, path: str) -> bytes:
        if path in self.files:
            return self.files[path]
        if any(one.startswith(f"{path.rstrip('/')}/") for one in self.files):
            raise ToolError(f"{path} is a folder; use glob.")
        raise ToolError(f"{path} does not exist.")

    def read(self, input: Mapping[str, Any]) -> Outcome:
        path = placed(input["file_path"])
        data = self.data(path)
        kind = toolserver.image_type(data)
        if kind:
            coded = base64.b64encode(data).decode()
            source = {"type": "base64", "media_type": kind, "data": coded}
            return Outcome(content=[{"type": "image", "source": source}])
        lines = iter(data.decode("utf-8", "replace").splitlines(keepends=True))
        return outcome_of_text(toolserver.viewed(lines, input.get("view_range"), path))

    def write(self, input: Mapping[str, Any]) -> Outcome:
        path = placed(input["file_path"])
        data = input["content"].encode()
        put(self.files, path, data)
        return outcome_of_text(f"Wrote {len(data)} bytes to {path}.")

    def edit(self, input: Mapping[str, Any]) -> Outcome:
        path = placed(input["file_path"])
        text = self.data(path).decode()
        everywhere = input.get("replace_all", False)
        old, new = input["old_string"], input["new_string"]
        after = toolserver.edited(text, old, new, replace_all=everywhere, path=path)
        put(self.files, path, after.encode())
        count = text.count(old) if everywhere else 1
        return outcome_of_text(f"Replaced {count} time{'s'[: count != 1]} in {path}.")

    def glob(self, input: Mapping[str, Any]) -> Outcome:
        root = placed(input.get("path", "."))
        wanted = toolserver.glob_regex(placed(input["pattern"], root))
        newest = (path for path in reversed(self.files) if wanted.match(path))
        return outcome_of_text(toolserver.listing(list(newest), cut=False))

    def grep(self, input: Mapping[str, Any]) -> Outcome:
        try:
            wanted = re.compile(input["pattern"])
        except re.error as error:
            raise ToolError(f"grep: regex parse error: {error}") from error
        root = placed(input.get("path", "."))
        found = list(self.matching(wanted, root))
        return outcome_of_text("\n".join(found) or "No lines match.")

    def matching(self, wanted: re.Pattern[str], root: str) -> Iterator[str]:
        for path in sorted(self.files):
            if path != root and posixpath.commonpath([path, root]) != root:
                continue
            for number, line in enumerate(self.files[path].decode().splitlines(), 1):
                if wanted.search(line):
                    yield f"{path}:{number}:{line}"
