"""Answers of the API: JSON, and one envelope for every refusal."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse

from agents.errors import ApiError
from agents.ids import new_id
from agents.outage import OutOfReach

PREFIX = "/v1/"

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
}
"""The error type of a status that the framework itself answers."""


class Envelope(JsonResponse):
    """A refusal in the envelope of the API."""


def is_api(request: HttpRequest) -> bool:
    return f"{request.path}/".startswith(PREFIX)


def request_id(request: HttpRequest) -> str:
    """The id of this request, made when first asked for."""
    found: str | None = getattr(request, "request_id", None)
    if found is None:
        found = new_id("req")
        request.request_id = found  # type: ignore[attr-defined]
    return found


def error_body(
    type: str, message: str, request_id: str, details: object = None
) -> dict[str, Any]:
    error: dict[str, Any] = {"type": type, "message": message}
    if details is not None:
        error["details"] = details
    return {"type": "error", "error": error, "request_id": request_id}


def refusal(request: HttpRequest, error: ApiError) -> Envelope:
    body = error_body(error.type, error.message, request_id(request), error.details)
    return Envelope(body, status=error.status, headers=dict(error.headers))


def wrapped(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Put what the framework refused on its own into the envelope."""
    if response.status_code < 400 or isinstance(response, Envelope):
        return response
    status = response.status_code
    body = error_body(
        TYPES.get(status, "api_error"), _message(request, status), request_id(request)
    )
    return Envelope(body, status=status)


def _message(request: HttpRequest, status: int) -> str:
    said = {
        400: "the request is malformed, or its host is not one of this site",
        404: f"there is no {request.path} in this API",
        413: "the request is too large",
        503: OutOfReach().message,
    }
    return said.get(status, f"an internal error: report {request_id(request)}")
