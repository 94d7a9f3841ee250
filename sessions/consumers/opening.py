"""The request that opens a stream: the same checks and refusals as every endpoint."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Literal, TypeVar

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from pydantic import Field

from agents.errors import InvalidRequest, NotFound
from agents.http.endpoint import Call, Methods, endpoint, fault
from agents.http.envelope import refusal, request_id
from agents.http.query import QueryParams
from agents.lookup import find
from agents.models import Act
from sessions.lookup import find_thread
from sessions.models import Session, Status, Thread

LAST_EVENT_ID = "last-event-id"
MOST_DIGITS = 20

Response = TypeVar("Response", bound=HttpResponseBase)


class StreamQuery(QueryParams):
    event_deltas: list[Literal["agent.message", "agent.thinking"]] = Field(
        default_factory=list, max_length=100
    )
    include: list[Literal["agentsite"]] = Field(default_factory=list)
    after: int | None = Field(None, ge=0)


class Opened(HttpResponse):
    """The answer that is a stream: what is asked for, and from where."""

    def __init__(
        self, call: Call[Any], session: Session, thread: Thread | None = None
    ) -> None:
        super().__init__(content_type="text/event-stream; charset=utf-8")
        self["Cache-Control"] = "no-store"
        self["X-Accel-Buffering"] = "no"
        self.session_id = session.pk
        self.thread_id = thread.pk if thread else None
        self.child_id = thread.pk if thread and not thread.is_primary else None
        self.has_ended = Status.TERMINATED in {session.status, thread and thread.status}
        self.previews = frozenset(call.query.event_deltas)
        self.with_own = bool(call.query.include)
        self.after = _after(call)


def open_stream(
    scope: dict[str, Any], session_id: str, thread_id: str = ""
) -> HttpResponseBase:
    """Return `Opened`, or the refusal to send."""
    request = ASGIRequest(scope, BytesIO())
    return _identified(
        request, STREAM(request, session_id=session_id, thread_id=thread_id)
    )


def refuse_gone(scope: dict[str, Any], session_id: str) -> HttpResponseBase:
    """The refusal for a session that was deleted after the request was checked."""
    request = ASGIRequest(scope, BytesIO())
    return _identified(request, refusal(request, NotFound.of("session", session_id)))


def refuse_broken(scope: dict[str, Any], error: Exception) -> HttpResponse:
    """The refusal where something of ours failed; its id leads to the line in the log."""
    request = ASGIRequest(scope, BytesIO())
    return _identified(request, refusal(request, fault(request, error)))


def _identified(request: HttpRequest, response: Response) -> Response:
    response["request-id"] = request_id(request)
    return response


@endpoint(Act.LOOK, query=StreamQuery)
def stream_events(call: Call[Any], session_id: str, thread_id: str) -> HttpResponse:
    """Stream the events of a session, or of one thread."""
    session = find(Session, call.actor, session_id)
    return Opened(call, session, find_thread(session, thread_id) if thread_id else None)


STREAM = Methods(GET=stream_events)


def _after(call: Call[Any]) -> int | None:
    """The number to go on from; none means from now on."""
    sent = call.request.headers.get(LAST_EVENT_ID, "").strip()
    if not sent:
        query: StreamQuery = call.query
        return query.after
    if (number := number_of(sent)) is None:
        raise InvalidRequest(f"{LAST_EVENT_ID} must be the number of an event")
    return number


def number_of(sent: str) -> int | None:
    """The number of an event as a client says it; none where it is no such number."""
    fits = sent.isascii() and sent.isdigit() and len(sent) < MOST_DIGITS
    return int(sent) if fits else None
