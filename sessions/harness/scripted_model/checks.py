"""Refuses what the real Messages API refuses, so that tests find out here."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sessions.harness.scripted_model.errors import Refused

MAX_CACHE_MARKS = 4
THINKING = ("thinking", "redacted_thinking")

Content = Mapping[str, Any]


def check(request: Mapping[str, Any]) -> None:
    """Raise Refused when a request is not well formed."""
    if not str(request.get("model", "")).startswith("scripted-"):
        raise Refused(404, f"model: {request.get('model')}")
    if not isinstance(request.get("max_tokens"), int) or request["max_tokens"] < 1:
        raise Refused(400, "max_tokens: Field required")
    messages = request.get("messages")
    if not messages or messages[0].get("role") != "user":
        raise Refused(400, "messages: the first message must use the user role")
    _check_marks(request)
    _check_contents(messages)
    _check_pairs(messages)


def signature(thinking: str) -> str:
    """Return the signature that a thinking block of this text must bear."""
    digest = hashlib.sha256(b"scripted:" + thinking.encode()).digest()
    return base64.b64encode(digest).decode()


def blocks(message: Content) -> list[Content]:
    """Return a message's content as blocks."""
    content = message["content"]
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return list(content)


def all_blocks(request: Mapping[str, Any]) -> Iterator[Content]:
    """Yield tools, system and messages in the order of the prompt cache."""
    yield from request.get("tools") or ()
    system = request.get("system") or ()
    yield from [{"type": "text", "text": system}] if isinstance(system, str) else system
    for message in request["messages"]:
        yield from blocks(message)


def _check_marks(request: Mapping[str, Any]) -> None:
    marked = [block for block in all_blocks(request) if block.get("cache_control")]
    if len(marked) > MAX_CACHE_MARKS:
        raise Refused(
            400,
            "A maximum of 4 blocks with cache_control may be provided. "
            f"Found {len(marked)}.",
        )


def _check_contents(messages: Sequence[Content]) -> None:
    for place, message in enumerate(messages):
        content = blocks(message)
        if not content:
            raise Refused(400, f"messages.{place}: all messages must have content")
        for at, block in enumerate(content):
            _check_block(f"messages.{place}.content.{at}", block)
        if message["role"] == "assistant" and content[-1]["type"] in THINKING:
            raise Refused(
                400,
                f"messages.{place}: The final block in an assistant message "
                "cannot be `thinking`.",
            )


def _check_block(path: str, block: Content) -> None:
    if block["type"] == "text" and not block["text"].strip():
        raise Refused(400, f"{path}: text content blocks must be non-empty")
    if block["type"] == "thinking" and block.get("signature") != signature(
        block["thinking"]
    ):
        raise Refused(400, f"{path}: Invalid `signature` in `thinking` block")
    if block["type"] == "tool_result" and not isinstance(block.get("content"), str):
        for at, inner in enumerate(block.get("content") or ()):
            _check_block(f"{path}.content.{at}", inner)


def _check_pairs(messages: Sequence[Content]) -> None:
    asked: list[str] = []
    for place, message in enumerate(messages):
        content = blocks(message)
        answered = [b["tool_use_id"] for b in content if b["type"] == "tool_result"]
        if sorted(asked) != sorted(answered):
            raise Refused(
                400,
                f"messages.{place}: `tool_use` ids {asked} were found without "
                f"`tool_result` blocks immediately after, or others: {answered}.",
            )
        if any(block["type"] != "tool_result" for block in content[: len(answered)]):
            raise Refused(400, f"messages.{place}: tool results must come first")
        asked = [block["id"] for block in content if block["type"] == "tool_use"]
    if asked:
        raise Refused(400, f"`tool_use` ids {asked} have no `tool_result` blocks.")
