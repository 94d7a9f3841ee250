"""The files of a session: what is mounted, what was handed back, and a look at each."""

from __future__ import annotations

from typing import Any

from django.http import FileResponse, HttpResponse
from django.shortcuts import render

from agents import files
from agents.errors import InvalidRequest, NotFound
from agents.models import Act, File
from agents.views.access import PageRequest, acted, page
from sandbox.spec import UPLOADS
from sessions import actions
from sessions.lookup import find_session
from sessions.models import Session
from sessions.previews import preview_of
from sessions.views.panels import render_panel

INERT = "default-src 'none'; sandbox"
"""The bytes come from an agent: a browser may draw them and run nothing."""


def files_of(session: Session) -> dict[str, Any]:
    """What the panel shows: outputs, and resources with the files behind them."""
    rows = File.objects.filter(scope_id=session.pk).order_by(
        "output_path", "created_at"
    )
    by_id = {row.pk: row for row in rows}
    return {
        "outputs": [row for row in by_id.values() if row.downloadable],
        "mounts": [
            {"resource": each, "file": by_id.get(each.file_id)}
            for each in session.resources.order_by("mount_path")
        ],
    }


@page()
def panel(request: PageRequest, session_id: str) -> HttpResponse:
    session = find_session(request.actor, session_id)
    context = {"session": session, **files_of(session)}
    return render_panel(request, "files", "Files", context)


@page()
def show(request: PageRequest, session_id: str, file_id: str) -> HttpResponse:
    session = find_session(request.actor, session_id)
    file = _output(request, session, file_id)
    context = {"session": session, "file": file, "preview": preview_of(file)}
    return render(request, "sessions/file.html", context)


@page()
def download(request: PageRequest, session_id: str, file_id: str) -> HttpResponse:
    session = find_session(request.actor, session_id)
    file = _output(request, session, file_id)
    return FileResponse(  # type: ignore[return-value]
        file.path.open("rb"),
        as_attachment=True,
        filename=file.filename,
        content_type="application/octet-stream",
    )


@page()
def raw(request: PageRequest, session_id: str, file_id: str) -> HttpResponse:
    """The bytes of an image or a PDF, under the type that they really have."""
    session = find_session(request.actor, session_id)
    file = _output(request, session, file_id)
    media_type = preview_of(file).media_type
    if not media_type:
        raise NotFound.of("file", file_id)
    response = FileResponse(file.path.open("rb"), content_type=media_type)
    response["Content-Security-Policy"] = INERT
    response["X-Content-Type-Options"] = "nosniff"
    return response  # type: ignore[return-value]


def _output(request: PageRequest, session: Session, file_id: str) -> File:
    file = files.downloadable(request.actor, file_id)
    if file.scope_id != session.pk:
        raise NotFound.of("file", file_id)
    return file


@page(Act.RUN, "POST")
def add(request: PageRequest, session_id: str) -> HttpResponse:
    """Upload a file and mount it, at its name among the uploads or where it is said."""
    session = find_session(request.actor, session_id)
    here = f"/sessions/{session_id}"

    def mount() -> None:
        sent = request.FILES.get("file")
        if sent is None:
            raise InvalidRequest("Choose a file.")
        file = files.upload(
            request.actor,
            filename=sent.name or "",
            mime_type=sent.content_type or "",
            chunks=sent.chunks(),
        )
        path = f"{UPLOADS}/{file.filename}"
        actions.add_file(request.actor, session, file.pk, path)

    return acted(request, mount, then=here, back=here, said="The file is mounted.")


@page(Act.RUN, "POST")
def remove(request: PageRequest, session_id: str, resource_id: str) -> HttpResponse:
    session = find_session(request.actor, session_id)
    here = f"/sessions/{session_id}"
    return acted(
        request,
        lambda: actions.remove_file(request.actor, session, resource_id),
        then=here,
        back=here,
        said="The file is taken away.",
    )
