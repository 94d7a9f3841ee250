"""The tool ledger of a session, and what its buttons do."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpResponse

from agents.actors import Actor
from agents.models import Act
from agents.views.access import PageRequest, acted, page
from sessions import actions, ledger, log
from sessions.events import Record
from sessions.lookup import find_session
from sessions.models import Session
from sessions.views.panels import render_panel

Verb = Callable[[Actor, Session, str], Record]


@page()
def index(request: PageRequest, session_id: str) -> HttpResponse:
    """Every call with what became of it."""
    session = find_session(request.actor, session_id)
    # The newest first: what runs, waits or is unknown is most often among them.
    calls = ledger.calls_of(session.pk)[::-1]
    primary = log.primary_id(session.pk)
    context = {"session": session, "calls": calls, "primary": primary}
    return render_panel(request, "calls", "Tool calls", context)


@page(Act.RUN, "POST")
def look(request: PageRequest, session_id: str, call_id: str) -> HttpResponse:
    return _act(request, session_id, call_id, actions.look_at_call)


@page(Act.RUN, "POST")
def run_again(request: PageRequest, session_id: str, call_id: str) -> HttpResponse:
    return _act(request, session_id, call_id, actions.run_call_again)


@page(Act.RUN, "POST")
def mark_done(request: PageRequest, session_id: str, call_id: str) -> HttpResponse:
    return _act(request, session_id, call_id, actions.mark_call_done)


def _act(
    request: PageRequest, session_id: str, call_id: str, verb: Verb
) -> HttpResponse:
    session = find_session(request.actor, session_id)
    here = f"/sessions/{session_id}?event={call_id}"
    return acted(
        request,
        lambda: verb(request.actor, session, call_id),
        then=here,
        back=here,
        said="",
    )
