"""Who lives: seen by a lock and a clock that nobody sets."""

from __future__ import annotations

import time

import pytest
from django.db import connection

from sessions import liveness
from sessions.liveness import Liveness

pytestmark = pytest.mark.django_db


@pytest.fixture
def host():
    host = Liveness(f"boot:{liveness.place()}:one")
    host.begin()
    yield host
    host.end()


def names():
    return [said["host"] for said in liveness.alive()]


def test_a_host_that_beats_is_alive(host):
    assert names() == [host.host]
    assert not host.is_dead(host.host)


def test_setting_the_clock_kills_nobody(host, monkeypatch):
    ahead = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: ahead)
    assert names() == [host.host]


def test_files_of_the_dead_are_forgotten_and_those_of_the_living_kept(host):
    left = liveness.hosts_dir() / "boot-gone.json"
    left.write_text("{}")
    assert liveness.forget_dead() == 1
    assert not left.exists()
    assert names() == [host.host]


def test_a_host_that_ended_is_dead(host):
    other = Liveness(f"boot:{liveness.place()}:two")
    other.begin()
    other.end()
    assert names() == [host.host]
    assert host.is_dead(other.host)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite is one machine")
def test_a_host_of_another_machine_may_take_its_lock_anew_before_it_is_called_dead(
    host, monkeypatch
):
    elsewhere = "boot:elsewhere:one"
    assert not host.is_dead(elsewhere)
    now = liveness._now()
    monkeypatch.setattr(liveness, "_now", lambda: now + liveness.RELOCK_SECONDS + 1)
    assert host.is_dead(elsewhere)
