"""The summary that the scripted model gives: what is left of its script."""

from __future__ import annotations

from collections.abc import Sequence

from sessions.harness.compaction import OPENING, RETOLD
from sessions.harness.scripted_model.script import (
    FENCE,
    Message,
    Step,
    parse,
    remaining,
    replies_since,
    script_of,
    texts,
)


def is_asked_to_condense(messages: Sequence[Message]) -> bool:
    said = texts(messages[-1])
    return bool(said) and said[-1].startswith(OPENING)


def summary(messages: Sequence[Message]) -> Step:
    found = _progress(messages)
    if found is None:
        return Step(say="Scripted summary of a conversation without a script.")
    done, steps = found
    said = f"Scripted summary; {done} replies of the script were given."
    return Step(say=f"{said}\n\n{remaining(steps, done)}")


def _progress(messages: Sequence[Message]) -> tuple[int, Sequence[Step]] | None:
    """How many replies the last script has had, and its steps."""
    retold = texts(messages[0])
    if retold and retold[0].startswith(RETOLD):
        return _retold_progress(retold[0])
    found = script_of(messages)
    return (replies_since(messages, found[0]), found[1]) if found else None


def _retold_progress(text: str) -> tuple[int, Sequence[Step]] | None:
    scripts = list(FENCE.finditer(text))
    if not scripts:
        return None
    return text.count("\n## assistant\n", scripts[-1].end()), parse(scripts[-1][1])
