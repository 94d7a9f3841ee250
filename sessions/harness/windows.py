"""How much of a conversation a model can be shown at once."""

from __future__ import annotations

import re

DEFAULT_WINDOW = 200_000
LONG_WINDOW = 1_000_000
LONG_SUFFIX = "[1m]"
"""Ends the id of a model whose longer window has to be asked for."""

WINDOWS = {
    "claude-opus-4-6": LONG_WINDOW,
    "claude-opus-4-7": LONG_WINDOW,
    "claude-opus-4-8": LONG_WINDOW,
    "claude-opus-5": LONG_WINDOW,
    "claude-sonnet-4-6": LONG_WINDOW,
    "claude-sonnet-5": LONG_WINDOW,
    "claude-fable-5": LONG_WINDOW,
    "claude-mythos": LONG_WINDOW,
}
"""Windows, in tokens, by the longest beginning of the model's id."""

_SCRIPTED = re.compile(r"scripted-(?:.*-)?window-(\d+)")


def window(model: str) -> int:
    """Return how many tokens this model takes, its reply included.

    Too small a figure costs a summary too many, too large a one a refused request.
    """
    if named := scripted_window(model):
        return named
    if model.endswith(LONG_SUFFIX):
        return LONG_WINDOW
    known = [beginning for beginning in WINDOWS if model.startswith(beginning)]
    return WINDOWS[max(known, key=len)] if known else DEFAULT_WINDOW


def scripted_window(model: str) -> int | None:
    """Return the window that a scripted model's id asks for: `scripted-window-8000`."""
    named = _SCRIPTED.fullmatch(model)
    return int(named[1]) if named else None


def room(model: str, max_tokens: int) -> int:
    """Return how many tokens a conversation may have, with a reply's length left."""
    size = window(model)
    return size - min(max_tokens, size // 4)
