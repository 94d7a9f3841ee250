"""Runs the benchmarks and prints one table: `python -m bench [name …]`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from bench import (
    append,
    crowd,
    egress,
    idle,
    images,
    parse,
    rate,
    recovery,
    sandboxes,
    steps,
    tools,
    turns,
)
from bench.figures import Row, table
from bench.site import Bench, bench_site

Benchmark = Callable[[Bench], Sequence[Row]]

BENCHMARKS: dict[str, Benchmark] = {
    "idle": lambda bench: [idle.measure(bench)],
    "append": lambda bench: [append.append_to_stream(bench)],
    "fan-out": lambda bench: [append.fan_out(bench)],
    "turns": turns.measure,
    "parse": lambda bench: [parse.measure(bench)],
    "rate": rate.appends,
    "jobs": lambda bench: [rate.jobs(bench)],
    "tools": lambda bench: [tools.measure(bench)],
    "images": lambda bench: [images.measure(bench)],
    "sandboxes": sandboxes.measure,
    "recovery": recovery.measure,
    "steps": steps.measure,
    "egress": lambda bench: egress.measure(),
    "crowd200": lambda bench: [crowd.measure(bench, 200)],
    "crowd500": lambda bench: [crowd.measure(bench, 500)],
    "crowd1000": lambda bench: [crowd.measure(bench, 1_000)],
}


def main(names: Sequence[str]) -> None:
    rows: list[Row] = []
    with bench_site() as bench:
        for name in names or BENCHMARKS:
            print(f"{name} …", file=sys.stderr, flush=True)
            rows += BENCHMARKS[name](bench)
            print(table(rows[-1:]), file=sys.stderr, flush=True)
    print(table(rows))


if __name__ == "__main__":
    main(sys.argv[1:])
