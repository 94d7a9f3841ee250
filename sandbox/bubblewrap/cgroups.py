"""Limits for a sandbox as a whole, by the kernel's control groups where we may."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sandbox.spec import Limits

ROOT = Path("/sys/fs/cgroup")
MB = 1024 * 1024
PERIOD = 100_000  # microseconds
EMPTY_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Cgroups:
    """The groups of one site, one or several folders for each sandbox.

    The old hierarchy has a tree for each kind of limit, the unified one a single tree.
    """

    site: str
    root: Path = ROOT

    @property
    def unified(self) -> bool:
        return (self.root / "cgroup.controllers").exists()

    def make(self, sandbox: str, limits: Limits) -> list[Path]:
        """Make a sandbox's groups; none where this machine does not let us."""
        made = []
        try:
            for folder, values in self.wanted(sandbox, limits):
                folder.mkdir(parents=True, exist_ok=True)
                made.append(folder)
                for name, value in values.items():
                    write(folder / name, value)
        except OSError:
            self.remove(sandbox)
            return []
        return made

    def wanted(
        self, sandbox: str, limits: Limits
    ) -> Iterator[tuple[Path, dict[str, str]]]:
        memory, quota = limits.memory_mb * MB, int(limits.cpus * PERIOD)
        if self.unified:
            self.delegate()
            yield (
                self.root / self.site / sandbox,
                {
                    "memory.max": str(memory),
                    "memory.swap.max": "0",
                    "memory.oom.group": "0",
                    "pids.max": str(limits.pids),
                    "cpu.max": f"{quota} {PERIOD}",
                },
            )
            return
        values = {
            "memory": {
                "memory.limit_in_bytes": str(memory),
                "memory.memsw.limit_in_bytes": str(memory),
            },
            "pids": {"pids.max": str(limits.pids)},
            "cpu": {
                "cpu.cfs_period_us": str(PERIOD),
                "cpu.cfs_quota_us": str(quota),
            },
        }
        for kind, wanted in values.items():
            if not (self.root / kind).is_dir():
                raise FileNotFoundError(f"this machine has no control group of {kind}")
            yield self.root / kind / self.site / sandbox, wanted

    def delegate(self) -> None:
        """Have the kinds of limits we use reach down to our groups."""
        (self.root / self.site).mkdir(exist_ok=True)
        for folder in (self.root, self.root / self.site):
            (folder / "cgroup.subtree_control").write_text("+memory +pids +cpu")

    def folders(self, sandbox: str) -> list[Path]:
        kinds = [""] if self.unified else ["memory", "pids", "cpu"]
        places = [self.root / kind / self.site / sandbox for kind in kinds]
        return [place for place in places if place.is_dir()]

    def remove(self, sandbox: str) -> None:
        """Remove a sandbox's groups once the last of its processes has ended."""
        until = time.monotonic() + EMPTY_SECONDS
        for folder in self.folders(sandbox):
            while folder.is_dir() and time.monotonic() < until:
                with contextlib.suppress(OSError):
                    folder.rmdir()
                    break
                time.sleep(0.01)

    def close(self) -> None:
        """Remove the groups above, where nothing is left in them."""
        for folder in self.folders(""):
            with contextlib.suppress(OSError):
                folder.rmdir()


def write(path: Path, value: str) -> None:
    try:
        path.write_text(value)
    except FileNotFoundError:
        # A limit of swap exists only where the kernel counts it.
        if "memsw" not in path.name and "swap" not in path.name:
            raise
