"""What a page may load and run: one strict policy, with a looser rule for the admin."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

HEADER = "Content-Security-Policy"

STRICT = {
    "default-src": "'none'",
    "script-src": "'self' 'nonce-{nonce}'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    # Older Safari does not count the page's own websocket as 'self'.
    "connect-src": "'self' {socket}",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    "manifest-src": "'self'",
}

# The theme of the admin ships Alpine, which compiles expressions, and inline styles.
ADMIN = STRICT | {
    "script-src": "'self' 'unsafe-inline' 'unsafe-eval'",
    "style-src": "'self' 'unsafe-inline'",
}


class ContentSecurityPolicyMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.csp_nonce = secrets.token_urlsafe(16)  # type: ignore[attr-defined]
        response = self.get_response(request)
        response.headers.setdefault(HEADER, policy_for(request))
        return response


def policy_for(request: HttpRequest) -> str:
    rules = ADMIN if request.path.startswith("/admin/") else STRICT
    nonce: str = request.csp_nonce  # type: ignore[attr-defined]
    return "; ".join(
        f"{name} {value.format(nonce=nonce, socket=_socket_of(request))}"
        for name, value in rules.items()
    )


def _socket_of(request: HttpRequest) -> str:
    scheme = "wss" if request.is_secure() else "ws"
    return f"{scheme}://{request.get_host()}"
