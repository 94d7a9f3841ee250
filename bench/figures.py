"""Figures and the table they end in."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table. `holds` is null where there is no target."""

    name: str
    measured: str
    baseline: str
    result: str
    target: str
    holds: bool | None


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Half and nineteen twentieths of the samples are below these, in milliseconds."""

    p50: float
    p95: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Spread:
        cuts = statistics.quantiles(seconds, n=20)
        return cls(p50=statistics.median(seconds) * 1_000, p95=cuts[18] * 1_000)

    def __str__(self) -> str:
        return f"{self.p50:.2f} / {self.p95:.2f} ms"

    def __sub__(self, other: Spread) -> Spread:
        return Spread(p50=self.p50 - other.p50, p95=self.p95 - other.p95)

    def __add__(self, other: Spread) -> Spread:
        return Spread(p50=self.p50 + other.p50, p95=self.p95 + other.p95)

    def within(self, p50: float, p95: float) -> bool:
        return self.p50 <= p50 and self.p95 <= p95


HEADINGS = ("benchmark", "measured", "baseline", "result", "target", "")


def table(rows: Sequence[Row]) -> str:
    """Markdown, so that it can be copied into README.md."""
    cells = [HEADINGS, tuple("---" for _ in HEADINGS)]
    cells += [
        (row.name, row.measured, row.baseline, row.result, row.target, _mark(row.holds))
        for row in rows
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _mark(holds: bool | None) -> str:
    return {True: "holds", False: "misses", None: ""}[holds]
