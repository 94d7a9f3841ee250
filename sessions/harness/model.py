"""What the loop asks of a model, and what a model answers or how it fails."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Content = Mapping[str, Any]
"""A content block of the Messages API."""

CONTEXT_FULL = "model_context_window_exceeded"
CUT_SHORT = frozenset({"max_tokens", CONTEXT_FULL})
"""Stop reasons of replies that had more to say."""

FailureKind = Literal[
    "model_overloaded_error",
    "model_rate_limited_error",
    "model_request_failed_error",
    "billing_error",
]


def compact(value: object) -> str:
    """Return the JSON that is sent."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, kw_only=True)
class ModelRequest:
    """One request, in the terms of the Messages API. None means: not sent."""

    model: str
    max_tokens: int
    messages: Sequence[Mapping[str, Any]]
    system: Sequence[Content] = ()
    tools: Sequence[Mapping[str, Any]] = ()
    thinking: Mapping[str, Any] | None = None
    effort: str | None = None
    speed: str | None = None
    inference_geo: str | None = None


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens of one request."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_creation_input_tokens: int = 0
    ephemeral_5m_input_tokens: int = 0
    ephemeral_1h_input_tokens: int = 0
    speed: str | None = None

    def on_span(self) -> dict[str, Any]:
        """The usage as `span.model_request_end` says it."""
        said: dict[str, Any] = {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cache_creation_input_tokens": self.cache_creation_input_tokens,
            "cache_read_input_tokens": self.cache_read_input_tokens,
        }
        return {**said, "speed": self.speed} if self.speed else said

    def by_ttl(self) -> dict[str, int]:
        """The written cache tokens as `session.usage` divides them."""
        return {
            "ephemeral_5m_input_tokens": self.ephemeral_5m_input_tokens,
            "ephemeral_1h_input_tokens": self.ephemeral_1h_input_tokens,
        }


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A whole reply. `faults` says of a tool_use id why that call must not run."""

    content: tuple[Content, ...]
    stop_reason: str
    usage: Usage = Usage()
    stop_details: Mapping[str, Any] | None = None
    faults: Mapping[str, str] = field(default_factory=dict)
    request_id: str | None = None
    model: str | None = None


class ModelFailed(Exception):
    """No whole reply came. `message` is for the user and names the request."""

    def __init__(
        self,
        kind: FailureKind,
        message: str,
        *,
        retryable: bool,
        retry_after: float | None = None,
        request_id: str | None = None,
        usage: Usage | None = None,
        too_long: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.retryable = retryable
        self.retry_after = retry_after
        self.request_id = request_id
        self.usage = usage or Usage()
        self.too_long = too_long  # the context did not fit into the model's window


class Listener(Protocol):
    """Hears a reply while it comes."""

    def thought(self) -> None:
        """A thinking block began."""

    def said(self, block: int, text: str) -> None:
        """Text was added to the content block with that index."""

    def used(self, usage: Usage) -> None:
        """The reply has cost this much up to here, whether or not it comes whole."""


class Model(Protocol):
    """Something that answers Messages API requests."""

    async def stream(self, request: ModelRequest, listener: Listener) -> Reply:
        """Return the whole reply, telling the listener on the way. Raises ModelFailed."""
