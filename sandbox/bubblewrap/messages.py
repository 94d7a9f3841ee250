"""What goes between a worker and the engine of bubblewrap sandboxes: a line each way."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from sandbox.errors import (
    EngineUnavailable,
    ImageMissing,
    ProvisionFailed,
    SandboxError,
)
from sandbox.spec import Limits, SandboxSpec

LINE_BYTES = 1024 * 1024
ERRORS = {kind.__name__: kind for kind in (ImageMissing, ProvisionFailed)}


def of_spec(spec: SandboxSpec) -> dict[str, Any]:
    """What the engine needs to know of a sandbox; files and network are not its own."""
    return {
        "session_id": spec.session_id,
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
