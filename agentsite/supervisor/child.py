"""One supervised process: started, kept alive, its words shown, ended with its group."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agentsite.conf import ROOT
from agentsite.supervisor.identity import Identity
from agentsite.supervisor.leftovers import Leftovers

LAUNCH = Path(__file__).with_name("launch.py")
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 30.0
STEADY = 30.0  # A child that ran this long has earned a quick restart.
LONGEST_LINE = 20_000

Say = Callable[[str, str], None]


@dataclass(frozen=True, kw_only=True)
class Command:
    """What to run, as whom, and how it wants to end."""

    name: str
    argv: tuple[str, ...]
    identity: Identity = field(default_factory=Identity)
    environment: Mapping[str, str] = field(default_factory=dict)
    grace: float = 10.0
    death_signal: int = signal.SIGKILL
    mute: str = ""


class Child:
    def __init__(self, command: Command, say: Say, leftovers: Leftovers) -> None:
        self.command = command
        self._say = say
        self._leftovers = leftovers
        self._process: Process | None = None
        self._stopping = asyncio.Event()

    @property
    def pid(self) -> int | None:
        alive = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process and alive else None

    async def run_once(self) -> int:
        """Run until it ends; return its exit code. Nothing of its group is left."""
        self._process, output = await self._spawn()
        pid = self._process.pid
        self._leftovers.remember(self.command.name, pid)
        try:
            await self._show(self._process, output)
            return await self._process.wait()
        finally:
            _signal_group(pid, signal.SIGKILL)
            self._leftovers.forget(self.command.name)

    async def keep(self) -> None:
        """Run it again whenever it ends, ever later when it ends at once."""
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            began = time.monotonic()
            code = await self.run_once()
            if self._stopping.is_set():
                return
            if time.monotonic() - began > STEADY:
                pause = FIRST_PAUSE
            self._tell(f"{_ending(code)}; it starts again in {pause:.2g} s")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
            pause = min(pause * 2, LONGEST_PAUSE)

    async def stop(self) -> None:
        """Ask the process to end; after its grace, end its whole group."""
        self._stopping.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        # Only the leader is asked: it knows in which order its own children end.
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(self.command.grace):
                await process.wait()
        except TimeoutError:
            self._tell(f"did not end within {self.command.grace:g} s and is killed")
            _signal_group(process.pid, signal.SIGKILL)
            await process.wait()

    def kill(self) -> None:
        """End the whole group now."""
        self._stopping.set()
        if self.pid:
            _signal_group(self.pid, signal.SIGKILL)

    async def _spawn(self) -> tuple[Process, int]:
        """Start it; return it and the end of a pipe from which its words are read.

        With a pipe of asyncio's own, waiting for the process would be waiting for
        whoever else has that pipe open, too.
        """
        output, words = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-IS",
                str(LAUNCH),
                json.dumps(self._order()),
                stdin=DEVNULL,
                stdout=words,
                stderr=STDOUT,
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self.command.environment},
                start_new_session=True,
            )
        except BaseException:
            os.close(output)
            raise
        finally:
            os.close(words)
        return process, output

    def _order(self) -> dict[str, object]:
        return {
            "argv": self.command.argv,
            "parent": os.getpid(),
            "death_signal": int(self.command.death_signal),
            **self.command.identity.order(),
        }

    async def _show(self, process: Process, output: int) -> None:
        """Pass its lines on until it ends."""
        reader = asyncio.create_task(self._read(output))
        await process.wait()
        # A grandchild may hold the pipe open: what it says later is not waited for.
        await asyncio.wait({reader}, timeout=0.2)
        reader.cancel()
        await asyncio.wait({reader})

    async def _read(self, output: int) -> None:
        loop = asyncio.get_running_loop()
        stream = asyncio.StreamReader()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(output, "rb", 0)
        )
        try:
            await self._read_lines(stream)
        finally:
            transport.close()

    async def _read_lines(self, stream: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await stream.read(65_536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._tell(line.decode(errors="replace"))
            if len(rest) > LONGEST_LINE:
                self._tell(rest.decode(errors="replace"))
                rest = b""
        if rest:
            self._tell(rest.decode(errors="replace"))

    def _tell(self, line: str) -> None:
        if not self.command.mute or self.command.mute not in line:
            self._say(self.command.name, line.rstrip())


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _ending(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with code {code}"
