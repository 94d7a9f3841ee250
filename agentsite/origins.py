"""Which pages may open a websocket: this site's own."""

from __future__ import annotations

from typing import Any
from urllib.parse import SplitResult, urlsplit

from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.http.request import split_domain_port, validate_host


class SameOrigin:
    """Refuses a websocket that a page of another site opens with a visitor's cookie.

    As Django's own check of forms: the origin is the host that was asked, or a trusted
    one. Another port of the same machine is another site.
    """

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        if _is_own(_headers(scope)):
            return await self.application(scope, receive, send)
        return await WebsocketDenier()(scope, receive, send)


def _headers(scope: dict[str, Any]) -> dict[str, str]:
    return {
        name.decode("latin1"): value.decode("latin1")
        for name, value in scope["headers"]
    }


def _is_own(headers: dict[str, str]) -> bool:
    origin = urlsplit(headers.get("origin", ""))
    if f"{origin.scheme}://{origin.netloc}" in settings.CSRF_TRUSTED_ORIGINS:
        return True
    return _is_asked_host(origin, headers.get("host", ""))


def _is_asked_host(origin: SplitResult, host: str) -> bool:
    domain, _ = split_domain_port(host.lower())
    known = bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)
    return known and origin.netloc.lower() == host.lower()
