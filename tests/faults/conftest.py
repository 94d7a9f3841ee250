"""A whole site to break, and the log it leaves behind."""

from __future__ import annotations

import pytest

from tests.faults.records import Log
from tests.site.conftest import agent, client, environment, new_session

__all__ = ["agent", "client", "environment", "new_session"]


@pytest.fixture
def log_of(site):
    """Reads a session's log out of the database itself."""
    return lambda session: Log(site, session.id)
