"""Sandboxes made ahead, for sessions that have none yet. Plain files, on one machine.

Each waits behind a ticket, a small file with its name. Whoever moves the ticket into a
session's folder has that sandbox, and nobody else: a file is moved once. So workers need
no other word with one another, and what a dead one left is seen by its age.
"""

from __future__ import annotations

import hashlib
import math
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import fields
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from sandbox.spec import SandboxSpec

PREFIX = "pool-"
OF_A_SESSION = {
    *("session_id", "name", "environment", "files"),
    *("network", "credentials", "snapshot"),
}
"""What a sandbox learns when it is claimed; all else is its shape, and made ahead."""

EACH = 4  # of one shape
COLD_SECONDS = 1.5  # what a start may take, on a busy machine
WINDOW = 600.0  # in which starts are counted
USED_WITHIN = 3600.0
RECYCLED_AFTER = 1800.0
MADE_WITHIN = 120.0


def shape_of(spec: SandboxSpec) -> str:
    """Return what sandboxes must have in common to stand for one another."""
    values = [
        getattr(spec, each.name)
        for each in fields(spec)
        if each.name not in OF_A_SESSION
    ]
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


def new_name() -> str:
    """Return the name of a new sandbox; it says when that was made."""
    return f"{PREFIX}{int(time.time())}-{uuid.uuid4().hex[:8]}"


def age(name: str) -> float:
    return time.time() - int(name.split("-")[1])


def target(starts: int) -> int:
    """How many of a shape should wait, by how many were started in the window."""
    return max(1, math.ceil(starts / WINDOW * COLD_SECONDS * 2))


class Pool:
    """The tickets of one site, and what this process has seen started."""

    def __init__(self, folder: Path, most: int) -> None:
        self.folder = folder
        self.most = most
        self._seen: dict[str, SandboxSpec] = {}

    # Claiming.

    def note(self, spec: SandboxSpec) -> None:
        """A session of this shape begins: others may follow."""
        shape = shape_of(spec)
        self._seen[shape] = spec
        starts = self.folder / shape / "starts"
        starts.mkdir(parents=True, exist_ok=True)
        (starts / str(time.time_ns())).touch()

    def forget(self, spec: SandboxSpec) -> None:
        """None of this shape can be made now; the next session begins anew."""
        self._seen.pop(shape_of(spec), None)

    def take(self, spec: SandboxSpec, place: Path) -> str | None:
        """Move a ticket to this place; return the name of the sandbox behind it."""
        for ticket in self._tickets(shape_of(spec)):
            try:
                ticket.rename(place)
            except FileNotFoundError:
                continue  # somebody was quicker
            return ticket.name
        return None

    def offer(self, spec: SandboxSpec, name: str) -> None:
        """A sandbox is up and waits: let anybody have it."""
        folder = self.folder / shape_of(spec) / "tickets"
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{name}"
        part.write_text(name)
        part.rename(folder / name)

    # Tending.

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Hold the pool's care; false where another process has it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("ab") as lock:
            try:
                flock(lock, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def wanted(self) -> list[SandboxSpec]:
        """What should be made now, each as often as it lacks."""
        room = self.most - sum(1 for _ in self.folder.glob("*/tickets/[!.]*"))
        lacking = []
        for shape, spec in [*self._seen.items()]:
            starts = self._starts(shape)
            if not starts:
                continue
            recent = sum(1 for started in starts if started < WINDOW)
            have = len(self._tickets(shape))
            lacking += [spec] * (min(EACH, target(recent)) - have)
        return lacking[: max(0, room)]

    def withdraw(self) -> None:
        """Take back every ticket: nobody gets one any more."""
        for ticket in self.folder.glob("*/tickets/*"):
            ticket.unlink(missing_ok=True)

    def left_over(
        self, names: Collection[str], claimed: Callable[[], Collection[str]]
    ) -> list[str]:
        """Those of the engine's sandboxes that were made ahead and nobody will have.

        The tickets of those that have waited for too long are taken back. What is
        claimed is asked for last: a ticket that moves meanwhile is seen here or there.
        """
        for ticket in self.folder.glob(f"*/tickets/{PREFIX}*"):
            if age(ticket.name) > RECYCLED_AFTER:
                ticket.unlink(missing_ok=True)
        waiting = {ticket.name for ticket in self.folder.glob("*/tickets/[!.]*")}
        ahead = {name for name in names if name.startswith(PREFIX)}
        return [
            name
            for name in sorted(ahead - waiting - {*claimed()})
            if age(name) > MADE_WITHIN or not self.most
        ]

    def _tickets(self, shape: str) -> list[Path]:
        """The oldest first; none that is about to be recycled."""
        found = sorted((self.folder / shape / "tickets").glob(f"{PREFIX}*"))
        return [ticket for ticket in found if age(ticket.name) < RECYCLED_AFTER]

    def _starts(self, shape: str) -> list[float]:
        """How long ago each start was; those that no longer count are forgotten."""
        ages = []
        for path in (self.folder / shape / "starts").glob("*"):
            ago = time.time() - int(path.name) / 1e9
            if ago < USED_WITHIN:
                ages.append(ago)
            else:
                path.unlink(missing_ok=True)
        return ages
