"""The page of one session and its buttons."""

from __future__ import annotations

import json
import re

import pytest

from sessions import actions, log
from sessions.models import Event, Session
from tests.sessions.pages.conftest import text

JSON = {"HTTP_ACCEPT": "application/json"}


def url(session, rest=""):
    return f"/sessions/{session.pk}{rest}"


def body(answer):
    return b"".join(answer).decode() if answer.streaming else answer.content.decode()


def test_the_page_shows_what_happened_so_far(as_alice, session, write):
    write("agent.message", content=text("The books are *closed*."))
    page = as_alice.get(url(session)).content.decode()
    assert "<em>closed</em>" in page
    assert f'data-number="{log.last_number(session.pk)}"' in page


@pytest.mark.parametrize("rest", ["", "/earlier?before=9", "/raw", "/events.jsonl"])
def test_another_workspace_s_session_is_not_there(as_charlie, session, rest):
    assert as_charlie.get(url(session, rest)).status_code == 404


@pytest.mark.parametrize(
    "verb", ["messages", "decisions", "interrupt", "budget", "archive", "delete"]
)
def test_nobody_from_outside_acts_on_it(as_charlie, client, session, write, verb):
    asking = {"name": "bash", "input": {}, "evaluated_permission": "ask"}
    call = write("agent.tool_use", **asking)
    before = Event.objects.count()
    sent = {"text": "Hello", "allow": call.id, "budget": "5"}
    assert as_charlie.post(url(session, f"/{verb}"), sent).status_code == 404
    assert client.post(url(session, f"/{verb}"), sent).status_code == 302
    assert Event.objects.count() == before
    assert Session.objects.get().archived_at is None


@pytest.mark.parametrize("verb", ["messages", "interrupt", "archive", "delete"])
def test_a_viewer_looks_and_does_not_act(as_viewer, session, verb):
    page = as_viewer.get(url(session)).content.decode()
    assert 'id="composer"' not in page
    assert "not steer it" in page
    assert as_viewer.post(url(session, f"/{verb}"), {"text": "x"}).status_code == 403


@pytest.mark.parametrize("verb", ["messages", "interrupt", "archive", "delete"])
def test_acting_needs_a_post(as_alice, session, verb):
    assert as_alice.get(url(session, f"/{verb}")).status_code == 405


def test_a_message_is_queued_with_who_wrote_it(as_bob, session):
    answer = as_bob.post(url(session, "/messages"), {"text": "Close\r\nNovember."})
    assert answer["location"] == url(session)
    event = Event.objects.get(type="user.message")
    assert event.payload["content"] == text("Close\nNovember.")
    assert event.payload["agentsite_sender"] == "bob"
    session.refresh_from_db()
    assert session.status == "running"


def test_a_script_that_sends_gets_json(as_bob, session):
    answer = as_bob.post(url(session, "/messages"), {"text": "Go."}, **JSON)
    assert (answer.status_code, answer.json()) == (200, {})


@pytest.mark.parametrize("words", ["", "  \n"])
def test_an_empty_message_is_refused_in_a_sentence(as_bob, session, words):
    answer = as_bob.post(url(session, "/messages"), {"text": words}, **JSON)
    assert answer.status_code == 400
    assert answer.json()["message"]
    assert not Event.objects.filter(type="user.message").exists()


def test_an_archived_session_takes_no_message(as_alice, session):
    as_alice.post(url(session, "/archive"))
    assert "takes no more messages" in as_alice.get(url(session)).content.decode()
    answer = as_alice.post(url(session, "/messages"), {"text": "Hello?"}, **JSON)
    assert answer.status_code == 409
    assert "archived" in answer.json()["message"]


def test_interrupt_and_send_is_one_request_of_both(as_bob, session):
    as_bob.post(url(session, "/messages"), {"text": "Go."})
    sent = {"text": "Stop that.", "interrupt": "1"}
    assert as_bob.post(url(session, "/messages"), sent, **JSON).status_code == 200
    rows = Event.objects.filter(type__startswith="user.").order_by("seq")
    kinds = [row.type for row in rows]
    assert kinds == ["user.message", "user.interrupt", "user.message"]
    assert {row.payload["agentsite_sender"] for row in rows} == {"bob"}


def test_interrupt_and_send_is_offered_only_while_it_works(as_bob, session):
    button = r'id="interrupt-send"[^>]* hidden'
    assert re.search(button, as_bob.get(url(session)).content.decode())
    as_bob.post(url(session, "/messages"), {"text": "Go."})
    assert not re.search(button, as_bob.get(url(session)).content.decode())


