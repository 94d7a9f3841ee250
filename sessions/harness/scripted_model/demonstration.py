"""What the scripted model does when nobody gave it a script: a short, labelled show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sessions.harness.scripted_model.script import (
    Message,
    Step,
    last_result,
    replies_since,
    result_text,
    texts,
)

LABEL = "**Scripted demonstration: no language model takes part in this.**"

HOW_TO_SET_A_KEY = (
    "To have a real model do the work, put `ANTHROPIC_API_KEY=…` into the file `.env` "
    "beside the `Makefile`, start the site again, and choose a model for the agent."
)

PROGRAM = '''\
"""Counts the words of a text and prints the commonest."""

import collections
import sys

words = sys.stdin.read().lower().split()
for word, count in collections.Counter(words).most_common(5):
    print(f"{count:4} {word}")
'''

DELAY_MS = 15


def demonstration(messages: Sequence[Message], tools: Sequence[str]) -> Step:
    """Return the next reply of the show; the last user text began it."""
    began = max(
        place
        for place, message in enumerate(messages)
        if message["role"] == "user" and texts(message)
    )
    done = replies_since(messages, began)
    result = last_result(messages) if done else None
    if not {"bash", "write"} <= set(tools):
        return _told(f"{LABEL}\n\nThis agent has no bash and write tools to show.")
    if result and result.get("is_error"):
        return _told(f"That failed:\n\n{_quoted(result)}\n\nI stop here.")
    return _SHOW[done](result) if done < len(_SHOW) else _ended(result)


def _look_around(_: Mapping[str, Any] | None) -> Step:
    return _shown(
        f"{LABEL}\n\nThe tools are real, though: I look at the sandbox first.",
        "bash",
        command="pwd; whoami; uname -sr; python3 --version; ls -A /workspace "
        "/mnt/session/uploads 2>/dev/null || true",
    )


def _write_program(result: Mapping[str, Any] | None) -> Step:
    lines = len(result_text(result).splitlines())
    return _shown(
        f"The sandbox answered with {lines} lines. Now I write a small program.",
        "write",
        file_path="/workspace/demo/count.py",
        content=PROGRAM,
    )


def _run_program(_: Mapping[str, Any] | None) -> Step:
    return _shown(
        "It is written. I run it on the names of the system's commands.",
        "bash",
        command="cd /workspace/demo && ls /usr/bin | sed 's/[-.].*//' | "
        "python3 count.py",
    )


_SHOW = (_look_around, _write_program, _run_program)


def _ended(result: Mapping[str, Any] | None) -> Step:
    return _told(f"It printed:\n\n{_quoted(result)}\n\nThat is the whole show.")


def _shown(say: str, tool: str, **given: str) -> Step:
    call = {"name": tool, "input": given}
    return Step(say=say, tools=[call], delay_ms=DELAY_MS)


def _told(say: str) -> Step:
    return Step(say=f"{say}\n\n{HOW_TO_SET_A_KEY}", delay_ms=DELAY_MS)


def _quoted(result: Mapping[str, Any] | None) -> str:
    return f"```\n{result_text(result)[:2000]}\n```"
