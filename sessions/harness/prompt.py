"""The system prompt: what the agent's author wrote and what the platform adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

PLACES = """\
You work in a sandbox of your own, a Linux machine that you may change as you like.
- /workspace is where you work; it is kept for the whole session.
- /mnt/session/uploads holds files given to you; they cannot be changed there.
- /mnt/session/outputs is for files that are to be handed back.
If a tool fails, read what it says and go on from there."""


def system_prompt(
    agent: Mapping[str, Any], notes: Sequence[str], *, with_tools: bool
) -> list[dict[str, str]]:
    """Return the prompt as text blocks.

    Nothing that changes from turn to turn, such as the date, may be in here: the
    provider's cache holds a prompt only as long as it stays the same.
    """
    parts = [agent.get("system") or "", PLACES if with_tools else "", "\n".join(notes)]
    return [{"type": "text", "text": part} for part in parts if part.strip()]
