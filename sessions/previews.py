"""What a page can show of a file that a session handed back, and nothing that runs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import Literal

from agents.models import File
from sandbox.toolserver import image_type

HEAD_BYTES = 256 * 1024
ROWS, COLUMNS, CELL = 200, 40, 300
MARKDOWN = frozenset({".md", ".markdown"})
TABLES = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True, kw_only=True)
class Preview:
    """`cut` where only the beginning is shown."""

    kind: Literal["image", "pdf", "markdown", "table", "text", "none"]
    media_type: str = ""
    text: str = ""
    rows: tuple[tuple[str, ...], ...] = ()
    cut: bool = False


def preview_of(file: File) -> Preview:
    """Judge by the bytes; a name only says how text is to be read."""
    head = _head(file)
    if media_type := image_type(head):
        return Preview(kind="image", media_type=media_type)
    if head.startswith(b"%PDF-"):
        return Preview(kind="pdf", media_type="application/pdf")
    text = _text(head)
    if text is None:
        return Preview(kind="none")
    cut = file.size_bytes > len(head)
    suffix = PurePosixPath(file.filename).suffix.lower()
    if suffix in MARKDOWN:
        return Preview(kind="markdown", text=text, cut=cut)
    if suffix in TABLES and (rows := _rows(text, TABLES[suffix])):
        return Preview(kind="table", rows=rows[:ROWS], cut=cut or len(rows) > ROWS)
    return Preview(kind="text", text=text, cut=cut)


def _head(file: File) -> bytes:
    try:
        with file.path.open("rb") as source:
            return source.read(HEAD_BYTES)
    except FileNotFoundError:
        return b""


def _text(head: bytes) -> str | None:
    """The bytes as text; none where they are something else."""
    if b"\0" in head:
        return None
    for end in range(4):  # the cut may go through a letter
        try:
            return head[: len(head) - end].decode()
        except UnicodeDecodeError as error:
            if error.start < len(head) - 4:
                return None
    return None


def _rows(text: str, delimiter: str) -> tuple[tuple[str, ...], ...]:
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    try:
        return tuple(islice(_cells(reader), ROWS + 1))
    except csv.Error:
        return ()  # it is shown as text


def _cells(reader: Iterator[list[str]]) -> Iterator[tuple[str, ...]]:
    for row in reader:
        yield tuple(cell[:CELL] for cell in row[:COLUMNS])
