"""Starting a session from a form."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect, render

from agents import files
from agents.actors import Actor
from agents.errors import ApiError
from agents.lookup import find_agent, rows
from agents.models import Act, Agent, Environment
from agents.views.access import PageRequest, page
from sandbox.spec import UPLOADS
from sessions import actions
from sessions.forms import SessionForm
from sessions.models import Session


@page(Act.RUN, "GET", "HEAD", "POST")
def create(request: PageRequest) -> HttpResponse:
    if request.method != "POST":
        return _form(request, SessionForm(request.actor, initial=_initial(request)))
    form = SessionForm(request.actor, request.POST, request.FILES)
    if not form.is_valid():
        return _form(request, form)
    try:
        session = _start(request.actor, form.cleaned_data, form)
    except ApiError as error:
        form.add_error(None, error.message)
        return _form(request, form)
    return redirect(f"/sessions/{session.pk}")


def _initial(request: PageRequest) -> dict[str, str]:
    names = ("agent", "version", "environment", "title", "message", "budget")
    return {name: request.GET[name] for name in names if name in request.GET}


def _start(actor: Actor, said: dict[str, Any], form: SessionForm) -> Session:
    agent = find_agent(actor, said["agent"].pk, said["version"])
    uploaded = [_upload(actor, sent) for sent in said["uploads"]]
    return actions.create_session(
        actor,
        agent=agent,
        environment=said["environment"],
        title=said["title"].strip() or None,
        resources=[*uploaded, *_repository(said)],
        initial_events=form.drafts(actor),
        budget=form.cents(),
    )


def _repository(said: dict[str, Any]) -> list[dict[str, Any]]:
    url, branch = said["repository"].strip(), said["branch"].strip()
    if not url:
        return []
    checkout = {"checkout": {"type": "branch", "name": branch}} if branch else {}
    return [{"url": url, **checkout}]


def _upload(actor: Actor, sent: Any) -> dict[str, str]:
    file = files.upload(
        actor,
        filename=sent.name,
        mime_type=sent.content_type or "",
        chunks=sent.chunks(),
    )
    return {"file_id": file.pk, "mount_path": f"{UPLOADS}/{file.filename}"}


def _form(request: PageRequest, form: SessionForm) -> HttpResponse:
    context = {
        "form": form,
        "has_agent": rows(Agent, request.actor).filter(archived_at=None).exists(),
        "has_environment": (
            rows(Environment, request.actor).filter(archived_at=None).exists()
        ),
    }
    status = 422 if form.is_bound and form.errors else 200
    return render(request, "sessions/new.html", context, status=status)
