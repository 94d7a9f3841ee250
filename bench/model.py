"""A Messages API that stamps the time into its tokens: `python -m bench.model`.

The last user text says what comes: `{"tokens": 20, "interval_ms": 50}`. The first token
is `[request arrived, token sent]` in nanoseconds of the machine's monotonic clock.
`{"calls": 20, "sleep": 0}` has it call bash so often, one call a reply, instead: the
command sleeps so many seconds and ends in a comment with the same two times; with them
begins the reply after the last call.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from functools import cache

ORDER = re.compile(rb'\{\\"tokens\\": (\d+), \\"interval_ms\\": (\d+)\}')
CALLS = re.compile(rb'\{\\"calls\\": (\d+), \\"sleep\\": (\d+)\}')
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    b"transfer-encoding: chunked\r\nrequest-id: req_bench\r\n\r\n"
)
START = {
    "type": "message_start",
    "message": {
        "id": "msg_bench",
        "type": "message",
        "role": "assistant",
        "model": "claude-bench",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    },
}
BLOCK = {
    "type": "content_block_start",
    "index": 0,
    "content_block": {"type": "text", "text": ""},
}


def _ending(stop_reason: str) -> bytes:
    delta = {"stop_reason": stop_reason, "stop_sequence": None}
    events: list[dict[str, object]] = [
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ]
    return b"".join(_event(event) for event in events) + b"0\r\n\r\n"


def order(tokens: int, interval_ms: int) -> str:
    """What to say to this model."""
    return json.dumps({"tokens": tokens, "interval_ms": interval_ms})


def calls(count: int, *, sleep: int = 0) -> str:
    return json.dumps({"calls": count, "sleep": sleep})


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
            body = await reader.readexactly(int(length[1])) if length else b""
            arrived = time.monotonic_ns()
            if wanted := CALLS.findall(body):
                done = body.count(b'"tool_result"')
                count, sleep = (int(each) for each in wanted[-1])
                _call(writer, arrived, count - done, sleep)
            else:
                await _reply(writer, arrived, body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _reply(writer: asyncio.StreamWriter, arrived: int, body: bytes) -> None:
    orders = ORDER.findall(body) or [(1, 0)]
    tokens, interval = (int(each) for each in orders[-1])
    writer.write(HEAD + _event(START) + _event(BLOCK))
    begin = time.monotonic()
    for n in range(tokens):
        delay = begin + n * interval / 1000 - time.monotonic()
        if delay > 0:
            await asyncio.sleep(delay)
        if writer.is_closing():  # whoever asked is dead
            return
        if n == 0:
            writer.write(_event(_delta(f"[{arrived},{time.monotonic_ns()}]")))
        else:
            writer.write(_word(n))
    writer.write(_ending("end_turn"))


def _call(writer: asyncio.StreamWriter, arrived: int, left: int, sleep: int) -> None:
    stamp = f"[{arrived},{time.monotonic_ns()}]"
    if left <= 0:
        parts = [_event(BLOCK), _event(_delta(stamp)), _ending("end_turn")]
    else:
        block = {"type": "tool_use", "id": f"toolu_{left}", "name": "bash", "input": {}}
        wait = f"sleep {sleep}" if sleep else "true"
        command = {"type": "input_json_delta"}
        command["partial_json"] = json.dumps({"command": f"{wait} # {stamp}"})
        parts = [
            _event({**BLOCK, "content_block": block}),
            _event({"type": "content_block_delta", "index": 0, "delta": command}),
            _ending("tool_use"),
        ]
    writer.write(HEAD + _event(START) + b"".join(parts))


@cache
def _word(n: int) -> bytes:
    return _event(_delta(f"word{n} "))


def _delta(text: str) -> dict[str, object]:
    return {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": text},
    }


def _event(event: dict[str, object]) -> bytes:
    data = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


async def main(port: int) -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
