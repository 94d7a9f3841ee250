"""Tool calls in one line, and their input as people read it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any

from agents.forms import TOOL_ICONS
from sessions.templatetags.prose import terminal

SUMMARY = 240
INPUT_SHOWN = 20_000

Input = Mapping[str, Any]


def icon_of(name: str) -> str:
    return TOOL_ICONS.get(name, "puzzle")


def summary_of(name: str, given: Input) -> str:
    """Say a call in one line."""
    line = " ".join(terminal(_summary(name, given)).split())
    return line if len(line) <= SUMMARY else line[:SUMMARY] + "…"


def _summary(name: str, given: Input) -> str:
    match name:
        case "bash" if given.get("restart"):
            return "restart the shell"
        case "bash":
            return str(given.get("command", ""))
        case "read" | "write" | "edit":
            return f"{given.get('file_path', '')}{_range(given.get('view_range'))}"
        case "glob" | "grep":
            where = f" in {given['path']}" if given.get("path") else ""
            return f"{given.get('pattern', '')}{where}"
    return json.dumps(given, ensure_ascii=False, separators=(",", ":"))


def _range(lines: Any) -> str:
    """Say a range of lines; what a model made up of other types is left out."""
    match lines:
        case [int(first), int(last)]:
            return f" lines {first}-{last if last > 0 else 'end'}"
    return ""


def shown_input(name: str, given: Input) -> dict[str, Any]:
    """The parts of an input: some named values, then a command, a text or a diff."""
    match name:
        case "bash" if "command" in given:
            return {"rest": _rest(given, "command"), "command": given["command"]}
        case "write" if "content" in given:
            return {"rest": _rest(given, "content"), "text": _cut(given["content"])}
        case "edit" if "new_string" in given:
            changed = diff_lines(
                str(given.get("old_string", "")), str(given["new_string"])
            )
            return {"rest": _rest(given, "old_string", "new_string"), "diff": changed}
        case "read" | "glob" | "grep":
            return {"rest": _rest(given)}
    return {"json": _cut(json.dumps(given, indent=2, ensure_ascii=False))}


def _rest(given: Input, *shown: str) -> list[tuple[str, str]]:
    return [(key, str(value)) for key, value in given.items() if key not in shown]


def _cut(text: Any) -> str:
    plain = terminal(str(text))
    if len(plain) <= INPUT_SHOWN:
        return plain
    return (
        f"{plain[:INPUT_SHOWN]}\n\n… {len(plain) - INPUT_SHOWN:,} characters left out"
    )


def diff_lines(old: str, new: str) -> list[tuple[str, str]]:
    """Lines of a unified diff, each with `add`, `del` or nothing as its class."""
    lines = difflib.unified_diff(
        old[:INPUT_SHOWN].splitlines(), new[:INPUT_SHOWN].splitlines(), lineterm="", n=3
    )
    kinds = {"+": "add", "-": "del", "@": "hunk"}
    return [
        (kinds.get(line[:1], ""), line)
        for number, line in enumerate(lines)
        if number > 1 and not line.startswith("@@")
    ]
