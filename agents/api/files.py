"""/v1/files, in both generations of paging."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from asgiref.sync import sync_to_async
from django.core.files.uploadedfile import UploadedFile
from django.core.handlers.asgi import ASGIRequest
from django.http import FileResponse, HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from pydantic import Field

from agents import files, serialise
from agents.errors import InvalidRequest
from agents.http.endpoint import Call, endpoint
from agents.http.older import OlderQuery, older_page
from agents.http.pages import paginate
from agents.http.query import PageQuery
from agents.http.validation import Params, validate
from agents.models import Act, File

OLDER_PAGING = "files-api-2025-04-14"
CHUNK = 1 << 18


class Upload(Params):
    """The text parts of the form; the part `file` holds the bytes."""

    expires_in_seconds: int | None = Field(None, ge=3_600, le=7_776_000, strict=False)


class FilesQuery(PageQuery, OlderQuery):
    limit: int = Field(20, ge=1, le=1000)
    scope_id: str | None = None
    ids: list[str] | None = Field(None, max_length=100)


@endpoint(Act.RUN, body=None)
def upload(call: Call[Any]) -> dict[str, Any]:
    file = _sent_file(call.request)
    form = validate(Upload, call.request.POST.dict())
    row = files.upload(
        call.actor,
        filename=file.name or "",
        mime_type=file.content_type or "",
        chunks=file.chunks(CHUNK),
        expires_in=form.expires_in_seconds,
    )
    return serialise.file(row)


@endpoint(Act.LOOK)
def retrieve(call: Call[Any], file_id: str) -> dict[str, Any]:
    return serialise.file(files.find_file(call.actor, file_id))


@endpoint(Act.RUN)
def delete(call: Call[Any], file_id: str) -> dict[str, Any]:
    files.delete_file(call.actor, file_id)
    return {"type": "file_deleted", "id": file_id}


@endpoint(Act.LOOK)
def content(call: Call[Any], file_id: str) -> HttpResponseBase:
    file = files.downloadable(call.actor, file_id)
    return _bytes(call.request, file)


@endpoint(Act.LOOK, query=FilesQuery)
def index(call: Call[Any]) -> dict[str, Any]:
    query: FilesQuery = call.query
    found = files.listed(call.actor)
    if query.scope_id is not None:
        found = found.filter(scope_id=query.scope_id)
    if query.ids is not None:
        return _by_ids(query, found)
    if OLDER_PAGING in call.betas:
        return older_page(found, query, serialise.file)
    return paginate(found, query).answer(serialise.file)


def _by_ids(query: FilesQuery, found: Any) -> dict[str, Any]:
    if query.page:
        raise InvalidRequest("ids: cannot be combined with page")
    chosen = found.filter(pk__in=query.ids).order_by("-created_at", "-pk")
    return {"data": [serialise.file(row) for row in chosen], "next_page": None}


def _sent_file(request: HttpRequest) -> UploadedFile[Any]:
    sent = request.FILES.getlist("file")
    if len(sent) != 1 or len(request.FILES) != 1:
        raise InvalidRequest(
            "file: send one part of this name with a filename, as multipart/form-data"
        )
    return sent[0]


def _bytes(request: HttpRequest, file: File) -> HttpResponseBase:
    response: HttpResponseBase
    if isinstance(request, ASGIRequest):
        response = StreamingHttpResponse(_chunks(file.path))
        response["content-length"] = str(file.size_bytes)
    else:
        response = FileResponse(file.path.open("rb"))
    # Never run in a browser: the bytes come from an agent.
    response["content-type"] = file.mime_type
    response["content-disposition"] = "attachment"
    response["x-content-type-options"] = "nosniff"
    return response


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    source = await sync_to_async(lambda: path.open("rb"))()
    try:
        while chunk := await sync_to_async(source.read)(CHUNK):
            yield chunk
    finally:
        await sync_to_async(source.close)()
