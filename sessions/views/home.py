"""The first page: what needs somebody, what runs, what was done lately."""

from __future__ import annotations

from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import render

from agents.lookup import rows
from agents.models import Agent, Environment
from agents.views import snippets
from agents.views.access import PageRequest, page
from sessions import liveness
from sessions.models import Session
from sessions.models.session import WORKING

SHOWN = 8
STOPPED_SHORT = ("retries_exhausted", "refusal", "requires_action", "budget_reached")


@page()
def home(request: PageRequest) -> HttpResponse:
    living = rows(Session, request.actor).filter(archived_at=None)
    living = living.select_related("agent")
    short = Q(status="idle", stop_reason__type__in=STOPPED_SHORT)
    context = {
        "needs": living.filter(short).order_by("-updated_at")[:SHOWN],
        "running": living.filter(status__in=WORKING).order_by("-updated_at")[:SHOWN],
        "recent": living.exclude(short | Q(status__in=WORKING)).order_by("-updated_at")[
            :SHOWN
        ],
        "agent": rows(Agent, request.actor).filter(archived_at=None).first(),
        "environment": rows(Environment, request.actor)
        .filter(archived_at=None)
        .first(),
        "has_sessions": living.exists(),
        "snippet": snippets.whole_run(request),
        "workers": liveness.workers_alive(),
    }
    return render(request, "sessions/home.html", context)
