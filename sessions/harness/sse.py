"""Server-sent events out of the bytes of a stream, at little cost; pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class ServerEvent(NamedTuple):
    """One event. `name` is empty where the stream gave none."""

    name: str
    data: str


class EventReader:
    """Is fed a stream's bytes as they come, in pieces of any size.

    Lines end with LF, CRLF or CR, as the standard allows. What no empty line has ended
    when the stream does is no event.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._after_return = False

    def feed(self, data: bytes) -> Iterator[ServerEvent]:
        """Yield the events that these bytes complete. Raises UnicodeDecodeError."""
        start = max(0, len(self._buffer) - 1)  # an end may lie across two pieces
        self._buffer += self._with_plain_ends(data)
        while (end := self._buffer.find(b"\n\n", start)) >= 0:
            text = self._buffer[:end].decode()
            del self._buffer[: end + 2]
            start = 0
            yield _event(text)

    def _with_plain_ends(self, data: bytes) -> bytes:
        if b"\r" not in data and not self._after_return:
            return data
        rest = data.removeprefix(b"\n") if self._after_return else data
        self._after_return = data.endswith(b"\r") if data else self._after_return
        return rest.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _event(text: str) -> ServerEvent:
    name, data = "", []
    for line in text.split("\n"):
        field, _, value = line.partition(":")
        if field == "data":
            data.append(value.removeprefix(" "))
        elif field == "event":
            name = value.removeprefix(" ")
    return ServerEvent(name, "\n".join(data))
