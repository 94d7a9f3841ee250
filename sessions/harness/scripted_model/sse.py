"""Writes a step as the events of a Messages API stream."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sessions.harness.scripted_model.checks import signature
from sessions.harness.scripted_model.script import Step
from sessions.harness.scripted_model.usage import input_usage, tokens

REFUSAL = {
    "type": "refusal",
    "category": None,
    "explanation": "The script says that this is refused.",
}


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Bytes of a stream and the pause that comes before them."""

    data: bytes
    pause: float = 0


def pieces(step: Step, request: Mapping[str, Any]) -> Iterator[Piece]:
    """Yield a reply's stream, in the order and words of the real one."""
    yield Piece(data=_message_start(request) + PING)
    yield Piece(data=b"", pause=step.wait_ms / 1000)
    index = 0
    if step.think:
        yield Piece(data=_thinking(index, step.think))
        index += 1
    if step.say or step.words:
        yield from _text(index, step)
        index += 1
    if step.fails:
        return
    for call in step.tools:
        is_cut = step.stop == "max_tokens" and call is step.tools[-1]
        yield Piece(data=_tool_use(index, call, is_cut=is_cut))
        index += 1
    yield Piece(data=_message_end(step))


def event(name: str, **fields: Any) -> bytes:
    data = json.dumps({"type": name, **fields}, ensure_ascii=False)
    return f"event: {name}\ndata: {data}\n\n".encode()


PING = event("ping")


def _message_start(request: Mapping[str, Any]) -> bytes:
    message = {
        "id": f"msg_scripted{secrets.token_hex(10)}",
        "type": "message",
        "role": "assistant",
        "model": request["model"],
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": input_usage(request),
    }
    return event("message_start", message=message)


def _thinking(index: int, thought: str) -> bytes:
    signed = signature(thought)
    return b"".join(
        [
            _block_start(index, type="thinking", thinking="", signature=""),
            _block_delta(index, type="thinking_delta", thinking=thought),
            _block_delta(index, type="signature_delta", signature=signed),
            event("content_block_stop", index=index),
        ]
    )


def _text(index: int, step: Step) -> Iterator[Piece]:
    before, after = _block_delta(index, type="text_delta", text="\0").split(
        b'"\\u0000"'
    )
    yield Piece(data=_block_start(index, type="text", text=""))
    for text in step.pieces():
        data = before + json.dumps(text, ensure_ascii=False).encode() + after
        yield Piece(data=data, pause=step.delay_ms / 1000)
    if not step.fails:
        yield Piece(data=event("content_block_stop", index=index))


def _tool_use(index: int, call: Mapping[str, Any], *, is_cut: bool) -> bytes:
    given = json.dumps(call.get("input") or {}, ensure_ascii=False)
    halves = [given[: len(given) // 2], given[len(given) // 2 :]]
    block = {"id": f"toolu_scripted{secrets.token_hex(10)}", "name": call["name"]}
    return b"".join(
        [
            _block_start(index, type="tool_use", **block, input={}),
            *(
                _block_delta(index, type="input_json_delta", partial_json=half)
                for half in (halves[:1] if is_cut else halves)
            ),
            event("content_block_stop", index=index),
        ]
    )


def _message_end(step: Step) -> bytes:
    spoken = tokens("".join(step.pieces())) + tokens(step.think)
    called = sum(tokens(call) for call in step.tools)
    delta = {
        "stop_reason": step.stop or ("tool_use" if step.tools else "end_turn"),
        "stop_sequence": None,
        "stop_details": REFUSAL if step.stop == "refusal" else None,
    }
    usage = {"output_tokens": max(1, spoken + called)}
    return event("message_delta", delta=delta, usage=usage) + event("message_stop")


def _block_start(index: int, **block: Any) -> bytes:
    return event("content_block_start", index=index, content_block=block)


def _block_delta(index: int, **delta: Any) -> bytes:
    return event("content_block_delta", index=index, delta=delta)
