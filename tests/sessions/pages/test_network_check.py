"""The page that tries to get out of an environment's network."""

from __future__ import annotations

import pytest

from sandbox.egress_check import Finding
from sandbox.errors import EngineUnavailable
from sessions import egress_checks, queue
from sessions.models import EgressCheck


@pytest.fixture
def jobs(monkeypatch):
    """What was asked of the jobs cluster."""
    asked = []
    monkeypatch.setattr(
        queue, "enqueue", lambda name, *args: asked.append((name, *args))
    )
    return asked


def finding(*, is_refused):
    return Finding(
        what="Cloud metadata",
        command="curl <metadata>",
        said="Egress to 169.254.169.254:80 is refused",
        is_refused=is_refused,
    )


def shown(browser, environment):
    return browser.get(f"/environments/{environment.pk}/check").content.decode()


def test_a_check_is_asked_for_and_waited_for(as_alice, environment, jobs):
    assert "Check now" in shown(as_alice, environment)
    answer = as_alice.post(f"/environments/{environment.pk}/check")
    assert answer["location"] == f"/environments/{environment.pk}/check"
    check = EgressCheck.objects.get()
    assert jobs == [("sessions.egress_checks.run", check.pk)]
    assert 'agentsite/check.js"' in shown(as_alice, environment)


@pytest.mark.parametrize(
    ("is_refused", "words"),
    [(True, "Everything was refused"), (False, "reaches what it must not")],
)
def test_what_was_tried_is_shown_with_its_answer(
    as_alice, environment, jobs, monkeypatch, is_refused, words
):
    found = [finding(is_refused=is_refused)]
    monkeypatch.setattr(egress_checks, "found_in", lambda network: found)
    as_alice.post(f"/environments/{environment.pk}/check")
    egress_checks.run(jobs[0][1])
    page = shown(as_alice, environment)
    assert words in page
    assert "Egress to 169.254.169.254:80 is refused" in page
    assert "curl &lt;metadata&gt;" in page
    assert "check.js" not in page


def test_an_engine_that_is_away_is_said(as_alice, environment, jobs, monkeypatch):
    def away(network):
        raise EngineUnavailable("The Docker engine does not answer.")

    monkeypatch.setattr(egress_checks, "found_in", away)
    as_alice.post(f"/environments/{environment.pk}/check")
    egress_checks.run(jobs[0][1])
    assert "The Docker engine does not answer." in shown(as_alice, environment)


def test_only_the_last_checks_are_kept(as_alice, environment, jobs):
    for _ in range(egress_checks.KEPT + 3):
        as_alice.post(f"/environments/{environment.pk}/check")
    assert EgressCheck.objects.count() == egress_checks.KEPT


def test_an_operator_and_a_stranger_may_not(as_bob, as_charlie, environment, jobs):
    here = f"/environments/{environment.pk}/check"
    assert as_bob.post(here).status_code == 403
    assert as_charlie.post(here).status_code == 404
    assert jobs == []
