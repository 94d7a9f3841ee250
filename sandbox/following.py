"""Reads a blocking stream of lines without being at its mercy."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, SimpleQueue
from threading import Thread

BEAT_SECONDS = 0.5
END_SECONDS = 5.0
LINE_CHARACTERS = 2000
# Colours, cursor movements and whatever else a terminal would obey.
CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-_]|[\x00-\x08\x0b-\x1f\x7f]")


def follow(
    lines: Iterable[str],
    say: Callable[[str], None],
    attend: Callable[[], None],
    end: Callable[[], None] | None = None,
) -> None:
    """Say each line as it comes; attend twice a second, also while none comes.

    What `attend` raises ends it, and so does what the stream raises. `end` makes the
    stream end, and with it the thread that reads; a stream without one is left alone.
    """
    coming: SimpleQueue[str | Exception | None] = SimpleQueue()
    reader = Thread(target=_read, args=(lines, coming), daemon=True)
    reader.start()
    try:
        _attend(coming, say, attend)
    finally:
        if end is not None:
            end()
            reader.join(END_SECONDS)


def _attend(
    coming: SimpleQueue[str | Exception | None],
    say: Callable[[str], None],
    attend: Callable[[], None],
) -> None:
    due = 0.0
    while True:
        if time.monotonic() >= due:
            attend()
            due = time.monotonic() + BEAT_SECONDS
        try:
            come = coming.get(timeout=BEAT_SECONDS)
        except Empty:
            continue
        if come is None:
            return
        if isinstance(come, Exception):
            raise come
        say(come)


def _read(lines: Iterable[str], coming: SimpleQueue[str | Exception | None]) -> None:
    try:
        for line in lines:
            coming.put(line)
    except Exception as error:  # noqa: BLE001 - told to who follows
        coming.put(error)
    else:
        coming.put(None)


def lines_of(chunks: Iterable[bytes]) -> Iterator[str]:
    """Cut a program's output into plain lines; of a redrawn one only the last state."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from map(plain, whole)
        rest = rest[-LINE_CHARACTERS:]
    if rest:
        yield plain(rest)


def plain(line: bytes) -> str:
    text = line.decode(errors="replace").rstrip("\r").rpartition("\r")[2]
    return CONTROL.sub("", text)[:LINE_CHARACTERS]
