"""What a session costs and may cost, on its page."""

from __future__ import annotations

import json
import re

import pytest

from agents.models.price import CENT
from sessions.models import Session

pytestmark = pytest.mark.usefixtures("prices")

JSON = {"HTTP_ACCEPT": "application/json"}


@pytest.fixture
def capped(session):
    usage = {"input_tokens": 9, "picodollars": 12 * CENT}
    Session.objects.update(budget=500, usage=usage)
    session.refresh_from_db()
    return session


def page(browser, session):
    return browser.get(f"/sessions/{session.pk}").content.decode()


def meter(html):
    found = re.search(
        r'<span class="meter[^>]*id="cost-meter".*?(?=<span class="meter")',
        html,
        re.DOTALL,
    )
    return re.sub(r"<[^>]+>", "", found[0]).strip()


def state(html):
    return json.loads(re.search(r'id="session-state"[^>]*>(.*?)</script>', html)[1])


def change(browser, session, **said):
    return browser.post(f"/sessions/{session.pk}/budget", said, **JSON)


def test_the_header_says_the_cost_and_the_budget(as_bob, capped):
    html = page(as_bob, capped)
    assert meter(html) == "Cost $0.12 of $5.00"
    assert (state(html)["cost"], state(html)["budget"]) == ("$0.12", "$5.00")


def test_a_cost_that_is_unknown_is_not_shown_as_nothing(as_bob, capped):
    Session.objects.update(usage={"input_tokens": 9, "picodollars": None})
    html = page(as_bob, capped)
    assert state(html)["cost"] == ""
    assert re.search(r'id="cost-meter"[^>]* hidden', html)


def test_the_budget_is_raised_and_the_row_says_so(as_bob, capped):
    assert change(as_bob, capped, budget="7.50").status_code == 200
    html = page(as_bob, capped)
    assert "The budget is now $7.50." in html
    assert meter(html) == "Cost $0.12 of $7.50"


def test_the_budget_is_removed_and_the_row_says_so(as_bob, capped):
    as_bob.post(f"/sessions/{capped.pk}/budget/remove")
    html = page(as_bob, capped)
    assert "The budget was removed." in html
    assert f'action="/sessions/{capped.pk}/budget"' not in html


@pytest.mark.parametrize("budget", ["", "0", "1.001", "0.12"])
def test_what_is_no_raise_is_refused_in_a_sentence(as_bob, capped, budget):
    answer = change(as_bob, capped, budget=budget)
    assert answer.status_code == 400
    assert len(answer.json()["message"]) > 20
    assert Session.objects.get().budget == 500


@pytest.mark.parametrize("rest", ["", "/remove"])
def test_only_who_may_run_it_changes_it(as_charlie, capped, rest):
    path = f"/sessions/{capped.pk}/budget{rest}"
    assert as_charlie.post(path, {"budget": "9"}).status_code == 404
    assert as_charlie.get(path).status_code == 405
    assert Session.objects.get().budget == 500


def test_a_viewer_sees_it_and_does_not_change_it(as_viewer, capped):
    assert "Budget" in page(as_viewer, capped)
    assert f'action="/sessions/{capped.pk}/budget"' not in page(as_viewer, capped)
    assert change(as_viewer, capped, budget="9").status_code == 403
