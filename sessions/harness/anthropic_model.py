"""The Messages API, streamed with the `anthropic` package: its only door.

The package makes the requests and the errors. The events of a reply are read here: it
takes five times the CPU to make them objects, and hundreds of replies come at once.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import anthropic
import httpx2
from anthropic.types import RawMessageStreamEvent

from sessions.harness.model import (
    CUT_SHORT,
    Content,
    FailureKind,
    Listener,
    ModelFailed,
    ModelRequest,
    Reply,
    Usage,
    compact,
)
from sessions.harness.sse import EventReader, ServerEvent
from sessions.harness.transcript import Message
from sessions.harness.windows import LONG_SUFFIX

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 180.0  # the provider pings far more often than this
FAST_MODE_BETA = "fast-mode-2026-02-01"
LONG_WINDOW_BETA = "context-1m-2025-08-07"

TOO_LONG = (
    "prompt is too long",
    "input is too long",
    "exceed context limit",
    "maximum context length",
    "context_length_exceeded",
    "context window",
)
"""How providers put it when a conversation does not fit, in lower case."""

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

NONSENSE = (ValueError, TypeError, AttributeError, LookupError)
"""What reading a malformed stream raises: nothing validates its events."""

NO_KEY = (
    "No key for the model provider is set, so no request was sent. "
    "Put ANTHROPIC_API_KEY into .env and start the site again."
)
CUT_CALL = (
    "This call was cut off at the output limit, so it was not run. "
    "Make it again, in smaller pieces if its input is long."
)
BROKEN_CALL = "The input of this call was not a JSON object, so it was not run: {}"


class AnthropicModel:
    """A shared client of one endpoint that speaks the Messages API."""

    def __init__(self, *, base_url: str, api_key: str) -> None:
        self._base_url = base_url
        self._has_key = bool(api_key)
        self._client = anthropic.AsyncAnthropic(
            base_url=base_url,
            api_key=api_key or "none",  # or the package would look elsewhere for one
            timeout=anthropic.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
            max_retries=0,  # the loop retries, where everybody can see it
            http_client=_http_client(base_url),
        )

    async def close(self) -> None:
        await self._client.close()

    async def stream(self, request: ModelRequest, listener: Listener) -> Reply:
        """Return the whole reply. Raises ModelFailed."""
        if not self._has_key:
            raise ModelFailed("model_request_failed_error", NO_KEY, retryable=False)
        reply = _ReplyBuilder()
        async with (
            self._failures_told(request, reply),
            await self._ask(request) as stream,
        ):
            response = stream.response
            reply.request_id = response.headers.get("request-id")
            events = EventReader()
            async for piece in response.aiter_bytes():
                for event in events.feed(piece):
                    _raise_error(event, response)
                    reply.take(event, listener)
        if not reply.is_whole:
            raise _cut(reply)
        return reply.built()

    async def _ask(
        self, request: ModelRequest
    ) -> anthropic.AsyncStream[RawMessageStreamEvent]:
        """What `messages.create` does, which copies the conversation at every step."""
        return await self._client.post(
            "/v1/messages",
            content=body_of(request),
            options={"headers": beta_headers(request)},
            cast_to=object,
            stream=True,
            stream_cls=anthropic.AsyncStream[RawMessageStreamEvent],
        )

    @asynccontextmanager
    async def _failures_told(
        self, request: ModelRequest, reply: _ReplyBuilder
    ) -> AsyncIterator[None]:
        try:
            yield
        except anthropic.APIStatusError as error:
            raise _refused(error, request.model, reply) from error
        except anthropic.APIConnectionError as error:
            raise self._unreachable(error) from error
        except (anthropic.AnthropicError, httpx2.HTTPError, *NONSENSE) as error:
            logger.warning("The stream of %s broke: %r", reply.request_id, error)
            raise _cut(reply) from error

    def _unreachable(self, error: anthropic.APIConnectionError) -> ModelFailed:
        slow = isinstance(error, anthropic.APITimeoutError)
        what = "did not answer in time" if slow else "could not be reached"
        return ModelFailed(
            "model_request_failed_error",
            f"The model provider at {_address(self._base_url)} {what}; "
            "the request has no id.",
            retryable=True,
        )


def _http_client(base_url: str) -> httpx2.AsyncClient:
    """The package's client on aiohttp, which reads streams at a third of the CPU.

    A proxy named in the environment is not for this machine's own addresses.
    """
    is_own = urlsplit(base_url).hostname in LOOPBACK
    return anthropic.DefaultAioHttpClient(trust_env=not is_own)


def _raise_error(event: ServerEvent, response: httpx2.Response) -> None:
    """Raise what the package would raise for an error inside a stream."""
    if event.name == "error":
        try:
            body = json.loads(event.data)
        except ValueError:
            body = event.data
        raise anthropic.APIStatusError(event.data, response=response, body=body)


def _address(base_url: str) -> str:
    """The endpoint without what might be secret in its address."""
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{parts.hostname}" + (
        f":{parts.port}" if parts.port else ""
    )


def body_of(request: ModelRequest) -> bytes:
    """Return the request's JSON. What was sent before is not put into words again."""
    said = (
        message.json if isinstance(message, Message) else compact(message)
        for message in request.messages
    )
    rest = compact(_parameters(request)).removesuffix("}")
    return f'{rest},"messages":[{",".join(said)}]}}'.encode()


