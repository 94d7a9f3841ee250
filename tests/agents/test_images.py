"""Images of environments as rows: asked for, claimed, built, shared and forgotten."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from agents import actions, images
from agents.actors import Actor
from agents.environment_params import EnvironmentCreate, EnvironmentUpdate
from agents.errors import Conflict, Forbidden, InvalidRequest
from agents.models import BuildStatus, EnvironmentImage


@pytest.fixture
def owner(workspace):
    return Actor(workspace=workspace, name="Alice", role="owner")


@pytest.fixture
def calls():
    """How often a builder was called for."""
    heard = []

    def hear(**_):
        heard.append(1)

    images.wanted.connect(hear)
    yield heard
    images.wanted.disconnect(hear)


def create(actor, name="books", **packages):
    said = {"type": "cloud", "packages": packages or {"pip": ["six"]}}
    return actions.create_environment(
        actor, EnvironmentCreate.model_validate({"name": name, "config": said})
    )


def update(actor, environment, **packages):
    said = {"config": {"type": "cloud", "packages": packages}}
    return actions.update_environment(
        actor, environment.pk, EnvironmentUpdate.model_validate(said)
    )


def built(tag="agentsite-env:x-1"):
    row = images.claim("here:1")
    images.succeed(row, tag, 100)
    row.refresh_from_db()
    return row


def fresh(row):
    row.refresh_from_db()
    return row


def test_a_new_environment_asks_for_its_image(
    owner, calls, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        environment = create(owner)
    row = images.image_of(environment)
    assert row.status == BuildStatus.QUEUED
    assert row.contents["packages"] == {"pip": ["six"]}
    assert calls == [1]


def test_one_without_packages_needs_none(owner):
    said = EnvironmentCreate.model_validate({"name": "plain"})
    environment = actions.create_environment(owner, said)
    assert images.image_of(environment) is None
    assert not EnvironmentImage.objects.exists()
    with pytest.raises(InvalidRequest, match="nothing to build"):
        images.rebuild(owner, environment.pk)


def test_environments_of_the_same_content_share_one(owner, other_workspace):
    charlie = Actor(workspace=other_workspace, name="Charlie", role="owner")
    first = create(owner, pip=["six", "attrs"])
    row = built()
    second = create(charlie, pip=["attrs", "six"])
    assert EnvironmentImage.objects.get() == row
    assert second.last_image == row
    assert fresh(first).last_image == row


def test_a_changed_environment_keeps_its_last_good_image(owner):
    environment = create(owner)
    good = built()
    changed = update(owner, environment, pip=["six", "nosuch"])
    assert changed.last_image == good
    bad = images.claim("here:1")
    images.fail(bad, "The package nosuch …", layer="pip", package="nosuch")
    assert fresh(changed).last_image == good
    assert images.image_of(changed).package == "nosuch"


def test_a_build_is_claimed_once_and_the_oldest_first(owner):
    create(owner, "one", pip=["six"])
    create(owner, "two", pip=["attrs"])
    first, second = images.claim("here:1"), images.claim("here:2")
    assert first.contents["packages"] == {"pip": ["six"]}
    assert second.contents["packages"] == {"pip": ["attrs"]}
    assert images.claim("here:3") is None


def test_a_builder_that_was_replaced_changes_nothing(owner):
    create(owner)
    row = images.claim("here:1")
    images.put_back_interrupted("here")
    again = images.claim("here:2")
    assert not images.beat(row, "a late word\n")
    images.succeed(row, "late", 1)
    assert fresh(again).status == BuildStatus.BUILDING
    assert images.beat(again, "one\n")
    assert images.beat(again, "two\n")
    assert fresh(again).log == "one\ntwo\n"


def test_a_build_whose_worker_keeps_dying_fails_in_the_end(owner):
    create(owner)
    for _ in range(images.ATTEMPTS):
        row = images.claim("here:1")
        images.put_back_interrupted("here")
    assert fresh(row).status == BuildStatus.FAILED
    assert "interrupted 3 times" in row.reason


def test_a_living_builder_elsewhere_is_left_alone_and_a_silent_one_is_not(owner):
    create(owner)
    row = images.claim("there:1")
    images.put_back_interrupted("here")
    assert fresh(row).status == BuildStatus.BUILDING
    EnvironmentImage.objects.update(beat_at=timezone.now() - timedelta(minutes=5))
    images.put_back_interrupted("here")
    assert fresh(row).status == BuildStatus.QUEUED


def test_what_is_no_fault_of_the_build_does_not_count(owner):
    create(owner)
    for _ in range(images.ATTEMPTS + 1):
        images.put_back(images.claim("here:1"), "No engine answers.")
    row = EnvironmentImage.objects.get()
    assert (row.status, row.reason) == (BuildStatus.QUEUED, "No engine answers.")


def test_a_rebuild_makes_every_layer_anew_and_keeps_the_old_image(owner):
    environment = create(owner)
    row = built()
    assert images.rebuild(owner, environment.pk).fresh
    assert fresh(row).image
    with pytest.raises(Conflict, match="is being built"):
        images.rebuild(owner, environment.pk)
    assert not built().fresh


def test_a_build_is_stopped_by_name(owner):
    environment = create(owner)
    row = images.claim("here:1")
    assert (
        images.stop(owner, environment.pk).reason == "The build was stopped by Alice."
    )
    assert not images.beat(row, "")
    with pytest.raises(Conflict, match="no build"):
        images.stop(owner, environment.pk)


def test_who_may_not_build_neither_rebuilds_nor_stops(owner, workspace):
    environment = create(owner)
    bob = Actor(workspace=workspace, name="Bob", role="operator")
    for act in (images.rebuild, images.stop):
        with pytest.raises(Forbidden):
            act(bob, environment.pk)


def test_saving_again_tries_a_failed_image_again(owner):
    environment = create(owner)
    images.fail(images.claim("here:1"), "The registry was away.")
    update(owner, environment, pip=["six"])
    assert images.image_of(environment).status == BuildStatus.QUEUED


def test_an_image_that_an_engine_lost_is_built_again(owner):
    create(owner)
    row = built("agentsite-env:x-1")
    images.lost("agentsite-env:x-1")
    assert (fresh(row).status, row.image) == (BuildStatus.QUEUED, "")


def test_only_what_nobody_uses_is_forgotten(owner):
    used, left = (
        create(owner, "used", pip=["six"]),
        create(owner, "left", pip=["attrs"]),
    )
    in_session = create(owner, "session", pip=["iniconfig"])
    for _ in range(3):
        built()
    for environment in (left, in_session):
        actions.delete_environment(owner, environment.pk)
    young = images.forget_unused({in_session.content_hash})
    assert len(young) == 3
    long_ago = timezone.now() - images.KEPT_FOR - timedelta(hours=1)
    EnvironmentImage.objects.update(finished_at=long_ago)
    images.forget_unused({in_session.content_hash})
    kept = {row.content_hash for row in EnvironmentImage.objects.all()}
    assert kept == {used.content_hash, in_session.content_hash}
