"""Just enough HTTP/1.1 for one kind of client on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_BODY = 64 * 1024 * 1024
MAX_HEAD = 64 * 1024

REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 429: "Too Many Requests"}


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request with its whole body."""

    method: str
    path: str
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body or b"null")


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """Return the next request of a connection; None when there is none.

    Raises ValueError when what came is not HTTP that we speak.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        length = int(_headers(lines).get("content-length", "0"))
        if not 0 <= length <= MAX_BODY:
            raise ValueError(f"a body of {length} bytes")
        body = await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return Request(method=method, path=target.split("?")[0], body=body)


def json_response(status: int, value: Any, headers: Mapping[str, str]) -> bytes:
    body = json.dumps(value).encode()
    fields = {"content-type": "application/json", "content-length": str(len(body))}
    return _head(status, {**fields, **headers}) + body


def stream_head(headers: Mapping[str, str]) -> bytes:
    fields = {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-cache",
        "transfer-encoding": "chunked",
    }
    return _head(200, {**fields, **headers})


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Scripted')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _headers(lines: list[str]) -> dict[str, str]:
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {name.strip().lower(): value.strip() for name, value in pairs}
