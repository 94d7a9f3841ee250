"""Threads in the page: the links between them, and a child's own timeline."""

from __future__ import annotations

import json

import pytest

from sessions import log
from sessions.consumers.entries import load
from sessions.consumers.rows import show
from sessions.events import Draft, parse
from sessions.models import Event, Status, Thread
from tests.sessions.pages.conftest import text


@pytest.fixture
def child(session):
    primary = session.threads.get(parent=None)
    return Thread.objects.create(
        session=session,
        parent=primary,
        agent_snapshot={"name": "Scout"},
        status=Status.RUNNING,
    )


def write_in(thread, kind, **payload):
    draft = log.placed(thread, Draft(payload=parse(kind, payload)))
    return log.append(thread.session_id, [draft])[0]


def page(browser, session, thread=None, rest=""):
    query = f"?thread={thread.pk}" if thread else "?"
    return browser.get(f"/sessions/{session.pk}{rest}{query}")


def html_of(*args, **more):
    return page(*args, **more).content.decode()


def test_a_session_without_children_shows_no_links(as_bob, session):
    assert 'aria-current="page" data-status' not in html_of(as_bob, session)


def test_the_links_say_how_each_thread_stands(as_bob, session, child):
    html = html_of(as_bob, session, rest="/threads")
    assert f'href="/sessions/{session.pk}?thread={child.pk}"' in html
    assert 'data-status="running"' in html
    assert "Scout" in html
    assert html.count("aria-current") == 1
    of_child = html_of(as_bob, session, child, rest="/threads")
    assert of_child.index("aria-current") > of_child.index("Main")


def test_a_child_s_page_shows_its_own_events_and_the_session_s_does_not(
    as_bob, session, child, write
):
    write("agent.message", content=text("From the main thread."))
    write_in(child, "agent.message", content=text("From the scout."))
    mine, its = html_of(as_bob, session), html_of(as_bob, session, child)
    assert "From the main thread." in mine
    assert "From the scout." not in mine
    assert "From the scout." in its
    assert "From the main thread." not in its
    earlier = html_of(as_bob, session, child, rest="/earlier").split("chunk")
    assert "From the main thread." not in str(earlier)


def test_a_child_takes_no_messages_and_says_where_they_go(as_bob, session, child):
    html = html_of(as_bob, session, child)
    assert 'id="composer"' not in html
    assert "where messages go" in html


def test_stop_on_a_child_s_page_stops_that_thread(as_bob, session, child):
    assert f'name="thread" value="{child.pk}"' in html_of(as_bob, session, child)
    answer = as_bob.post(f"/sessions/{session.pk}/interrupt", {"thread": child.pk})
    assert answer["location"] == f"/sessions/{session.pk}?thread={child.pk}"
    stop = Event.objects.get(type="user.interrupt")
    assert stop.payload["session_thread_id"] == child.pk
    assert stop.thread_id == child.pk


def test_a_thread_of_another_session_is_not_there(as_bob, session, child, actor):
    from sessions import actions

    other = actions.create_session(
        actor, agent=session.agent.latest, environment=session.environment
    )
    assert page(as_bob, other, child).status_code == 404
    assert page(as_bob, other, child, rest="/threads").status_code == 404


def test_a_stranger_sees_no_thread(as_charlie, session, child):
    assert page(as_charlie, session, child).status_code == 404
    assert page(as_charlie, session, child, rest="/threads").status_code == 404


def test_a_live_event_has_its_row_on_the_page_of_its_thread(session, child, write):
    write_in(child, "agent.message", content=text("From the scout."))
    write("agent.message", content=text("From the main thread."))
    entries = load(session.pk, 0, 100)
    show(session.pk, entries)
    show(session.pk, entries, child.pk)
    (its, mine) = entries
    assert json.loads(its.row)["elsewhere"] is True
    assert json.loads(its.row)["html"] == ""
    assert "From the scout." in json.loads(its.own_row)["html"]
    assert "From the main thread." in json.loads(mine.row)["html"]
    assert mine.own_row is None


def test_the_ledger_leads_to_a_call_s_own_thread(as_bob, session, child):
    use = write_in(child, "agent.tool_use", name="bash", input={})
    html = html_of(as_bob, session, rest="/tool_calls")
    assert f"?thread={child.pk}&amp;event={use.id}" in html
