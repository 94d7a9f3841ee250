"""The addresses that stay open: routed beside Django, which answers all others."""

from __future__ import annotations

from django.urls import path, re_path

from sessions.consumers import SessionSocket, SessionStream

http = [
    path("v1/sessions/<str:session_id>/events/stream", SessionStream.as_asgi()),
    path(
        "v1/sessions/<str:session_id>/threads/<str:thread_id>/stream",
        SessionStream.as_asgi(),
    ),
]

websocket = [
    re_path(r"^ws/sessions/(?P<session_id>[^/]+)/$", SessionSocket.as_asgi()),
]
