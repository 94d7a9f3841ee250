"""The cast and the rows most tests begin with."""

from __future__ import annotations

import pytest

pytest_plugins = [
    "tests.plugins.postgres",
    "tests.plugins.site",
    "tests.plugins.engine",
]


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup):
    """PostgreSQL drops no database that somebody is connected to."""
    yield
    from asgiref.sync import SyncToAsync
    from django.db import connections

    SyncToAsync.single_thread_executor.submit(connections.close_all).result()


@pytest.fixture
def workspace(db):
    from agents.models import Workspace

    return Workspace.objects.create(name="Books")


@pytest.fixture
def prices(db):
    """Prices as a new site has them; tests that empty tables take them along."""
    from agents.models import ModelPrice, UnitPrice

    kinds = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
    scripted = dict(zip(kinds, ("5", "25", "0.5", "6.25", "10"), strict=True))
    ModelPrice.objects.update_or_create(model="scripted-*", defaults=scripted)
    for unit, price in (("running_hour", 0), ("web_searches", 10)):
        UnitPrice.objects.update_or_create(unit=unit, defaults={"price": price})


@pytest.fixture
def other_workspace(db):
    from agents.models import Workspace

    return Workspace.objects.create(name="Elsewhere")


def _user(name, workspace, role):
    from django.contrib.auth.models import User

    from agents.models import Member

    user = User.objects.create_user(name, f"{name}@example.org", "password")
    Member.objects.create(workspace=workspace, user=user, role=role)
    return user


@pytest.fixture
def alice(workspace):
    """Alice owns the workspace."""
    return _user("alice", workspace, "owner")


@pytest.fixture
def bob(workspace):
    """Bob may start and steer sessions."""
    return _user("bob", workspace, "operator")


@pytest.fixture
def charlie(other_workspace):
    """Charlie owns another workspace and has no access here."""
    return _user("charlie", other_workspace, "owner")


def browser_of(user):
    from django.test import Client

    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def as_alice(alice):
    return browser_of(alice)


@pytest.fixture
def as_bob(bob):
    return browser_of(bob)


@pytest.fixture
def as_charlie(charlie):
    return browser_of(charlie)


@pytest.fixture
def api_key(workspace):
    from agents.models import ApiKey

    return ApiKey.issue(workspace, "tests")[1]


@pytest.fixture
def other_api_key(other_workspace):
    from agents.models import ApiKey

    return ApiKey.issue(other_workspace, "tests")[1]
