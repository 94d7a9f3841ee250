"""A conversation as plain text, of any length that is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from sessions.events import Block
from sessions.harness.estimate import text_tokens
from sessions.harness.model import Content

LEFT_OUT = "\n[… {:,} characters left out …]\n"
PART = 20
"""No message takes more than this part of the whole, where anything must be left out."""


def retell(messages: Sequence[Content], limit: int) -> str:
    """Return who said what, in at most about `limit` tokens."""
    said = [f"## {message['role']}\n{_told(message)}" for message in messages]
    if text_tokens(text := "\n\n".join(said)) <= limit:
        return text
    shorter = [_clipped(each, limit // PART) for each in said]
    return _clipped("\n\n".join(shorter), limit)


def _told(message: Content) -> str:
    return "\n".join(_blocks(message["content"]))


def _blocks(content: Sequence[Block]) -> Iterator[str]:
    for block in content:
        match block["type"]:
            case "tool_use":
                given = json.dumps(block["input"], ensure_ascii=False)
                yield f"(calls {block['name']}: {given})"
            case "tool_result":
                yield f"(result: {' '.join(map(_inner, block['content']))})"
            case "thinking" | "redacted_thinking":
                continue
            case _:
                yield _inner(block)


def _inner(block: Block) -> str:
    return str(block["text"]) if block["type"] == "text" else f"({block['type']})"


def _clipped(text: str, limit: int) -> str:
    """Keep the beginning and the end."""
    size = text_tokens(text)
    if size <= limit:
        return text
    half = len(text) * limit // size // 2
    left_out = len(text) - 2 * half
    return text[:half] + LEFT_OUT.format(left_out) + text[len(text) - half :]
