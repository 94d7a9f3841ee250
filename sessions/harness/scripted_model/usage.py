"""Token counts, near enough: four letters are a token."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sessions.harness.scripted_model.checks import all_blocks
from sessions.harness.scripted_model.errors import Refused
from sessions.harness.windows import scripted_window

LETTERS_A_TOKEN = 4
NEVER_CACHED = 3


def tokens(value: Any) -> int:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return -(-len(text) // LETTERS_A_TOKEN)


def check_window(request: Mapping[str, Any]) -> None:
    """Raise Refused when a request is longer than the window its model's id names."""
    size = scripted_window(request["model"])
    if size is None:
        return
    total = sum(tokens(block) for block in all_blocks(request))
    if total > size:
        raise Refused(400, f"prompt is too long: {total} tokens > {size} maximum")


def input_usage(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the usage of `message_start`.

    What lies before the last mark but one was written by the request before this one,
    and is read; what lies between the last two is written.
    """
    total, marks = 0, [0]
    for block in all_blocks(request):
        total += tokens({k: v for k, v in block.items() if k != "cache_control"})
        if block.get("cache_control"):
            marks.append(total)
    goes_on = any(message["role"] == "assistant" for message in request["messages"])
    read = marks[-2] if goes_on and len(marks) > 1 else 0
    written = marks[-1] - read
    return {
        "input_tokens": total - marks[-1] + NEVER_CACHED,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
        "cache_creation": {
            "ephemeral_5m_input_tokens": written,
            "ephemeral_1h_input_tokens": 0,
        },
        "output_tokens": 1,
        "service_tier": "standard",
    }
