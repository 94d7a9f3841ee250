"""Which image a session's sandbox is made of, and what it says meanwhile."""

from __future__ import annotations

import pytest

from agents import images as rows
from agents.models import BuildStatus, EnvironmentImage
from sandbox.contents import Contents
from sandbox.errors import ProvisionFailed
from sessions import images

SIX = {"packages": {"pip": ["six"]}}
WRONG = {"packages": {"pip": ["six", "nosuch"]}}


def name_of(contents):
    return contents.image("site", "base:1")


def choose(session):
    session.refresh_from_db()
    return images.choose(session, name_of)


def built(config):
    row = rows.want(config)
    row = rows.claim("here:1") or row
    rows.succeed(row, name_of(Contents.of(config)), 1)
    return EnvironmentImage.objects.get(pk=row.pk)


@pytest.fixture
def in_six(session):
    """A session in an environment with one package."""
    session.environment_config = SIX
    session.save()
    session.environment.content_hash = rows.content_hash(SIX)
    session.environment.save()
    return session


def test_without_packages_it_is_the_base_image(session):
    assert choose(session) == images.Choice(image="base:1")


def test_a_session_says_how_far_the_build_is(in_six):
    assert choose(in_six).waits.endswith("its build is queued")
    row = rows.claim("here:1")
    assert choose(in_six).waits.endswith("it is being built")
    rows.put_back(row, "No engine answers.")
    assert choose(in_six).waits.endswith(f"{in_six.environment_id}: No engine answers.")


def test_a_built_image_is_used_without_a_word(in_six):
    row = built(SIX)
    assert choose(in_six) == images.Choice(image=row.image)


def test_a_failed_build_says_why(in_six):
    rows.want(SIX)
    rows.fail(rows.claim("here:1"), "The package six (pip) could not be installed: why")
    with pytest.raises(
        ProvisionFailed, match=r"was not built\. The package six \(pip\)"
    ):
        choose(in_six)


def test_the_last_good_image_stands_in_while_the_new_one_is_not_ready(in_six):
    good = built(SIX)
    in_six.environment_config = WRONG
    in_six.save()
    waiting = choose(in_six)
    assert (waiting.image, waiting.waits) == (good.image, "")
    assert "is not ready yet: this sandbox is made of the last good one" in waiting.note
    rows.fail(rows.claim("here:1"), "The package nosuch could not be installed")
    failed = choose(in_six)
    assert failed.image == good.image
    assert "failed (The package nosuch could not be installed)" in failed.note


def test_another_base_asks_for_a_new_build_and_uses_the_old_one_meanwhile(in_six):
    row = built(SIX)
    EnvironmentImage.objects.update(image="agentsite-env:older")
    choice = choose(in_six)
    assert choice.image == "agentsite-env:older"
    row.refresh_from_db()
    assert row.status == BuildStatus.QUEUED
