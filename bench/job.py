"""The job whose start is waited for; a worker imports nothing else of the benchmarks."""

from __future__ import annotations

import time
from pathlib import Path


def note_start(path: str, enqueued: int) -> None:
    taken = time.monotonic_ns() - enqueued
    with Path(path).open("a") as lines:
        lines.write(f"{taken}\n")
