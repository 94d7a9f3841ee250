"""Errors in the form of the Messages API."""

from __future__ import annotations

from typing import Any

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
MESSAGES = {
    401: "invalid x-api-key",
    402: "Your credit balance is too low to access the Anthropic API.",
    403: "Your API key does not have permission to use the specified resource.",
    429: "This request would exceed your organization's rate limit.",
    500: "Internal server error",
    529: "Overloaded",
}


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(
        self, status: int, message: str = "", retry_after: float | None = None
    ) -> None:
        self.status = status
        self.message = message or MESSAGES.get(status, f"Scripted error {status}")
        self.retry_after = retry_after
        super().__init__(self.message)

    def body(self, request_id: str) -> dict[str, Any]:
        kind = TYPES.get(self.status, "api_error" if self.status >= 500 else TYPES[400])
        error = {"type": kind, "message": self.message}
        return {"type": "error", "error": error, "request_id": request_id}
