"""Turns what a tool server said into values, or refuses it."""

from __future__ import annotations

import binascii
import math
from typing import Any

from sandbox.spec import FoundFile, Listing, Running, ToolOutcome

BLOCKS = 16
TEXT_CHARACTERS = 400_000
PATH_CHARACTERS = 4096
MARK_CHARACTERS = 100
MEDIA = {
    "image": frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"}),
    "document": frozenset({"application/pdf"}),
}


class Forged(Exception):
    """An answer that no tool server of ours gives."""


def outcome_in(answer: dict[str, Any]) -> ToolOutcome:
    """Return the outcome in an answer, or raise Forged."""
    outcome = answer.get("outcome")
    if not isinstance(outcome, dict):
        raise Forged("it holds no outcome")
    return ToolOutcome(
        content=blocks(outcome.get("content")),
        is_error=outcome.get("is_error") is not False,
        spilled=spilled(outcome.get("spilled")),
        seconds=seconds(outcome.get("seconds")),
    )


def running_in(answer: dict[str, Any]) -> Running:
    return Running(seconds=seconds(answer.get("running")))


def blocks(content: Any) -> tuple[dict[str, Any], ...]:
    if not isinstance(content, list) or not 1 <= len(content) <= BLOCKS:
        raise Forged("its content is not a short list")
    return tuple(block(one) for one in content)


def block(one: Any) -> dict[str, Any]:
    if not isinstance(one, dict):
        raise Forged("a block of its content is not an object")
    kind = one.get("type")
    if kind == "text":
        return {"type": "text", "text": text(one.get("text"))}
    if kind in ("image", "document"):
        return {"type": kind, "source": source(kind, one.get("source"))}
    raise Forged("a block of its content has an unknown type")


def text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > TEXT_CHARACTERS or not value.strip():
        raise Forged("a text of its content is empty or too long")
    return storable(value)


def source(kind: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or value.get("media_type") not in MEDIA[kind]:
        raise Forged(f"its {kind} is of no known media type")
    data = value.get("data")
    if not isinstance(data, str):
        raise Forged(f"its {kind} has no data")
    try:
        binascii.a2b_base64(data.encode("ascii"), strict_mode=True)
    except (ValueError, UnicodeEncodeError) as error:
        raise Forged(f"its {kind} is not base64") from error
    return {"type": "base64", "media_type": value["media_type"], "data": data}


def spilled(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > 4096:
        raise Forged("the path of its whole output is not a path")
    return storable(value)


def listing_in(answer: dict[str, Any], most: int) -> Listing:
    """Return the files an answer lists, or raise Forged."""
    files = answer.get("files")
    if not isinstance(files, list) or len(files) > most:
        raise Forged("it lists no files, or more than were asked for")
    return Listing(
        files=tuple(found(one) for one in files), more=answer.get("more") is not False
    )


def found(one: Any) -> FoundFile:
    if not isinstance(one, dict):
        raise Forged("a file in it is not an object")
    path, size, mark = one.get("path"), one.get("size"), one.get("mark")
    if not isinstance(path, str) or not 0 < len(path) <= PATH_CHARACTERS:
        raise Forged("a file in it has no path")
    if path.startswith("/") or {"", ".", ".."} & {*path.split("/")} or "\0" in path:
        raise Forged("a path in it is not one below the folder")
    if type(size) is not int or not 0 <= size < 2**63:
        raise Forged("a file in it has no size")
    if not isinstance(mark, str) or len(mark) > MARK_CHARACTERS:
        raise Forged("a file in it has no mark")
    return FoundFile(path=path, label=storable(path), size=size, mark=storable(mark))


def seconds(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
        raise Forged("its time is not a number of seconds")
    return float(value)


def storable(value: str) -> str:
    """Return text that every database takes: no NUL, no half of a surrogate pair."""
    return value.replace("\0", "").encode("utf-8", "replace").decode()
