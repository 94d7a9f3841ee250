"""Starts bubblewrap as the user of a sandbox, with what the sandbox is made of in sight."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from sandbox.bubblewrap.machine import PATH, is_root, program
from sandbox.bubblewrap.processes import LABEL

LAUNCH = Path(__file__).with_name("launch.py")


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One start: whose it is, what it sees, and what bubblewrap is told."""

    uid: int
    shown: Mapping[str, str]  # the parts of the sandbox on this machine, by name
    arguments: Sequence[str]  # of bubblewrap, with the parts where they are `seen`
    command: Sequence[str]
    label: str = ""
    cgroups: Sequence[Path] = ()
    limits: Mapping[str, int] = field(default_factory=dict)
    stays: bool = False  # a child of ours; otherwise it outlives us

    @property
    def marks(self) -> dict[str, str]:
        """What tells its processes, from the first moment."""
        return {LABEL: self.label} if self.label else {}


@dataclass(frozen=True, kw_only=True)
class Launcher:
    """`stage` is where root shows a user what that one could not reach by itself."""

    stage: Path
    gid: int

    def seen(self, shown: Mapping[str, str]) -> dict[str, str]:
        """Where the parts of a sandbox are for the user who starts it."""
        if not is_root():
            return dict(shown)
        return {name: str(self.stage / name) for name in shown}

    def start(
        self,
        launch: Launch,
        *,
        handles: Sequence[int] = (),
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes],
        stderr: int | IO[bytes],
    ) -> subprocess.Popen[bytes]:
        with memory("\0".join(launch.arguments).encode()) as listed:
            return subprocess.Popen(  # noqa: S603
                [sys.executable, "-IS", str(LAUNCH), self._order(launch, listed)],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env={**os.environ, **launch.marks},
                pass_fds=[listed, *handles],
                cwd="/",
            )

    def _order(self, launch: Launch, listed: int) -> str:
        order = {
            "argv": [program(), "--args", str(listed), *launch.command],
            "environment": {"PATH": PATH, **launch.marks},
            "cgroups": [str(group) for group in launch.cgroups],
            "limits": dict(launch.limits),
            "stays": launch.stays,
        }
        if is_root():
            self.stage.mkdir(exist_ok=True)
            self.stage.chmod(0o711)
            order |= {
                "uid": launch.uid,
                "groups": [self.gid],
                "stage": str(self.stage),
                "shown": dict(launch.shown),
            }
        return json.dumps(order)


@contextmanager
def memory(data: bytes) -> Iterator[int]:
    """Give data as an open file that has no name."""
    handle = os.memfd_create("agentsite")
    try:
        os.write(handle, data)
        os.lseek(handle, 0, os.SEEK_SET)
        yield handle
    finally:
        os.close(handle)
