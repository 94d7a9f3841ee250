"""Two versions of an agent side by side, or one under the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from agents.forms import enabled_tools

AROUND = 3


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row of a comparison; an absent side has no number."""

    kind: str  # same, changed, added, removed or skipped
    left: str = ""
    right: str = ""
    left_at: int | None = None
    right_at: int | None = None


def as_lines(config: Mapping[str, Any]) -> list[str]:
    """A definition as people read it: one fact a line, the prompt as it was written."""
    model = config["model"]
    return [
        f"name: {config['name']}",
        f"description: {config['description'] or ''}",
        f"model: {model['id']}",
        f"effort: {model['effort']['type']}",
        f"tools: {', '.join(enabled_tools(config)) or 'none'}",
        *(f"skill: {each['skill_id']} {each['version']}" for each in config["skills"]),
        *(f"metadata: {key} = {text}" for key, text in config["metadata"].items()),
        "system prompt:",
        *(f"  {line}" for line in (config["system"] or "").splitlines()),
    ]


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Line]:
    return compare_lines(as_lines(old), as_lines(new))


def compare_lines(left: list[str], right: list[str]) -> list[Line]:
    """Rows of a side-by-side comparison; long equal stretches are left out."""
    matcher = SequenceMatcher(a=left, b=right, autojunk=False)
    return [
        line
        for tag, a1, a2, b1, b2 in matcher.get_opcodes()
        for line in _block(tag, left, right, (a1, a2, b1, b2))
    ]


def _block(
    tag: str, left: list[str], right: list[str], at: tuple[int, int, int, int]
) -> Iterator[Line]:
    a1, a2, b1, b2 = at
    if tag == "equal" and a2 - a1 > 2 * AROUND + 1:
        yield from _pairs("same", left, right, (a1, a1 + AROUND, b1, b1 + AROUND))
        yield Line(kind="skipped", left=f"{a2 - a1 - 2 * AROUND} equal lines")
        yield from _pairs("same", left, right, (a2 - AROUND, a2, b2 - AROUND, b2))
    else:
        yield from _pairs("same" if tag == "equal" else "changed", left, right, at)


def _pairs(
    kind: str, left: list[str], right: list[str], at: tuple[int, int, int, int]
) -> Iterator[Line]:
    a1, a2, b1, b2 = at
    for step in range(max(a2 - a1, b2 - b1)):
        in_left, in_right = a1 + step < a2, b1 + step < b2
        yield Line(
            kind=kind if in_left and in_right else "removed" if in_left else "added",
            left=left[a1 + step] if in_left else "",
            right=right[b1 + step] if in_right else "",
            left_at=a1 + step + 1 if in_left else None,
            right_at=b1 + step + 1 if in_right else None,
        )
