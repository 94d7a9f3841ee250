"""What the buttons of a session do."""

from __future__ import annotations

from django.http import HttpResponse

from agents.errors import InvalidRequest
from agents.models import Act
from agents.views.access import PageRequest, acted, page
from sessions import actions
from sessions.forms import (
    BudgetForm,
    MessageForm,
    decision_of,
    message_of,
    stop_of,
)
from sessions.lookup import find_session


@page(Act.RUN, "POST")
def send_message(request: PageRequest, session_id: str) -> HttpResponse:
    session = find_session(request.actor, session_id)
    here = f"/sessions/{session_id}"

    def send() -> None:
        message = message_of(request.actor, _text(request))
        stops = [stop_of(request.actor)] if "interrupt" in request.POST else []
        actions.send_events(request.actor, session, [*stops, message])

    return acted(request, send, then=here, back=here, said="")


def _text(request: PageRequest) -> str:
    form = MessageForm(request.POST)
    if not form.is_valid():
        raise InvalidRequest(str(form.errors["text"][0]))
    text: str = form.cleaned_data["text"]
    return text


@page(Act.RUN, "POST")
def decide(request: PageRequest, session_id: str) -> HttpResponse:
    """Answer one call that waits: which one, and how, is the button that was pressed."""
    session = find_session(request.actor, session_id)
    here = f"/sessions/{session_id}"

    def send() -> None:
        actions.send_events(
            request.actor, session, [decision_of(request.actor, request.POST)]
        )

    return acted(request, send, then=here, back=here, said="")


@page(Act.RUN, "POST")
def allow_host(request: PageRequest, session_id: str) -> HttpResponse:
    """Allow a host that was refused: for this session, or in its environment."""
    session = find_session(request.actor, session_id)
    here = f"/sessions/{session_id}"

    def allow() -> None:
        if host := request.POST.get("session"):
            actions.allow_host(request.actor, session, host)
        else:
            host = request.POST.get("environment", "")
            actions.allow_host_in_environment(request.actor, session, host)

    return acted(request, allow, then=here, back=here, said="")


@page(Act.RUN, "POST")
def interrupt(request: PageRequest, session_id: str) -> HttpResponse:
    session = find_session(request.actor, session_id)
    thread_id = request.POST.get("thread") or None
    here = f"/sessions/{session_id}" + (f"?thread={thread_id}" if thread_id else "")
    return acted(
        request,
        lambda: actions.interrupt(request.actor, session, thread_id),
        then=here,
        back=here,
        said="",
    )


@page(Act.RUN, "POST")
def change_budget(request: PageRequest, session_id: str) -> HttpResponse:
    form = BudgetForm(request.POST)
    if not form.is_valid():
        raise InvalidRequest(f"The budget: {form.errors['budget'][0]}")
    return _with_budget(request, session_id, form.cents(), "The budget is changed.")


@page(Act.RUN, "POST")
def remove_budget(request: PageRequest, session_id: str) -> HttpResponse:
    return _with_budget(request, session_id, None, "The budget is removed.")


def _with_budget(
    request: PageRequest, session_id: str, cents: int | None, said: str
) -> HttpResponse:
    session = find_session(request.actor, session_id)
    return acted(
        request,
        lambda: actions.update_session(request.actor, session, {"budget": cents}),
        then=f"/sessions/{session_id}",
        back=f"/sessions/{session_id}",
        said=said,
    )


@page(Act.RUN, "POST")
def archive(request: PageRequest, session_id: str) -> HttpResponse:
    session = find_session(request.actor, session_id)
    return acted(
        request,
        lambda: actions.archive_session(request.actor, session),
        then=f"/sessions/{session_id}",
        back=f"/sessions/{session_id}",
        said="The session is archived.",
    )


@page(Act.RUN, "POST")
def delete(request: PageRequest, session_id: str) -> HttpResponse:
    session = find_session(request.actor, session_id)
    return acted(
        request,
        lambda: actions.delete_session(request.actor, session),
        then="/sessions",
        back=f"/sessions/{session_id}",
        said="The session is deleted.",
    )
