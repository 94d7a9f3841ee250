"""The page of one session, and the pieces it asks for later."""

from __future__ import annotations

import json
from collections.abc import Iterator

from django.http import (
    HttpResponse,
    JsonResponse,
    StreamingHttpResponse,
)
from django.shortcuts import render

from agents.views.access import PageRequest, number_of, page
from sessions import keeping, lifecycle, log
from sessions.lookup import find_session, find_thread
from sessions.models import Session, Thread
from sessions.templatetags.events import render_frames, session_state
from sessions.views.files import files_of

FIRST, MORE, RAW = 200, 500, 500


@page()
def show(request: PageRequest, session_id: str) -> HttpResponse:
    session = find_session(request.actor, session_id)
    child = _child(request, session)
    # Before the events are read: what is written meanwhile comes by the socket.
    last = log.last_number(session_id)
    until = number_of(request, "before") or last + 1
    frames = log.before(
        session_id, until, limit=FIRST, thread_id=child.pk if child else None
    )
    context = {
        "child": child,
        "threads": lifecycle.threads_of(session.pk),
        "session": session,
        "state": session_state(session),
        "last_number": last,
        "chunks": render_frames(frames, session=session),
        "earlier": _earlier(frames, FIRST),
        **files_of(session),
        "sandbox": keeping.provider_of(session_id),
    }
    return render(request, "sessions/session.html", context)


def _child(request: PageRequest, session: Session) -> Thread | None:
    """The child thread whose page is asked for; none is the session's own."""
    wanted = request.GET.get("thread")
    thread = find_thread(session, wanted) if wanted else None
    return None if thread is None or thread.is_primary else thread


@page()
def threads(request: PageRequest, session_id: str) -> HttpResponse:
    """The links between a session's threads, which the page asks for anew."""
    session = find_session(request.actor, session_id)
    context = {
        "session": session,
        "child": _child(request, session),
        "threads": lifecycle.threads_of(session.pk),
    }
    return render(request, "sessions/threads.html", context)


def _earlier(frames: list[log.Frame], limit: int) -> int:
    """The number before which there may be more; 0 where there is not."""
    return frames[0].number if len(frames) >= limit else 0


@page()
def earlier(request: PageRequest, session_id: str) -> HttpResponse:
    """Rows before a number, as the page puts them above its own."""
    session = find_session(request.actor, session_id)
    before, child = number_of(request, "before") or 0, _child(request, session)
    frames = log.before(
        session_id, before, limit=MORE, thread_id=child.pk if child else None
    )
    context = {
        "chunks": render_frames(frames, session=session),
        "earlier": _earlier(frames, MORE),
        "child": child,
    }
    return render(request, "sessions/earlier.html", context)


@page()
def raw(request: PageRequest, session_id: str) -> HttpResponse:
    """The newest events as they are stored, for the inspector."""
    session = find_session(request.actor, session_id)
    frames = log.since(session.pk, max(0, log.last_number(session.pk) - RAW), limit=RAW)
    events = [{"number": each.number, "json": each.wire()} for each in reversed(frames)]
    return JsonResponse({"events": events})


@page()
def events_jsonl(request: PageRequest, session_id: str) -> HttpResponse:
    """Every event of a session, one JSON object a line."""
    session = find_session(request.actor, session_id)
    response = StreamingHttpResponse(
        _lines(session.pk), content_type="application/jsonl"
    )
    response["Content-Disposition"] = f'attachment; filename="{session.pk}.jsonl"'
    return response  # type: ignore[return-value]


def _lines(session_id: str) -> Iterator[str]:
    number = 0
    while frames := log.since(session_id, number):
        for frame in frames:
            if not frame.queued or frame.record.position is None:
                yield json.dumps(frame.wire(), ensure_ascii=False) + "\n"
        number = frames[-1].number
