"""Reading the body of a request: JSON of a bounded size, or nothing."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http import HttpRequest
from django.http.multipartparser import MultiPartParserError
from django.http.request import UnreadablePostError

from agents.errors import InvalidRequest, TooLarge

LIMIT = 32 * 1024 * 1024
FORM = 1024 * 1024
"""What a form may hold besides its file."""


def refuse_large(request: HttpRequest, limit: int = LIMIT) -> None:
    """Refuse by the length a caller declares, before anything is read."""
    if int(request.META.get("CONTENT_LENGTH") or 0) > limit:
        raise TooLarge(f"the request is larger than {limit >> 20} MB")


def upload_limit() -> int:
    """The largest body there is: one with the largest file."""
    return int(settings.AGENTSITE.file_mb) * 1024 * 1024 + FORM


def read_json(request: HttpRequest) -> dict[str, Any]:
    """Return the body as an object; an empty body is an empty object.

    Raises:
        TooLarge: more than 32 MB.
        InvalidRequest: it is not a JSON object.
    """
    raw = _read(request)
    if not raw.strip():
        return {}
    try:
        # UTF-8 and nothing else: what is refused below is looked for in these bytes.
        body = json.loads(raw.decode("utf-8-sig"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}") from None
    if not isinstance(body, dict):
        raise InvalidRequest("the body must be a JSON object")
    if b"\\u" in raw:
        _refuse_unstorable(body)
    return body


def read_form(request: HttpRequest) -> None:
    """Parse a multipart body, if it is one, so that its parts can be used.

    Files are streamed to disk, so they may be larger than what is parsed.
    """
    refuse_large(request, upload_limit())
    try:
        request._load_post_and_files()
    except (MultiPartParserError, SuspiciousOperation, UnreadablePostError) as error:
        raise InvalidRequest(f"the form cannot be read: {error}") from None


def _read(request: HttpRequest) -> bytes:
    refuse_large(request)
    try:
        raw = request.body
    except RequestDataTooBig:
        raise TooLarge(f"the request is larger than {LIMIT >> 20} MB") from None
    except UnreadablePostError:
        raise InvalidRequest("the request broke off before its end") from None
    if len(raw) > LIMIT:  # sent in chunks, without a length
        raise TooLarge(f"the request is larger than {LIMIT >> 20} MB")
    return raw


def _refuse_unstorable(body: dict[str, Any]) -> None:
    """Escapes can spell what no database or UTF-8 text can hold."""
    text = json.dumps(body, ensure_ascii=False)
    if "\\u0000" in text.replace("\\\\", ""):
        raise InvalidRequest("the body contains a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidRequest("the body contains half a surrogate pair") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
