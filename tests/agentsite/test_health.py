"""Health names each part, and says what to do about the one that is missing."""

from __future__ import annotations

import pytest

from agentsite import engine, health
from agentsite.health import Part
from sandbox import image_status
from sessions.queue import heartbeat

pytestmark = pytest.mark.django_db


@pytest.fixture
def all_well(monkeypatch):
    """A site of which every part answers."""
    fine = Part(ok=True, state="ready", detail="")
    names = [name for name, _ in health.checks()]
    monkeypatch.setattr(
        health, "checks", lambda: iter((name, lambda: fine) for name in names)
    )
    return names


def test_it_is_ready_when_every_part_is(client, all_well):
    answer = client.get("/healthz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ready"
    assert list(answer.json()["parts"]) == all_well


def test_it_needs_no_key_and_is_never_cached(client, all_well):
    assert "no-store" in client.get("/healthz")["Cache-Control"]


def test_nothing_but_looking_is_allowed(client, all_well):
    assert client.post("/healthz").status_code == 405


def test_it_is_not_ready_while_one_part_is_missing(client, all_well, monkeypatch):
    missing = Part(ok=False, state="down", detail="The bus does not answer.")
    monkeypatch.setattr(health, "checks", lambda: iter([("bus", lambda: missing)]))
    answer = client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json()["parts"]["bus"]["detail"] == "The bus does not answer."


def test_an_engine_that_is_away_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    part = dict(health.checks())["engine"]()
    assert not part.ok
    assert engine.address() in part.detail


def test_a_queue_that_nobody_looks_at_is_named(tmp_path, settings):
    beat = heartbeat("default")
    beat.unlink(missing_ok=True)
    part = dict(health.checks())["queue"]()
    assert not part.ok
    assert "No worker of default" in part.detail


def test_a_bus_that_is_away_is_named():
    part = dict(health.checks())["bus"]()
    assert not part.ok
    assert "REDIS_URL" in part.detail


@pytest.mark.parametrize(
    ("state", "ok"), [("building", True), ("ready", True), ("failed", False)]
)
def test_an_image_in_the_making_turns_nobody_away(settings, tmp_path, state, ok):
    settings.AGENTSITE = settings.AGENTSITE.model_copy(update={"home": tmp_path})
    image_status.write(tmp_path, state, "Fetching Node")
    part = dict(health.checks())["image"]()
    assert part.ok is ok
    if state == "building":
        assert "Fetching Node" in part.detail
