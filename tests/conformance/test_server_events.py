"""Our reading of a stream against the `anthropic` package's, on the same bytes."""

from __future__ import annotations

import asyncio
import json
import random

import anthropic
import httpx2
import pytest

from sessions.harness.anthropic_model import AnthropicModel
from sessions.harness.model import ModelRequest
from sessions.harness.scripted_model import ScriptedModelServer
from sessions.harness.sse import EventReader

ENDS = ("\n", "\r\n", "\r")
NAMES = ("message_start", "content_block_delta", "ping", "error", "new_kind", "")
WORDS = ("", " ", "ü", "日本", "\u2028", "\x85", '{"type": "ping"}', "event: a", "😀")


def by_the_package(pieces: list[bytes]) -> list[tuple[str, str]]:
    response = httpx2.Response(200, content=iter(pieces))
    events = anthropic.Stream.raw_events(response)
    return [(event.event, event.data) for event in events if event.event]


def by_us(pieces: list[bytes]) -> list[tuple[str, str]]:
    reader = EventReader()
    events = [event for piece in pieces for event in reader.feed(piece)]
    return [(event.name, event.data) for event in events if event.name]


def a_line(dice: random.Random) -> str:
    text = dice.choice(WORDS) + dice.choice(WORDS)
    return dice.choice(
        [
            f"event: {dice.choice(NAMES)}",
            f"event:{dice.choice(NAMES)}",
            f"data: {json.dumps({'text': text})}",
            f"data:{text}",
            f"data:  {text}",
            "data",
            f": {text}",
            f"id: {text}",
            "retry: 5",
            f"field{text}: 1",
            "data: " + "x" * dice.choice([10, 5_000]),
        ]
    )


def a_stream(dice: random.Random) -> bytes:
    """Events with one kind of line end, some never ended; or each line with its own."""
    ends = dice.choice([*([end] for end in ENDS), list(ENDS)])
    lines = [a_line(dice) if dice.random() < 0.7 else "" for _ in range(60)]
    return "".join(line + dice.choice(ends) for line in lines).encode()


def in_pieces(dice: random.Random, stream: bytes) -> list[bytes]:
    size = dice.choice([1, 3, 50, 100_000])
    cuts = sorted(dice.randrange(len(stream)) for _ in range(len(stream) // size))
    ends = [*cuts, len(stream)]
    return [stream[a:b] for a, b in zip([0, *cuts], ends, strict=True)]


@pytest.mark.parametrize("seed", range(300))
def test_the_same_bytes_are_the_same_events(seed):
    dice = random.Random(seed)
    stream = a_stream(dice)
    assert by_us(in_pieces(dice, stream)) == by_the_package([stream])


def test_an_event_of_many_pieces_is_read_in_linear_time():
    text = "data: " + "x" * 20_000_000
    stream = f"event: content_block_delta\n{text}\n\n".encode()
    pieces = [stream[at : at + 4_096] for at in range(0, len(stream), 4_096)]
    ((_, data),) = by_us(pieces)
    assert len(data) == 20_000_000


def test_what_is_not_utf_8_is_no_text():
    with pytest.raises(UnicodeDecodeError):
        by_us([b"event: a\ndata: \xff\n\n"])


SCRIPTS = [
    {"say": "Grüß Gott, 日本 😀", "chunks": 7},
    {"think": "Hm.", "say": "A", "tools": [{"name": "bash", "input": {"n": [1, "ü"]}}]},
    {"say": "No", "stop": "refusal"},
    {"say": "And so", "stop": "max_tokens"},
    {"words": 500},
    {"tools": [{"name": "write", "input": {"content": "x" * 300_000}}]},
]


class Deaf:
    def thought(self) -> None: ...

    def said(self, block, text) -> None: ...

    def used(self, usage) -> None: ...


@pytest.mark.parametrize("step", SCRIPTS)
async def test_a_reply_is_what_the_package_makes_of_it(step):
    words = f"```script\n{json.dumps([step])}\n```"
    messages = [{"role": "user", "content": [{"type": "text", "text": words}]}]
    asked = {"model": "scripted-test", "max_tokens": 100, "messages": messages}
    async with ScriptedModelServer() as server:
        model = AnthropicModel(base_url=server.url, api_key="k")
        reply = await model.stream(ModelRequest(**asked), Deaf())
        await model.close()
        async with (
            anthropic.AsyncAnthropic(base_url=server.url, api_key="k") as client,
            client.messages.stream(**asked) as stream,
        ):
            message = (await stream.get_final_message()).to_dict()
    ours = [{**block, "id": ""} for block in reply.content]
    theirs = [
        {**{k: v for k, v in block.items() if v is not None}, "id": ""}
        for block in message["content"]
    ]
    assert ours == theirs
    assert reply.stop_reason == message["stop_reason"]
    assert reply.stop_details == message.get("stop_details")
    assert reply.usage.output_tokens == message["usage"]["output_tokens"]
    assert reply.usage.input_tokens == message["usage"]["input_tokens"]


async def failure_of(stream: bytes) -> tuple[Exception, list[Exception]]:
    """What our reader and the package raise at the same answer."""

    async def answer(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
        await reader.readexactly(int(length))
        writer.write(b"HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        writer.write(stream)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        model = AnthropicModel(base_url=url, api_key="k")
        messages = [{"role": "user", "content": "Hi"}]
        asked = {"model": "m", "max_tokens": 9, "messages": messages}
        with pytest.raises(Exception) as ours:  # noqa: PT011 - told by the caller
            await model.stream(ModelRequest(**asked), Deaf())
        await model.close()
        client = anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0)
        with pytest.raises(Exception) as theirs:  # noqa: PT011
            async for _ in await client.messages.create(**asked, stream=True):
                pass
        await client.close()
    return ours.value, theirs.value


@pytest.mark.parametrize(
    "data",
    [
        '{"type":"error","error":{"type":"overloaded_error","message":"Busy"}}',
        '{"type":"error","error":{"type":"rate_limit_error","message":"Slow"}}',
        '{"type":"error","error":{"type":"api_error"}}',
        "no JSON at all",
        "[1]",
    ],
)
async def test_an_error_inside_a_stream_is_the_package_s_error(data):
    ours, theirs = await failure_of(f"event: error\ndata: {data}\n\n".encode())
    told = ours.__cause__
    assert type(told) is type(theirs)
    assert (told.type, told.api_message) == (theirs.type, theirs.api_message)
    assert told.status_code == theirs.status_code
    assert told.body == theirs.body
