"""/v1/sessions/{id}/threads: the conversations in a session."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from agents.http.endpoint import Call, endpoint
from agents.http.pages import paginate
from agents.http.query import PageQuery
from agents.models import Act
from sessions import actions, log
from sessions.api import serialise
from sessions.api.event_pages import event_page
from sessions.lookup import find_session, find_thread


class ThreadsQuery(PageQuery):
    limit: int = Field(1000, ge=1, le=1000)
    statuses: list[Literal["idle", "running", "rescheduling", "terminated"]] | None = (
        None
    )


class ThreadEventsQuery(PageQuery):
    limit: int = Field(1000, ge=1, le=1000)
    include: list[str] | None = None


@endpoint(Act.LOOK, query=ThreadsQuery)
def index(call: Call[Any], session_id: str) -> dict[str, Any]:
    query: ThreadsQuery = call.query
    threads = find_session(call.actor, session_id).threads.all()
    if query.statuses:
        threads = threads.filter(status__in=query.statuses)
    return paginate(threads, query, order="asc", of=session_id).answer(serialise.thread)


@endpoint(Act.LOOK)
def retrieve(call: Call[Any], session_id: str, thread_id: str) -> dict[str, Any]:
    session = find_session(call.actor, session_id)
    return serialise.thread(find_thread(session, thread_id))


@endpoint(Act.RUN)
def archive(call: Call[Any], session_id: str, thread_id: str) -> dict[str, Any]:
    session = find_session(call.actor, session_id)
    thread = find_thread(session, thread_id)
    return serialise.thread(actions.archive_thread(call.actor, thread))


@endpoint(Act.LOOK, query=ThreadEventsQuery)
def events(call: Call[Any], session_id: str, thread_id: str) -> dict[str, Any]:
    query: ThreadEventsQuery = call.query
    session = find_session(call.actor, session_id)
    thread = find_thread(session, thread_id)
    rows = log.listed(
        session.pk,
        include_own="agentsite" in (query.include or ()),
        thread_id=thread.pk,
    )
    return event_page(rows, query, "asc", thread.pk, own_thread=True)
