"""Calls with unknown outcome in the page: their rows, their buttons, the ledger."""

from __future__ import annotations

import pytest

from sessions import actions, log
from sessions.consumers.entries import load
from sessions.consumers.rows import show
from sessions.events import Draft, parse
from sessions.models import Event
from tests.sessions.pages.conftest import text

VERBS = ["look", "run_again", "mark_done"]
JSON = {"HTTP_ACCEPT": "application/json"}


@pytest.fixture
def call(session):
    """The id of a call whose outcome is unknown."""
    use = parse("agent.tool_use", {"name": "bash", "input": {"command": "make deploy"}})
    private = {"model_tool_use_id": "toolu_1"}
    (made,) = log.append(session.pk, [Draft(payload=use, private=private)])
    write(session, "agentsite.tool_started", tool_use_id=made.id)
    write(
        session,
        "agent.tool_result",
        tool_use_id=made.id,
        content=text("It may have happened."),
        is_error=True,
        agentsite_unknown=True,
    )
    return made.id


def write(session, kind, **payload):
    return log.append(session.pk, [Draft(payload=parse(kind, payload))])[0]


def page(browser, session, rest=""):
    return browser.get(f"/sessions/{session.pk}{rest}").content.decode()


def press(browser, session, call, verb, **more):
    path = f"/sessions/{session.pk}/tool_calls/{call}/{verb}"
    return browser.post(path, **more)


def late(session, call, errand, **more):
    said = {"call": "bash", "sender": "alice", "attempt": 2, "outcome": "run_again"}
    return write(
        session,
        "agentsite.tool_late_result",
        tool_use_id=call,
        errand_id=errand.id,
        **{**said, **more},
    )


def test_a_call_with_unknown_outcome_says_so_and_offers_three_ways(
    as_bob, session, call
):
    html = page(as_bob, session)
    assert 'data-state="unknown"' in html
    assert "outcome unknown" in html
    for verb in VERBS:
        assert f'formaction="/sessions/{session.pk}/tool_calls/{call}/{verb}"' in html


def test_a_viewer_sees_no_way_to_press_them(as_viewer, session, call):
    assert 'id="decide"' not in page(as_viewer, session)
    assert "formaction" not in page(as_viewer, session, "/tool_calls")
    for verb in VERBS:
        assert press(as_viewer, session, call, verb).status_code == 403


def test_a_stranger_finds_nothing(as_charlie, session, call):
    before = Event.objects.count()
    for verb in VERBS:
        assert press(as_charlie, session, call, verb).status_code == 404
    assert as_charlie.get(f"/sessions/{session.pk}/tool_calls").status_code == 404
    assert Event.objects.count() == before


def test_a_button_works_as_a_plain_form_and_comes_back_to_its_row(
    as_bob, session, call
):
    answer = press(as_bob, session, call, "mark_done")
    assert answer.status_code == 302
    assert answer["location"] == f"/sessions/{session.pk}?event={call}"
    html = page(as_bob, session)
    assert "Marked as done by bob" in html
    assert "formaction" not in html


def test_what_is_refused_is_said_in_a_sentence(as_bob, session, call):
    press(as_bob, session, call, "mark_done")
    again = press(as_bob, session, call, "mark_done", **JSON)
    assert again.status_code == 400
    assert "is done, by bob" in again.json()["message"]
    press(as_bob, session, call, "run_again")
    assert "only where the outcome is unknown" in page(as_bob, session)


def test_a_row_tells_what_came_of_a_run_however_much_later(
    as_bob, actor, session, call
):
    errand = actions.run_call_again(actor, session, call)
    assert "Alice has it run again, as attempt 2" in page(as_bob, session)
    late(session, call, errand, content=text("deployed at last"))
    html = page(as_bob, session)
    assert "deployed at last" in html
    assert "outcome unknown" not in html
    first = page(as_bob, session, "/earlier?before=4")  # where only the call stands
    assert "deployed at last" in first


def test_a_live_row_is_the_one_of_the_stored_page(actor, session, call):
    number = log.last_number(session.pk)
    errand = actions.run_call_again(actor, session, call)
    late(session, call, errand, content=text("deployed at last"))
    entries = load(session.pk, number, 100)
    show(session.pk, entries)
    rows = [each.row for each in entries if call in (each.row or "")]
    assert len(rows) == 2
    assert all("deployed at last" in row for row in rows)
    assert all(f'id=\\"{call}\\"' in row for row in rows)


def test_a_look_shows_the_newest_files(as_bob, actor, session, call):
    errand = actions.look_at_call(actor, session, call)
    assert "Alice is having it looked at" in page(as_bob, session)
    write(
        session,
        "agentsite.tool_looked",
        tool_use_id=call,
        errand_id=errand.id,
        found="running",
        seconds=65,
        files=["/workspace/report.txt"],
    )
    html = page(as_bob, session)
    assert "is having it looked at" not in html
    assert "it still runs, since 1m 05s" in html
    assert "/workspace/report.txt" in html


def test_the_ledger_lists_each_call_with_what_became_of_it(as_bob, session, call):
    use = {"name": "read", "input": {}, "evaluated_permission": "ask"}
    waiting = write(session, "agent.tool_use", **use)
    html = page(as_bob, session, "/tool_calls")
    assert html.index(waiting.id) < html.index(call), "the newest stands first"
    assert "outcome unknown" in html
    assert "waits for you" in html
    assert f"/tool_calls/{call}/run_again" in html
    write(
        session,
        "user.tool_confirmation",
        tool_use_id=waiting.id,
        result="allow",
        agentsite_sender="Alice",
    )
    press(as_bob, session, call, "mark_done")
    html = page(as_bob, session, "/tool_calls")
    assert "allowed by Alice" in html
    assert "marked as done by bob" in html
    assert "run_again" not in html


def test_the_inspector_gets_the_list_alone(as_bob, session, call):
    path = f"/sessions/{session.pk}/tool_calls"
    html = as_bob.get(path, HTTP_HX_REQUEST="true").content.decode()
    assert html.lstrip().startswith("<ol")


def test_hostile_names_and_words_stay_text(as_bob, session):
    name = "<script>alert(1)</script>"
    made = write(session, "agent.tool_use", name=name, input={})
    lost = {"is_error": True, "agentsite_unknown": True}
    write(session, "agent.tool_result", tool_use_id=made.id, **lost)
    write(
        session,
        "agentsite.tool_looked",
        tool_use_id=made.id,
        errand_id="x",
        found="running",
        files=[name],
    )
    for rest in ("", "/tool_calls"):
        assert name not in page(as_bob, session, rest).split("json")[-1]