def _parameters(request: ModelRequest) -> dict[str, Any]:
    """What is not set is not sent: endpoints of other makers know fewer fields."""
    optional = {
        "system": request.system,
        "tools": request.tools,
        "thinking": request.thinking,
        "output_config": {"effort": request.effort} if request.effort else None,
        "speed": request.speed,
        "inference_geo": request.inference_geo,
    }
    return {
        "model": request.model.removesuffix(LONG_SUFFIX),
        "max_tokens": request.max_tokens,
        "stream": True,
        **{name: value for name, value in optional.items() if value},
    }


def beta_headers(request: ModelRequest) -> dict[str, str]:
    betas = {
        FAST_MODE_BETA: request.speed == "fast",
        LONG_WINDOW_BETA: request.model.endswith(LONG_SUFFIX),
    }
    asked = [beta for beta, wanted in betas.items() if wanted]
    return {"anthropic-beta": ",".join(asked)} if asked else {}


@dataclass
class _ReplyBuilder:
    """Puts a reply together from the events of its stream."""

    request_id: str | None = None
    is_whole: bool = False
    usage: dict[str, Any] = field(default_factory=dict)
    _model: str | None = None
    _blocks: list[dict[str, Any]] = field(default_factory=list)
    _pieces: list[str] = field(default_factory=list)  # of the block that is open
    _faults: dict[str, str] = field(default_factory=dict)
    _stop_reason: str | None = None
    _stop_details: Mapping[str, Any] | None = None

    def take(self, event: ServerEvent, listener: Listener) -> None:
        if not event.name or event.name == "ping" or not event.data:
            return
        said = json.loads(event.data)
        match said["type"]:
            case "content_block_delta":
                self._add(said["index"], said["delta"], listener)
            case "content_block_start":
                self._begin(said["index"], said["content_block"], listener)
            case "content_block_stop":
                self._end_block()
            case "message_start":
                self._model = said["message"]["model"]
                self.usage.update(said["message"]["usage"])
                listener.used(counted(self.usage))
            case "message_delta":
                self._note_stop(said["delta"])
                self.usage.update(_known(said["usage"]))
                listener.used(counted(self.usage))
            case "message_stop":
                self.is_whole = self._stop_reason is not None

    def built(self) -> Reply:
        self._note_cut_call()
        return Reply(
            content=tuple(self._blocks),
            stop_reason=self._stop_reason or "end_turn",
            stop_details=self._stop_details,
            usage=counted(self.usage),
            faults=self._faults,
            request_id=self.request_id,
            model=self._model,
        )

    def _begin(self, index: int, block: Any, listener: Listener) -> None:
        self._pieces = []
        self._blocks.append(_known(block))
        if block["type"] in {"thinking", "redacted_thinking"}:
            listener.thought()
        elif block["type"] == "text" and block["text"]:
            self._pieces.append(block["text"])
            listener.said(index, block["text"])

    def _add(self, index: int, delta: Any, listener: Listener) -> None:
        match delta["type"]:
            case "text_delta":
                self._pieces.append(delta["text"])
                listener.said(index, delta["text"])
            case "thinking_delta":
                self._pieces.append(delta["thinking"])
            case "input_json_delta":
                self._pieces.append(delta["partial_json"])
            case "signature_delta":
                signed = self._blocks[-1].get("signature", "") + delta["signature"]
                self._blocks[-1]["signature"] = signed

    def _end_block(self) -> None:
        block, text = self._blocks[-1], "".join(self._pieces)
        match block["type"]:
            case "text":
                block["text"] = text
            case "thinking":
                block["thinking"] = block.get("thinking", "") + text
            case "tool_use" if text:
                block["input"] = self._parsed(block["id"], text)
        self._pieces = []

    def _parsed(self, tool_use_id: str, text: str) -> dict[str, Any]:
        try:
            value = json.loads(text)
        except ValueError as error:
            self._faults[tool_use_id] = BROKEN_CALL.format(error)
            return {}
        if isinstance(value, dict):
            return value
        self._faults[tool_use_id] = BROKEN_CALL.format(f"it was {value!r:.100}")
        return {}

    def _note_stop(self, delta: Any) -> None:
        self._stop_reason = delta.get("stop_reason") or self._stop_reason
        self._stop_details = delta.get("stop_details") or self._stop_details

    def _note_cut_call(self) -> None:
        last = self._blocks[-1] if self._blocks else {}
        if self._stop_reason in CUT_SHORT and last.get("type") == "tool_use":
            self._faults[last["id"]] = CUT_CALL


