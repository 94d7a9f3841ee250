"""What left a session's sandbox, as its page shows it."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render

from agents.views.access import PageRequest, page
from sessions.lookup import find_session

SHOWN = 200


@page()
def show(request: PageRequest, session_id: str) -> HttpResponse:
    session = find_session(request.actor, session_id)
    rows = session.egress_records.order_by("-created_at", "-pk")
    egress = {
        "rows": rows[:SHOWN],
        "count": rows.count(),
        "refused": rows.filter(verdict="refused").count(),
    }
    context = {"session": session, "egress": egress}
    return render(request, "sessions/network.html", context)