def test_a_queued_message_says_what_it_waits_behind(as_bob, session, write):
    as_bob.post(url(session, "/messages"), {"text": "Hurry."})
    free = as_bob.get(url(session)).content.decode()
    assert re.search(r'class="behind" hidden', free)
    use = write("agent.tool_use", name="bash", input={"command": "make world"})
    started = write("agentsite.tool_started", tool_use_id=use.id)
    page = as_bob.get(url(session)).content.decode()
    since = started.created_at.isoformat()
    assert f'class="behind" data-since="{since}"' in page
    assert re.search(r"behind .*<b>bash</b> .*make world", page)
    write("agent.tool_result", tool_use_id=use.id)
    page = as_bob.get(url(session)).content.decode()
    assert re.search(r'class="behind" hidden', page)


def test_stopping_asks_for_an_interrupt(as_bob, actor, session):
    as_bob.post(url(session, "/messages"), {"text": "Go."})
    as_bob.post(url(session, "/interrupt"))
    assert Event.objects.filter(type="user.interrupt").count() == 1


def test_a_working_session_is_not_deleted_and_the_page_says_why(as_bob, session):
    as_bob.post(url(session, "/messages"), {"text": "Go."})
    answer = as_bob.post(url(session, "/delete"), follow=True)
    assert "interrupt it" in answer.content.decode()
    assert Session.objects.filter(pk=session.pk).exists()


def test_an_idle_session_is_deleted(as_bob, session):
    assert as_bob.post(url(session, "/delete"))["location"] == "/sessions"
    assert as_bob.get(url(session)).status_code == 404


def test_a_long_session_comes_in_pages_without_a_gap(as_alice, session, write):
    for number in range(1, 901):
        write("agent.message", content=text(f"Step {number}."))
    page = as_alice.get(url(session)).content.decode()
    steps = []
    while True:
        found = [int(each) for each in re.findall(r"Step (\d+)\.", page)]
        steps = found + steps
        before = re.search(r'data-before="(\d+)"', page)
        if not before:
            break
        page = as_alice.get(
            url(session, f"/earlier?before={before[1]}")
        ).content.decode()
    assert steps == list(range(1, 901))


def test_no_worker_is_said_while_the_session_runs(as_bob, session):
    as_bob.post(url(session, "/messages"), {"text": "Go."})
    page = as_bob.get(url(session)).content.decode()
    assert re.search(r'id="no-worker" role="status">', page)


def test_the_raw_list_is_the_wire_s(as_alice, session, write):
    write("agent.message", content=text("Hi"))
    newest = as_alice.get(url(session, "/raw")).json()["events"][0]
    assert newest["json"]["type"] == "agent.message"
    assert newest["number"] == log.last_number(session.pk)


def test_the_download_has_every_event_once(as_alice, actor, session, write):
    actions.send_events(actor, session, [_message("One")])
    write("agent.message", content=text("Two"))
    lines = body(as_alice.get(url(session, "/events.jsonl"))).splitlines()
    ids = [json.loads(line)["id"] for line in lines]
    assert sorted(ids) == sorted(Event.objects.values_list("pk", flat=True))


def _message(words):
    from sessions.events import Draft, UserMessage

    return Draft(payload=UserMessage(content=text(words)), queued=True)


def test_a_file_of_another_session_is_not_handed_out(as_alice, actor, session):
    from agents import files

    mine = files.store(
        actor.workspace,
        filename="report.csv",
        chunks=[b"a,b"],
        scope_id=session.pk,
        downloadable=True,
    )
    other = files.store(
        actor.workspace,
        filename="x",
        chunks=[b"x"],
        scope_id="sesn_x",
        downloadable=True,
    )
    answer = as_alice.get(url(session, f"/files/{mine.pk}/download"))
    assert b"".join(answer) == b"a,b"
    assert "attachment" in answer["content-disposition"]
    for look in ("", "/download", "/raw"):
        path = url(session, f"/files/{other.pk}{look}")
        assert as_alice.get(path).status_code == 404


def test_somebody_who_may_only_look_decides_nothing(as_viewer, session):
    page = as_viewer.get(url(session)).content.decode()
    assert 'id="decide"' not in page
    assert as_viewer.post(url(session, "/decisions"), {"allow": "x"}).status_code == 403


def test_a_word_on_a_call_that_does_not_wait_is_refused_in_a_sentence(
    as_alice, session
):
    for said in ({"allow": "sevt_x"}, {"deny": "sevt_x"}, {"answer": "sevt_x"}):
        answer = as_alice.post(url(session, "/decisions"), said, **JSON)
        assert answer.status_code == 400
        assert "has no call sevt_x" in answer.json()["message"]
    nothing = as_alice.post(url(session, "/decisions"), {}, **JSON)
    assert "Press Allow" in nothing.json()["message"]


def test_the_page_of_a_session_opens_with_a_thousand_messages_waiting(
    as_alice, actor, session, django_assert_max_num_queries
):
    waiting = [_message(f"Message {number}.") for number in range(1000)]
    actions.send_events(actor, session, waiting)
    with django_assert_max_num_queries(20):
        page = as_alice.get(url(session))
    shown = page.content.decode()
    assert page.status_code == 200
    assert "Message 999." in shown
    assert len(shown) < 2_000_000  # the latest of them; the rest when asked for
