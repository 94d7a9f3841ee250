"""Home, the list of sessions, and starting one."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from sessions import actions
from sessions.models import Event, Session


@pytest.fixture
def two(actor, agent, environment):
    """One idle session and one that runs."""
    made = [
        actions.create_session(
            actor, agent=agent.latest, environment=environment, title=title
        )
        for title in ("Close November", "Audit the parser")
    ]
    Session.objects.filter(pk=made[1].pk).update(status="running")
    return made


def titles(answer):
    page = answer.content.decode()
    return {name for name in ("Close November", "Audit the parser") if name in page}


def test_an_empty_home_shows_three_steps(as_alice):
    page = as_alice.get("/").content.decode()
    assert "Three steps" in page
    assert "scripted-demo" in page


def test_home_shows_what_runs_and_what_was(as_alice, two):
    answer = as_alice.get("/")
    assert [each.title for each in answer.context["running"]] == ["Audit the parser"]
    assert [each.title for each in answer.context["recent"]] == ["Close November"]


def test_home_puts_first_what_stopped_short(as_alice, two):
    reason = {"type": "retries_exhausted"}
    Session.objects.filter(pk=two[0].pk).update(stop_reason=reason)
    answer = as_alice.get("/")
    assert [each.title for each in answer.context["needs"]] == ["Close November"]
    assert not answer.context["recent"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {"Close November", "Audit the parser"}),
        ("?status=running", {"Audit the parser"}),
        ("?status=idle", {"Close November"}),
        ("?q=novem", {"Close November"}),
        ("?q=bookkeeper", {"Close November", "Audit the parser"}),
        ("?q=nothing", set()),
        ("?archived=1", set()),
        ("?status=nonsense&page=zero", {"Close November", "Audit the parser"}),
        ("?agent=agent_other", set()),
    ],
)
def test_filters_are_in_the_address(as_alice, two, query, found):
    assert titles(as_alice.get(f"/sessions{query}")) == found


def test_the_filter_of_an_open_page_gets_only_the_rows(as_alice, two):
    answer = as_alice.get("/sessions?q=novem", HTTP_HX_REQUEST="true")
    assert "<html" not in answer.content.decode()
    assert titles(answer) == {"Close November"}


def test_other_workspaces_list_their_own(as_charlie, two):
    assert titles(as_charlie.get("/sessions")) == set()
    assert titles(as_charlie.get("/")) == set()


def said(agent, environment, **more):
    return {"agent": agent.pk, "environment": environment.pk, **more}


def test_an_operator_starts_a_session_with_message_and_files(
    as_bob, agent, environment
):
    ledger = SimpleUploadedFile("ledger.csv", b"a,b\n1,2\n")
    notes = SimpleUploadedFile("notes.txt", b"Hm.")
    sent = said(
        agent, environment, title="Close", message="Go.", uploads=[ledger, notes]
    )
    answer = as_bob.post("/sessions/new", sent)
    session = Session.objects.get()
    assert answer["location"] == f"/sessions/{session.pk}"
    assert (session.title, session.status) == ("Close", "running")
    assert session.created_by == "bob"
    paths = set(session.resources.values_list("mount_path", flat=True))
    uploads = "/mnt/session/uploads"
    assert paths == {f"{uploads}/ledger.csv", f"{uploads}/notes.txt"}
    assert "ledger.csv" in as_bob.get(f"/sessions/{session.pk}").content.decode()


def test_a_session_without_a_message_waits(as_bob, agent, environment):
    as_bob.post("/sessions/new", said(agent, environment))
    assert Session.objects.get().status == "idle"
    assert not Event.objects.filter(type="user.message").exists()


def test_two_files_of_one_name_are_refused_and_nothing_starts(
    as_bob, agent, environment
):
    files = [SimpleUploadedFile("a.txt", b"1"), SimpleUploadedFile("a.txt", b"2")]
    answer = as_bob.post("/sessions/new", said(agent, environment, uploads=files))
    assert answer.status_code == 422
    assert "a.txt" in answer.content.decode()
    assert not Session.objects.exists()


@pytest.mark.parametrize(
    "change", [{"version": "7"}, {"version": "zero"}, {"agent": "agent_x"}]
)
def test_a_wrong_choice_is_explained(as_bob, agent, environment, change):
    answer = as_bob.post("/sessions/new", said(agent, environment) | change)
    assert answer.status_code in {404, 422}
    assert not Session.objects.exists()


def test_agents_of_another_workspace_cannot_be_run(as_charlie, agent, environment):
    answer = as_charlie.post("/sessions/new", said(agent, environment))
    assert answer.status_code == 422
    assert not Session.objects.exists()


def test_a_viewer_starts_nothing(as_viewer, agent, environment):
    assert as_viewer.get("/sessions/new").status_code == 403
    answer = as_viewer.post("/sessions/new", said(agent, environment))
    assert answer.status_code == 403


def test_without_an_agent_the_page_says_what_comes_first(as_alice):
    assert "An agent comes first" in as_alice.get("/sessions/new").content.decode()


def test_a_session_starts_with_a_budget_in_dollars(as_bob, agent, environment, prices):
    as_bob.post("/sessions/new", said(agent, environment, budget="2.50"))
    assert Session.objects.get().budget == 250


@pytest.mark.parametrize("budget", ["0", "-1", "1.005", "much"])
def test_a_budget_that_is_no_amount_is_explained(as_bob, agent, environment, budget):
    answer = as_bob.post("/sessions/new", said(agent, environment, budget=budget))
    assert answer.status_code == 422
    assert not Session.objects.exists()


def test_a_budget_for_a_model_without_a_price_is_explained(
    as_bob, agent, environment, prices
):
    from agents.models import ModelPrice

    ModelPrice.objects.all().delete()
    answer = as_bob.post("/sessions/new", said(agent, environment, budget="1"))
    assert answer.status_code == 422
    assert "no list price" in answer.content.decode()
