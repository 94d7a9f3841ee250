"""What passes by itself: a database that does not answer, a disk without room."""

from __future__ import annotations

import errno

from django.db import InterfaceError, OperationalError

from agents.errors import ApiError

DATABASE_OUTAGE = (OperationalError, InterfaceError)
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


class OutOfReach(ApiError):
    """Nothing can be read or kept now; asking again helps."""

    status = 503
    type = "api_error"
    headers = {"x-should-retry": "true", "retry-after": "2"}

    def __init__(self) -> None:
        super().__init__(
            "the site cannot reach its database, or its disk is full: nothing that was"
            " stored is lost. Send the request again in a moment, with an"
            " Idempotency-Key where it must not be done twice"
        )


def is_outage(error: BaseException | None) -> bool:
    """Say whether an error is no fault of the request or the code, and will pass."""
    if isinstance(error, OSError):
        return error.errno in NO_ROOM
    return isinstance(error, DATABASE_OUTAGE)
