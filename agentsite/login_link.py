"""The page behind a one-time sign-in link."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from agents.models import LoginToken

BACKEND = "django.contrib.auth.backends.ModelBackend"


@never_cache
@require_http_methods(["GET"])  # Not HEAD: who only looks must not spend the link.
def sign_in(request: HttpRequest, token: str) -> HttpResponse:
    found = LoginToken.find(token)
    if found is None or not found.user.is_active or not found.use():
        messages.error(
            request,
            "This sign-in link was used already or is too old. "
            "`./manage.py login_link` prints a new one.",
        )
        return redirect(settings.LOGIN_URL)
    login(request, found.user, backend=BACKEND)
    return redirect(settings.LOGIN_REDIRECT_URL)
