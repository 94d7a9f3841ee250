"""`Idempotency-Key`: the same request under the same key is done once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone

from agents.errors import Busy, Conflict, InvalidRequest
from agents.http.body import sent_name
from agents.models import Workspace
from agents.models.idempotency import KEPT_FOR, IdempotentAnswer

HEADER = "idempotency-key"
Act = Callable[[], HttpResponseBase]


def once(request: HttpRequest, workspace: Workspace, act: Act) -> HttpResponseBase:
    """Do it, or answer what was answered before.

    The answer is stored in the transaction of the act, so a refusal or a crash leaves
    neither; a concurrent twin waits for that transaction.

    Raises:
        Conflict: the key was used for another request.
    """
    key = request.headers.get(HEADER, "")
    if not key or request.method != "POST":
        return act()
    if len(key) > 255:
        raise InvalidRequest(f"{HEADER} has at most 255 characters")
    digest = _digest(request)
    stored = _stored(workspace, request.path, key)
    if stored is not None:
        return _again(stored, digest)
    try:
        return _first(workspace, request.path, key, digest, act)
    except IntegrityError:
        stored = _stored(workspace, request.path, key)
    if stored is None:
        raise Busy(f"another request with the {HEADER} {key} is under way")
    return _again(stored, digest)


def _first(
    workspace: Workspace, path: str, key: str, digest: str, act: Act
) -> HttpResponseBase:
    with transaction.atomic():
        claim = IdempotentAnswer.objects.create(
            workspace=workspace, path=path, key=key, digest=digest
        )
        response = act()
        if isinstance(response, HttpResponse):
            claim.status, claim.body = response.status_code, response.content.decode()
            claim.save(update_fields=["status", "body"])
    return response


def _stored(workspace: Workspace, path: str, key: str) -> IdempotentAnswer | None:
    rows = IdempotentAnswer.objects.filter(workspace=workspace, path=path, key=key)
    rows.filter(created_at__lt=timezone.now() - KEPT_FOR).delete()
    return rows.first()


def _again(stored: IdempotentAnswer, digest: str) -> HttpResponseBase:
    if stored.digest != digest:
        raise Conflict(
            f"the {HEADER} {stored.key} was used for another request: send a new one"
        )
    return HttpResponse(
        stored.body,
        status=stored.status,
        content_type="application/json",
        headers={"idempotent-replayed": "true"},
    )


def _digest(request: HttpRequest) -> str:
    digest = hashlib.sha256()
    if request.content_type == "multipart/form-data":
        # The boundary differs from one sending to the next.
        digest.update(repr(sorted(request.POST.lists())).encode())
        for field, files in sorted(request.FILES.lists()):
            for file in files:
                digest.update(repr((field, sent_name(file), file.size)).encode())
                for chunk in file.chunks():
                    digest.update(chunk)
                file.seek(0)  # whoever keeps it reads it from its beginning
    else:
        digest.update(request.body)
    return digest.hexdigest()
