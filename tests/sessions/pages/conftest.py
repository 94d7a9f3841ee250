"""Browsers of the cast, and a way to write history."""

from __future__ import annotations

import pytest

from sessions import log
from sessions.events import Draft, parse
from tests.conftest import browser_of


@pytest.fixture
def as_viewer(bob):
    bob.memberships.update(role="viewer")
    return browser_of(bob)


@pytest.fixture
def write(session):
    """Appends an event to the session, as the platform would; returns its record."""

    def append(kind, queued=False, **payload):
        draft = Draft(payload=parse(kind, payload), queued=queued)
        return log.append(session.pk, [draft])[0]

    return append


def text(words):
    return [{"type": "text", "text": words}]
