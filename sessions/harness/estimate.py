"""About how many tokens something is, told without asking the provider."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sessions.events import (
    AgentMessage,
    Block,
    ModelRequestEnd,
    Record,
)
from sessions.harness.horizon import is_reply
from sessions.harness.model import ModelRequest

IMAGE = 2_000
DOCUMENT = 10_000
BLOCK = 4  # for what a block has beside its text


def text_tokens(text: str) -> int:
    """Four letters a token; other scripts than Latin take more for each."""
    if text.isascii():
        return len(text) // 4
    return len(text.encode(errors="replace")) // 3


def block_tokens(block: Block) -> int:
    match block.get("type"):
        case "text":
            return BLOCK + text_tokens(block["text"])
        case "tool_result":
            return BLOCK + tokens(block.get("content") or ())
        case "image":
            return BLOCK + IMAGE
        case "document":
            return BLOCK + _document_tokens(block.get("source") or {})
    return BLOCK + text_tokens(json.dumps(block, ensure_ascii=False))


def _document_tokens(source: Mapping[str, Any]) -> int:
    if source.get("type") == "text":
        return text_tokens(str(source.get("data") or ""))
    return DOCUMENT


def tokens(blocks: Iterable[Block]) -> int:
    return sum(block_tokens(block) for block in blocks)


def record_tokens(record: Record) -> int:
    """Return what an event adds to the transcript. A reply is counted at its end."""
    match record.payload:
        case ModelRequestEnd():
            content = record.private.get("content") if is_reply(record) else ()
            return tokens(content or ())
        case AgentMessage():
            return 0
    return tokens(getattr(record.payload, "content", None) or ())


def request_tokens(request: ModelRequest) -> int:
    """Return the size of a whole request."""
    said = sum(tokens(message["content"]) for message in request.messages)
    return said + tokens(request.system) + tokens(request.tools)