def _known(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def counted(usage: Mapping[str, Any]) -> Usage:
    """Return the tokens of a Messages API usage object."""
    written = usage.get("cache_creation_input_tokens") or 0
    by_ttl = usage.get("cache_creation") or {"ephemeral_5m_input_tokens": written}
    return Usage(
        input_tokens=usage.get("input_tokens") or 0,
        output_tokens=usage.get("output_tokens") or 0,
        cache_read_input_tokens=usage.get("cache_read_input_tokens") or 0,
        cache_creation_input_tokens=written,
        ephemeral_5m_input_tokens=by_ttl.get("ephemeral_5m_input_tokens") or 0,
        ephemeral_1h_input_tokens=by_ttl.get("ephemeral_1h_input_tokens") or 0,
        speed=usage.get("speed"),
    )


def _cut(reply: _ReplyBuilder) -> ModelFailed:
    return ModelFailed(
        "model_request_failed_error",
        "The model provider's reply broke off before its end "
        f"(request {reply.request_id or 'without an id'}).",
        retryable=True,
        request_id=reply.request_id,
        usage=counted(reply.usage),
    )


def _refused(
    error: anthropic.APIStatusError, model: str, reply: _ReplyBuilder
) -> ModelFailed:
    kind, retryable = _classified(error)
    request_id = error.request_id or _body_request_id(error) or reply.request_id
    said = error.api_message or "no reason was given"
    return ModelFailed(
        kind,
        f"{_headline(error, model)} (status {error.status_code}, "
        f"request {request_id or 'without an id'}): {said:.500}",
        retryable=retryable,
        retry_after=_retry_after(error),
        request_id=request_id,
        usage=counted(reply.usage),
        too_long=_is_too_long(error),
    )


def _is_too_long(error: anthropic.APIStatusError) -> bool:
    if error.status_code == 413:
        return True
    said = (error.api_message or "").lower()
    return error.status_code == 400 and any(words in said for words in TOO_LONG)


def _classified(error: anthropic.APIStatusError) -> tuple[FailureKind, bool]:
    """The body's type counts first: an error inside a stream has the status 200."""
    if error.type == "overloaded_error" or error.status_code == 529:
        return "model_overloaded_error", True
    if error.type == "rate_limit_error" or error.status_code == 429:
        return "model_rate_limited_error", True
    if error.type == "billing_error" or error.status_code == 402:
        return "billing_error", False
    if "credit balance" in (error.api_message or ""):
        return "billing_error", False
    return "model_request_failed_error", _is_passing(error)


def _is_passing(error: anthropic.APIStatusError) -> bool:
    if error.type in {"api_error", "timeout_error"}:
        return True
    return error.status_code >= 500 or error.status_code in {408, 409}


_HEADLINES = {
    400: "The model provider rejected the request",
    401: "The model provider did not accept the API key",
    402: "The model provider reports a billing problem",
    403: "The model provider does not permit this request",
    404: "The model provider does not know the model {model}",
    413: "The request is too large for the model provider",
    429: "The model provider limits the rate of requests",
    529: "The model provider is overloaded",
}
_BY_TYPE = {
    "overloaded_error": _HEADLINES[529],
    "rate_limit_error": _HEADLINES[429],
    "billing_error": _HEADLINES[402],
    "authentication_error": _HEADLINES[401],
}


def _headline(error: anthropic.APIStatusError, model: str) -> str:
    general = "The model provider failed"
    known = _BY_TYPE.get(error.type or "") or _HEADLINES.get(error.status_code)
    return (known or general).format(model=model)


def _body_request_id(error: anthropic.APIStatusError) -> str | None:
    body = error.body
    found = body.get("request_id") if isinstance(body, Mapping) else None
    return found if isinstance(found, str) else None


def _retry_after(error: anthropic.APIStatusError) -> float | None:
    try:
        return float(error.response.headers.get("retry-after", ""))
    except ValueError:
        return None


__all__ = ["AnthropicModel", "Content", "counted"]
