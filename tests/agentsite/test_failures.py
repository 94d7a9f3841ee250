"""The page of a failure says whether it passes, and needs no database to say so."""

from __future__ import annotations

import pytest
from django.db import OperationalError

pytestmark = pytest.mark.django_db


@pytest.fixture
def failing(as_alice, monkeypatch):
    """Alice's browser, at a site whose home page raises what it is given."""

    def get(error):
        def broken(*_):
            raise error

        monkeypatch.setattr("agents.models.Member.may", broken)
        as_alice.raise_request_exception = False
        return as_alice.get("/", headers={"accept": "text/html"})

    return get


def test_an_outage_is_a_503_that_offers_to_try_again(failing):
    response = failing(OperationalError("database is locked"))
    assert response.status_code == 503
    assert response["retry-after"]
    assert b"cannot reach its database" in response.content
    assert b"Try again" in response.content


def test_any_other_failure_is_our_fault(failing):
    response = failing(RuntimeError("broken"))
    assert response.status_code == 500
    assert b"This is our fault" in response.content
