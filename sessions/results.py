"""Results of tool calls, as the model reads them."""

from __future__ import annotations

from dataclasses import replace

from sandbox.answers import TEXT_CHARACTERS
from sandbox.spec import Running, ToolOutcome
from sessions.events import Block
from sessions.harness.contract import ToolResult

MOST_TEXT = TEXT_CHARACTERS
"""Characters of text in a result, whatever a sandbox that is not ours may answer."""


def result_of(outcome: ToolOutcome | Running) -> ToolResult:
    assert isinstance(outcome, ToolOutcome)
    return ToolResult(content=outcome.content, is_error=outcome.is_error)


def failed(sentence: str, *, ran: bool | None = False) -> ToolResult:
    return ToolResult(
        content=({"type": "text", "text": sentence},), is_error=True, ran=ran
    )


def with_note(result: ToolResult, note: str) -> ToolResult:
    """The result with a word of ours, in brackets, where there is one."""
    if not note:
        return result
    block = {"type": "text", "text": f"[{note}]"}
    return ToolResult(content=(*result.content, block), is_error=result.is_error)


def bounded(result: ToolResult) -> ToolResult:
    """The result with at most `MOST_TEXT` characters; our own tools answer less."""
    length = sum(len(_text(block)) for block in result.content)
    if length <= MOST_TEXT:
        return result
    room, kept = MOST_TEXT, list[Block]()
    for block in result.content:
        text = _text(block)[:room]
        room -= len(text)
        if block["type"] != "text":
            kept.append(block)
        elif text:
            kept.append({**block, "text": text})
    notice = f"[{length} characters of output: the rest was dropped.]"
    return replace(result, content=(*kept, {"type": "text", "text": notice}))


def _text(block: Block) -> str:
    return str(block["text"]) if block["type"] == "text" else ""
