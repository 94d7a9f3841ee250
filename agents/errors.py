"""The refusals of the API: each a status, a type and a sentence for the caller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class ApiError(Exception):
    """A refusal that the caller can read. Pages show the same sentence."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "api_error"
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self, message: str, *, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class InvalidRequest(ApiError):
    status = 400
    type = "invalid_request_error"


class NotSupportedYet(InvalidRequest):
    """What a later version brings: refused, so that nothing is stored unobeyed."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not supported yet")


class Unauthenticated(ApiError):
    status = 401
    type = "authentication_error"


class Forbidden(ApiError):
    status = 403
    type = "permission_error"


class NotFound(ApiError):
    status = 404
    type = "not_found_error"

    @classmethod
    def of(cls, kind: str, id: str) -> NotFound:
        # The same sentence for an unknown id and for one of another workspace.
        return cls(f"{kind} {id} does not exist in this workspace")


class MethodNotAllowed(ApiError):
    status = 405
    type = "invalid_request_error"


class Conflict(ApiError):
    """The caller's picture is out of date; asking again cannot help."""

    status = 409
    type = "invalid_request_error"
    # The SDKs repeat every 409 unless told not to.
    headers = {"x-should-retry": "false"}


class Busy(ApiError):
    """Another request holds what this one needs; asking again helps."""

    status = 409
    type = "conflict_error"
    headers = {"x-should-retry": "true", "retry-after": "1"}


class TooLarge(ApiError):
    status = 413
    type = "request_too_large"
