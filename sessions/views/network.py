"""What left a session's sandbox, and checks that nothing else can."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import redirect, render

from agents.lookup import find_environment
from agents.models import Act
from agents.views.access import PageRequest, page
from sessions import egress_checks
from sessions.lookup import find_session
from sessions.views.panels import render_panel

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
    return render_panel(request, "network", "Network", context)


@page(Act.BUILD, "GET", "HEAD", "POST")
def check(request: PageRequest, environment_id: str) -> HttpResponse:
    """Try to get out of an environment's network; the page waits for the answer."""
    environment = find_environment(request.actor, environment_id)
    if request.method == "POST":
        egress_checks.ask(request.actor, environment)
        return redirect(f"/environments/{environment_id}/check")
    checks = environment.egress_checks.order_by("-created_at", "-pk")
    context = {
        "environment": environment,
        "network": environment.config["networking"],
        "check": checks.first(),
    }
    return render(request, "environments/check.html", context)
