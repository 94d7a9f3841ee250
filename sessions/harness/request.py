"""Builds a model request from an agent and its transcript, with prompt-cache marks."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from sessions.events import Block
from sessions.harness.contract import FileUnavailable, Turn
from sessions.harness.history import History
from sessions.harness.model import ModelRequest
from sessions.harness.prompt import system_prompt
from sessions.harness.tools.policy import enabled_tools
from sessions.harness.transcript import Message, Transcript, names_file

CACHE_MARK = {"type": "ephemeral"}
MARKED_MESSAGES = 2
DEFAULT_EFFORT = "high"

DEFAULT_MAX_TOKENS = 32_000
MAX_TOKENS = {
    "claude-3": 4_096,
    "claude-3-5": 8_192,
    "claude-3-7": 64_000,
    "claude-opus-4-0": 32_000,
    "claude-opus-4-1": 32_000,
    "claude-opus-4-20250514": 32_000,
    "claude-": 64_000,
}
"""Output limits by the longest beginning of the model's id."""

THINKS_BY_ITSELF = (
    "claude-opus-4-6",
    "claude-opus-4-7",
    "claude-opus-4-8",
    "claude-opus-5",
    "claude-sonnet-4-6",
    "claude-sonnet-5",
    "claude-fable-5",
    "claude-mythos",
)
"""Models known to take `thinking: {"type": "adaptive"}`; others use their default."""


SYSTEM_TURNS = (
    "claude-opus-4-8",
    "claude-opus-5",
    "claude-sonnet-5-5",
    "claude-haiku-5-5",
    "claude-fable-5",
    "claude-mythos-5",
    "scripted-",
)
"""Models that take a message of the role `system` in the middle of a conversation."""


async def build_request(turn: Turn, records: History) -> ModelRequest:
    """Return the request that asks for the reply to these events."""
    agent = turn.agent
    model = agent["model"]
    tools = enabled_tools(agent.get("tools") or ())
    system = system_prompt(agent, turn.system_notes, with_tools=bool(tools))
    messages = await _with_files(turn, records.transcript)
    return ModelRequest(
        model=model["id"],
        max_tokens=max_tokens(model["id"]),
        system=_marked_last(system),
        tools=tools,
        messages=_marked_messages(messages),
        thinking=_thinking(model["id"]),
        effort=_effort(model.get("effort")),
        speed=model.get("speed"),
        inference_geo=model.get("inference_geo"),
    )


def max_tokens(model: str) -> int:
    """Return how long a reply of this model may be."""
    known = [beginning for beginning in MAX_TOKENS if model.startswith(beginning)]
    return MAX_TOKENS[max(known, key=len)] if known else DEFAULT_MAX_TOKENS


def takes_system_turns(model: str) -> bool:
    """Say whether `system.message` may be sent to this model."""
    return model.startswith(SYSTEM_TURNS)


def _thinking(model: str) -> Mapping[str, str] | None:
    return {"type": "adaptive"} if model.startswith(THINKS_BY_ITSELF) else None


def _effort(effort: str | Mapping[str, Any] | None) -> str | None:
    """An effort is `{"type": "high"}` in a resolved agent, a word in a request.

    What a model does by default is not said: older ones refuse to hear of it.
    """
    said = effort["type"] if isinstance(effort, Mapping) else effort
    return None if said == DEFAULT_EFFORT else said


def _marked_messages(messages: Sequence[Message]) -> list[Message]:
    """Mark the last two user messages: one is written now, the other read again."""
    marked = [*messages]
    newest = reversed(range(len(messages)))
    by_user = (at for at in newest if messages[at]["role"] == "user")
    for at in islice(by_user, MARKED_MESSAGES):
        content = _marked_last(messages[at]["content"])
        marked[at] = Message(messages[at], content=content)
    return marked


def _marked_last(blocks: Sequence[Block]) -> list[Block]:
    return [*blocks[:-1], *({**b, "cache_control": CACHE_MARK} for b in blocks[-1:])]


async def _with_files(turn: Turn, transcript: Transcript) -> list[Message]:
    """The messages, with the bytes of the files that their blocks name."""
    messages = transcript.messages()
    for at in transcript.files:
        content = await _each_with_file(turn, messages[at]["content"])
        messages[at] = Message(messages[at], content=content)
    return messages


async def _each_with_file(turn: Turn, blocks: Sequence[Block]) -> list[Block]:
    return [await _with_file(turn, block) for block in blocks]


async def _with_file(turn: Turn, block: Block) -> Block:
    """Put a file's bytes in the place of its id."""
    if not names_file(block):
        return block
    if block["type"] == "tool_result":
        return {**block, "content": await _each_with_file(turn, block["content"])}
    try:
        media_type, data = await turn.load_file(block["source"]["file_id"])
    except FileUnavailable as error:
        return {"type": "text", "text": f"({error})"}
    return {**block, "source": _inline(media_type, data)}


def _inline(media_type: str, data: bytes) -> dict[str, str]:
    if media_type.startswith("text/"):
        text = data.decode(errors="replace")
        return {"type": "text", "media_type": "text/plain", "data": text}
    encoded = base64.b64encode(data).decode()
    return {"type": "base64", "media_type": media_type, "data": encoded}
