"""Reading the body of a request: JSON of a bounded size, or nothing."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import (
    MemoryFileUploadHandler,
    TemporaryFileUploadHandler,
)
from django.http import HttpRequest
from django.http.multipartparser import MultiPartParser, MultiPartParserError
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
    return parse_object(raw, "the body") if raw.strip() else {}


def parse_object(raw: bytes, what: str) -> dict[str, Any]:
    """Return JSON from outside as an object that every database can store.

    Raises:
        InvalidRequest: it is none; `what` names it in the sentence.
    """
    try:
        # UTF-8 and nothing else: what is refused below is looked for in these bytes.
        parsed = json.loads(raw.decode("utf-8-sig"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{what} is not valid JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise InvalidRequest(f"{what} must be a JSON object")
    if b"\\u" in raw:
        _refuse_unstorable(parsed, what)
    return parsed


def read_form(request: HttpRequest) -> None:
    """Parse a multipart body, if it is one, so that its parts can be used.

    Files are streamed to disk, so they may be larger than what is parsed.
    """
    refuse_large(request, upload_limit())
    try:
        if request.content_type == "multipart/form-data":
            _load_parts(request)
        else:
            request._load_post_and_files()
    except (MultiPartParserError, SuspiciousOperation, UnreadablePostError) as error:
        raise InvalidRequest(f"the form cannot be read: {error}") from None


class _WholeNames(MultiPartParser):
    """Leaves the folders in filenames: the layout of a skill is in them."""

    def sanitize_file_name(self, file_name: str) -> str | None:
        return file_name


class _InMemory(MemoryFileUploadHandler):
    def file_complete(self, file_size: int) -> UploadedFile[Any] | None:
        return _named(super().file_complete(file_size), self.file_name)


class _OnDisk(TemporaryFileUploadHandler):
    def file_complete(self, file_size: int) -> UploadedFile[Any] | None:
        return _named(super().file_complete(file_size), self.file_name)


def _named(
    file: UploadedFile[Any] | None, name: str | None
) -> UploadedFile[Any] | None:
    """Keep the filename as it was sent, beside the safe one that Django makes."""
    if file is not None:
        vars(file)["sent_name"] = name
    return file


def sent_name(file: UploadedFile[Any]) -> str:
    """The filename of a part, folders and all. It is safe for nothing but a look."""
    name: str = getattr(file, "sent_name", None) or file.name or ""
    return name


def _load_parts(request: HttpRequest) -> None:
    if hasattr(request, "_post"):
        return
    handlers = [_InMemory(request), _OnDisk(request)]
    parser = _WholeNames(request.META, request, handlers, request.encoding)
    request._post, request._files = parser.parse()  # type: ignore[attr-defined]


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


def _refuse_unstorable(parsed: dict[str, Any], what: str) -> None:
    """Escapes can spell what no database or UTF-8 text can hold."""
    text = json.dumps(parsed, ensure_ascii=False)
    if "\\u0000" in text.replace("\\\\", ""):
        raise InvalidRequest(f"{what} contains a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(f"{what} contains half a surrogate pair") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
