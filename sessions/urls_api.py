"""Paths of the API that belong to sessions; `/v1/` stands before each."""

from __future__ import annotations

from django.urls import path

from agents.http.endpoint import Methods
from sessions.api import egress, events, resources, sessions, threads, tool_calls

urlpatterns = [
    path("sessions", Methods(GET=sessions.index, POST=sessions.create)),
    path(
        "sessions/<session_id>",
        Methods(GET=sessions.retrieve, POST=sessions.update, DELETE=sessions.delete),
    ),
    path("sessions/<session_id>/archive", Methods(POST=sessions.archive)),
    path("sessions/<session_id>/events", Methods(GET=events.index, POST=events.send)),
    path("sessions/<session_id>/tool_calls", Methods(GET=tool_calls.index)),
    path(
        "sessions/<session_id>/tool_calls/<call_id>/look",
        Methods(POST=tool_calls.look),
    ),
    path(
        "sessions/<session_id>/tool_calls/<call_id>/run_again",
        Methods(POST=tool_calls.run_again),
    ),
    path(
        "sessions/<session_id>/tool_calls/<call_id>/mark_done",
        Methods(POST=tool_calls.mark_done),
    ),
    path("sessions/<session_id>/egress", Methods(GET=egress.index)),
    path("sessions/<session_id>/allowed_hosts", Methods(POST=egress.allow)),
    path(
        "sessions/<session_id>/resources",
        Methods(GET=resources.index, POST=resources.add),
    ),
    path(
        "sessions/<session_id>/resources/<resource_id>",
        Methods(GET=resources.retrieve, POST=resources.update, DELETE=resources.delete),
    ),
    path("sessions/<session_id>/repositories", Methods(GET=resources.repositories)),
    path("sessions/<session_id>/threads", Methods(GET=threads.index)),
    path("sessions/<session_id>/threads/<thread_id>", Methods(GET=threads.retrieve)),
    path(
        "sessions/<session_id>/threads/<thread_id>/archive",
        Methods(POST=threads.archive),
    ),
    path(
        "sessions/<session_id>/threads/<thread_id>/events", Methods(GET=threads.events)
    ),
]
