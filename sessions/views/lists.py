"""The list of sessions; its filters are in the address."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpResponse, QueryDict
from django.shortcuts import render

from agents.lookup import rows
from agents.models import Agent
from agents.views.access import PageRequest, list_template, page
from sessions.models import Session, Status
from sessions.models.session import WORKING

PAGE = 50


@page()
def index(request: PageRequest) -> HttpResponse:
    found = filtered(rows(Session, request.actor), request.GET)
    found = found.select_related("agent", "environment").order_by("-created_at", "-pk")
    context = {
        "page": Paginator(found, PAGE).get_page(request.GET.get("page")),
        "agents": rows(Agent, request.actor).order_by("name"),
        "statuses": [
            (Status.RUNNING, "Running"),
            (Status.IDLE, "Idle"),
            (Status.TERMINATED, "Ended"),
        ],
        "any": rows(Session, request.actor).exists(),
        "given": request.GET,
        "is_filtered": any(request.GET.get(name) for name in FILTERS),
    }
    return render(request, list_template(request, "sessions"), context)


FILTERS = ("status", "agent", "q", "archived")


def filtered(found: QuerySet[Session], given: QueryDict) -> QuerySet[Session]:
    found = found.filter(archived_at__isnull=given.get("archived") != "1")
    status, agent, text = (given.get(name, "").strip() for name in FILTERS[:3])
    if status == Status.RUNNING:
        found = found.filter(status__in=WORKING)
    elif status in Status.values:
        found = found.filter(status=status)
    if agent:
        found = found.filter(agent_id=agent)
    if text:
        found = found.filter(
            Q(title__icontains=text) | Q(pk=text) | Q(agent__name__icontains=text)
        )
    return found
