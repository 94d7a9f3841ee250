"""Which key asks, and for which workspace."""

from __future__ import annotations

from datetime import timedelta

from django.http import HttpRequest
from django.utils import timezone

from agents.actors import Actor
from agents.errors import Forbidden, Unauthenticated
from agents.models import ApiKey

WORKSPACE_HEADER = "anthropic-workspace-id"
NOTED_EVERY = timedelta(minutes=1)


def authenticate(request: HttpRequest) -> Actor:
    """Return who asks.

    Raises:
        Unauthenticated: no key, or one that is unknown or revoked.
        Forbidden: the key belongs to another workspace than the header names.
    """
    key = ApiKey.find(_sent_key(request))
    if key is None:
        raise Unauthenticated("this API key is unknown or revoked")
    named = request.headers.get(WORKSPACE_HEADER)
    if named and named != key.workspace_id:
        raise Forbidden(f"this API key does not belong to workspace {named}")
    _note_use(key)
    return Actor.of_key(key)


def _sent_key(request: HttpRequest) -> str:
    """Two generations of clients send the same key in two headers."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    sent = bearer or request.headers.get("x-api-key", "").strip()
    if not sent:
        raise Unauthenticated(
            "no API key: send it as Authorization: Bearer …, or as x-api-key"
        )
    return sent


def _note_use(key: ApiKey) -> None:
    # Not at every request: a write costs more than the rest of a read.
    now = timezone.now()
    if key.last_used_at is None or now - key.last_used_at > NOTED_EVERY:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)
