"""B10: what a site costs while nobody wants anything of it."""

from __future__ import annotations

import time

from bench.figures import Row
from bench.site import Bench

SECONDS = 30


def measure(bench: Bench) -> Row:
    time.sleep(5)
    began, used = time.monotonic(), bench.cpu_seconds()
    time.sleep(SECONDS)
    share = (bench.cpu_seconds() - used) / (time.monotonic() - began)
    memory = bench.memory_mb()
    return Row(
        name="B10 idle site, all processes",
        measured=f"{share:.1%} of a core; {memory:.0f} MB",
        baseline="",
        result="",
        target="<= 2 %, <= 250 MB",
        holds=share <= 0.02 and memory <= 250,
    )
