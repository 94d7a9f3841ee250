"""Pages on what happened."""

from __future__ import annotations

from django.urls import path

from sessions.views import (
    create,
    files,
    home,
    lists,
    network,
    timeline,
    tool_calls,
    verbs,
)

urlpatterns = [
    path("", home.home),
    path("environments/<str:environment_id>/check", network.check),
    path("sessions", lists.index),
    path("sessions/new", create.create),
    path("sessions/<str:session_id>", timeline.show),
    path("sessions/<str:session_id>/earlier", timeline.earlier),
    path("sessions/<str:session_id>/threads", timeline.threads),
    path("sessions/<str:session_id>/raw", timeline.raw),
    path("sessions/<str:session_id>/network", network.show),
    path("sessions/<str:session_id>/events.jsonl", timeline.events_jsonl),
    path("sessions/<str:session_id>/files", files.panel),
    path("sessions/<str:session_id>/files/<str:file_id>", files.show),
    path("sessions/<str:session_id>/files/<str:file_id>/download", files.download),
    path("sessions/<str:session_id>/files/<str:file_id>/raw", files.raw),
    path("sessions/<str:session_id>/resources", files.add),
    path("sessions/<str:session_id>/resources/<str:resource_id>/remove", files.remove),
    path("sessions/<str:session_id>/messages", verbs.send_message),
    path("sessions/<str:session_id>/decisions", verbs.decide),
    path("sessions/<str:session_id>/hosts", verbs.allow_host),
    path("sessions/<str:session_id>/interrupt", verbs.interrupt),
    path("sessions/<str:session_id>/tool_calls", tool_calls.index),
    path("sessions/<str:session_id>/tool_calls/<str:call_id>/look", tool_calls.look),
    path(
        "sessions/<str:session_id>/tool_calls/<str:call_id>/run_again",
        tool_calls.run_again,
    ),
    path(
        "sessions/<str:session_id>/tool_calls/<str:call_id>/mark_done",
        tool_calls.mark_done,
    ),
    path("sessions/<str:session_id>/budget", verbs.change_budget),
    path("sessions/<str:session_id>/budget/remove", verbs.remove_budget),
    path("sessions/<str:session_id>/archive", verbs.archive),
    path("sessions/<str:session_id>/delete", verbs.delete),
]
