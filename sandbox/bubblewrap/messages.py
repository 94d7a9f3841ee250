"""What goes between a worker and the engine of bubblewrap sandboxes: a line each way."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any, Protocol

from sandbox.errors import (
    EngineUnavailable,
    ImageMissing,
    ProvisionFailed,
    SandboxError,
    SnapshotFailed,
)
from sandbox.spec import Limits, SandboxSpec

LINE_BYTES = 1024 * 1024
PIECE = 1024 * 1024
LENGTH = struct.Struct(">I")
ERRORS = {
    kind.__name__: kind for kind in (ImageMissing, ProvisionFailed, SnapshotFailed)
}


class Reader(Protocol):
    def read(self, size: int, /) -> bytes: ...

    def readline(self, size: int = ..., /) -> bytes: ...


class Writer(Protocol):
    def write(self, data: bytes, /) -> object: ...

    def flush(self) -> None: ...


class Channel(Reader, Writer, Protocol):
    """Both ends of a connection."""


def of_spec(spec: SandboxSpec) -> dict[str, Any]:
    """What the engine needs to know of a sandbox; files and network are not its own."""
    return {
        "session_id": spec.session_id,
        "name": spec.name,
        "image": spec.image,
        "environment": dict(spec.environment),
        "limits": asdict(spec.limits),
    }


def to_spec(fields: dict[str, Any]) -> SandboxSpec:
    return SandboxSpec(**{**fields, "limits": Limits(**fields["limits"])})


def failure(error: Exception) -> dict[str, Any]:
    return {"error": type(error).__name__, "words": str(error)}


def result(answer: dict[str, Any]) -> Any:
    """Return what the engine answered, or raise what it raised."""
    if "error" in answer:
        kind: type[SandboxError] = ERRORS.get(answer["error"], EngineUnavailable)
        raise kind(answer["words"])
    return answer["result"]


def line(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def send(file: Writer, pieces: Iterable[bytes]) -> None:
    """Send a stream of unknown length; nothing ends it but its end."""
    for piece in pieces:
        for at in range(0, len(piece), PIECE):
            part = piece[at : at + PIECE]
            file.write(LENGTH.pack(len(part)) + part)
    file.write(LENGTH.pack(0))


def receive(file: Reader) -> Iterator[bytes]:
    """Take a stream; raise EngineUnavailable when it breaks off."""
    while True:
        head = file.read(LENGTH.size)
        size = LENGTH.unpack(head)[0] if len(head) == LENGTH.size else -1
        if size == 0:
            return
        piece = file.read(size) if 0 < size <= PIECE else b""
        if len(piece) != size:
            raise EngineUnavailable("The engine of bubblewrap sandboxes broke off.")
        yield piece
