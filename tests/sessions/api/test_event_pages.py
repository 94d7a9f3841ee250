"""A walk through the event log leaves nothing out, whatever is taken in meanwhile."""

from __future__ import annotations

import pytest
from django.http import QueryDict

from agents.http.query import read_query
from sessions import log
from sessions.api.event_pages import event_page
from sessions.api.events import EventsQuery
from sessions.events import AgentMessage, Draft, UserMessage


@pytest.fixture
def page(session):
    def page(order, cursor=None):
        query = QueryDict(mutable=True)
        query.update({"limit": "1", "order": order, "page": cursor or ""})
        checked = read_query(EventsQuery, query)
        return event_page(log.listed(session.pk), checked, order, session.pk)

    return page


def message(text, *, queued=True):
    content = [{"type": "text", "text": text}]
    kind = UserMessage if queued else AgentMessage
    return Draft(payload=kind(content=content), queued=queued)


def walk(page, order, *, between=lambda: None):
    seen, cursor = [], None
    while len(seen) < 20:  # a walk that turns back would never end
        answer = page(order, cursor)
        seen += [event["content"][0]["text"] for event in answer["data"]]
        cursor = answer["next_page"]
        if cursor is None:
            return seen
        between()
    raise AssertionError(seen)


def test_queued_events_come_after_what_was_taken_in(page, session):
    log.append(session.pk, [message("asked"), message("said", queued=False)])
    assert walk(page, "asc") == ["said", "asked"]
    assert walk(page, "desc") == ["asked", "said"]


def test_an_event_taken_in_during_the_walk_is_not_left_out(page, session):
    log.append(session.pk, [message("one"), message("two"), message("three")])
    steps = iter([lambda: log.take_in(session.pk, fence=0)])

    seen = walk(page, "asc", between=lambda: next(steps, lambda: None)())
    # The first was seen queued, and is seen again as taken in.
    assert seen == ["one", "one", "two", "three"]


def test_events_written_during_the_walk_are_reached(page, session):
    log.append(session.pk, [message("one", queued=False), message("q1"), message("q2")])
    late = iter([message("late", queued=False)])

    def write():
        log.append(session.pk, list(late))

    assert walk(page, "asc", between=write) == ["one", "late", "q1", "q2"]
