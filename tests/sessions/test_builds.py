"""The job that builds images: every ending is told, and one runs at a time."""

from __future__ import annotations

import fcntl

import pytest
from django.conf import settings

from agents import images
from agents.models import BuildStatus, EnvironmentImage
from sandbox.build import Built
from sandbox.errors import EngineUnavailable, LayerFailed
from sessions import builds


class FakeBuilder:
    """Says some lines and ends as it is told."""

    site = "site"

    def __init__(self, ending=None, lines=("== pip: six",), meanwhile=None):
        self.ending = ending
        self.lines = lines
        self.meanwhile = meanwhile or (lambda: None)
        self.freshness = []
        self.kept = None

    def is_here(self, tag):
        return True

    def build(self, contents, base, progress, *, fresh):
        self.freshness.append(fresh)
        for line in self.lines:
            progress.say(line)
        self.meanwhile()
        progress._due = 0
        progress.beat()
        if self.ending:
            raise self.ending
        return Built(tag=contents.image(self.site, "base"), size_bytes=7)

    def prune(self, keep):
        self.kept = keep
        return []


@pytest.fixture
def row(db):
    return images.want({"packages": {"pip": ["six"]}})


def build(builder, row):
    builds.build_next(builder)
    row.refresh_from_db()
    return row


def test_a_build_that_succeeds_keeps_its_log_and_size(row):
    done = build(FakeBuilder(), row)
    assert (done.status, done.size_bytes) == (BuildStatus.READY, 7)
    assert done.log == f"== pip: six\n== done: {done.image}\n"


def test_a_failed_package_is_kept_by_name(row):
    ending = LayerFailed("The package six …", layer="pip", package="six")
    failed = build(FakeBuilder(ending), row)
    assert (failed.status, failed.layer, failed.package) == ("failed", "pip", "six")
    assert failed.reason == "The package six …"
    assert failed.log.endswith("== The package six …\n")


def test_an_engine_that_is_away_leaves_the_build_queued_with_the_reason(row):
    waiting = build(FakeBuilder(EngineUnavailable("No Docker engine answers.")), row)
    assert waiting.status == BuildStatus.QUEUED
    assert "No Docker engine answers." in waiting.reason


def test_our_own_fault_is_no_stuck_build(row):
    failed = build(FakeBuilder(RuntimeError("a bug")), row)
    assert failed.status == BuildStatus.FAILED
    assert row.pk in failed.reason


def test_a_stopped_build_ends_and_its_stop_is_the_last_word(row):
    def stop():
        EnvironmentImage.objects.update(status=BuildStatus.FAILED, reason="Stopped.")

    stopped = build(FakeBuilder(meanwhile=stop), row)
    assert (stopped.status, stopped.reason) == (BuildStatus.FAILED, "Stopped.")


def test_nobody_builds_while_another_worker_of_this_machine_does(row):
    lock = settings.AGENTSITE.runtime_dir / "build.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert build(FakeBuilder(), row).status == BuildStatus.QUEUED
    assert build(FakeBuilder(), row).status == BuildStatus.READY


def test_what_a_killed_worker_left_is_built_again(row):
    images.claim(f"{builds.place()}:1")
    assert build(FakeBuilder(), row).status == BuildStatus.READY


def test_the_next_build_is_asked_for(row, monkeypatch):
    asked = []
    monkeypatch.setattr(builds, "ask_for_a_builder", lambda: asked.append(1))
    images.want({"packages": {"pip": ["attrs"]}})
    builds.build_next(FakeBuilder())
    assert asked == [1]
    builds.build_next(FakeBuilder())
    assert asked == [1]


def test_a_long_log_keeps_its_beginning_and_its_end(row):
    lines = [f"line {n:06}" for n in range(40_000)]
    log = build(FakeBuilder(lines=lines), row).log
    assert len(log) < builds.LOG_CHARACTERS + 2000
    assert log.startswith("line 000000\n")
    assert "line 039999\n== done" in log
    assert "the middle of a long log is left out" in log


def test_pruning_keeps_every_layer_of_what_is_used(row, workspace):
    builder = FakeBuilder()
    built = build(builder, row)
    builds.prune(builder)
    assert built.image in builder.kept
