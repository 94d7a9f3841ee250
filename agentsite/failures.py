"""The page that people see where the site fails: what passes, or what is our fault."""

from __future__ import annotations

import sys

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views.defaults import server_error

from agents.outage import OutOfReach, is_outage


def failed(request: HttpRequest) -> HttpResponse:
    """Django's `handler500`, called while it handles the error. Asks no database."""
    if not is_outage(sys.exc_info()[1]):
        return server_error(request)
    context = {"csp_nonce": getattr(request, "csp_nonce", "")}
    page = render_to_string("503.html", context)
    return HttpResponse(page, status=503, headers=dict(OutOfReach.headers))
