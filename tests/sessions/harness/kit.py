"""Small words that several tests of the harness use."""

from __future__ import annotations

import asyncio

from sessions.harness.model import ModelFailed, Reply, Usage


async def within(awaitable):
    """Fail instead of hanging."""
    async with asyncio.timeout(10):
        return await awaitable


def types(turn) -> list[str]:
    return [record.type.value for record in turn.log]


def payloads(turn, type_name: str) -> list:
    return [r.payload for r in turn.log if r.type.value == type_name]


async def taken_in(turn):
    """The turn's events, with the messages that waited."""
    await turn.take_in()
    return await turn.records()


def said(text: str, **more) -> Reply:
    return reply([{"type": "text", "text": text}], **more)


def calls(*names: str, **more) -> Reply:
    blocks = [
        {"type": "tool_use", "id": f"toolu_{n}_{name}", "name": name, "input": {"n": n}}
        for n, name in enumerate(names)
    ]
    return reply(blocks, stop_reason="tool_use", **more)


def reply(blocks, stop_reason="end_turn", **more) -> Reply:
    usage = Usage(input_tokens=7, output_tokens=3)
    return Reply(content=tuple(blocks), stop_reason=stop_reason, usage=usage, **more)


class DeterministicModel:
    """Answers with the given replies by the number of replies it is shown."""

    def __init__(self, *outputs: Reply | ModelFailed) -> None:
        self.outputs = list(outputs)
        self.requests = []

    async def stream(self, request, listener) -> Reply:
        self.requests.append(request)
        output = self.outputs.pop(0)
        if isinstance(output, ModelFailed):
            raise output
        for index, block in enumerate(output.content):
            if block["type"] == "thinking":
                listener.thought()
            if block["type"] == "text":
                listener.said(index, block["text"])
        return output


class HangingModel:
    """Begins to speak and never ends."""

    def __init__(self) -> None:
        self.began = asyncio.Event()

    async def stream(self, request, listener) -> Reply:
        listener.said(0, "I beg")
        self.began.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")


def failure(kind="model_overloaded_error", *, retryable=True, **more) -> ModelFailed:
    return ModelFailed(kind, "The model failed (req_1).", retryable=retryable, **more)
