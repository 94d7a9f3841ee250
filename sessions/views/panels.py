"""The inspector's panels: fragments there, and pages for browsers without scripts."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render

from agents.views.access import PageRequest


def render_panel(
    request: PageRequest, name: str, heading: str, context: dict[str, Any]
) -> HttpResponse:
    panel = f"sessions/{name}.html"
    if getattr(request, "htmx", None):
        return render(request, panel, context)
    alone = {"panel": panel, "heading": heading}
    return render(request, "sessions/panel.html", {**context, **alone})
