"""A whole site to break, on either database, and the log it leaves behind."""

from __future__ import annotations

import pytest

from tests.faults.records import Log, check_site
from tests.faults.stage import Stage
from tests.plugins.site import RunningSite, running_site
from tests.site.conftest import agent, client, environment, new_session

__all__ = ["agent", "client", "environment", "new_session"]

EITHER = ["on_sqlite", pytest.param("on_postgres", marks=pytest.mark.postgres)]


@pytest.fixture(autouse=True)
def nothing_is_left_behind():
    """After each test, on each site that runs: no process and no container of nobody."""
    yield
    for site in RunningSite.running:
        check_site(site)


@pytest.fixture
def log_of(site):
    """Reads a session's log out of the database itself."""
    return lambda session: Log(site, session.id)


@pytest.fixture(scope="session")
def postgres_site(postgres):
    """A second site, the whole of it on PostgreSQL."""
    with running_site(DATABASE_URL=postgres.url) as running:
        yield running


@pytest.fixture(scope="session")
def on_sqlite(site):
    site.wait_for_image()
    stage = Stage(site)
    yield stage
    stage.close()


@pytest.fixture(scope="session")
def on_postgres(postgres_site):
    postgres_site.wait_for_image()
    stage = Stage(postgres_site)
    yield stage
    stage.close()


@pytest.fixture(params=EITHER)
def stage(request):
    """The site on SQLite, and then the one on PostgreSQL."""
    return request.getfixturevalue(request.param)
