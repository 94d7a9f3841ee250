"""What a session's sandbox is made of."""

from __future__ import annotations

import subprocess

import pytest

from sandbox import image_status
from sandbox.contents import Contents
from sessions.sandboxes import image_name


@pytest.fixture
def home(settings, tmp_path):
    settings.AGENTSITE = settings.AGENTSITE.model_copy(update={"home": tmp_path})
    return tmp_path


def test_a_host_asks_nobody_for_the_name_of_an_image_that_is_ready(home, monkeypatch):
    """pip and npm take seconds, in which a call that lost its worker would wait."""

    def asked(command, **_):
        raise AssertionError(f"{command} was run")

    image_status.write(home, "ready", "", image="agentsite-base:abc")
    monkeypatch.setattr(subprocess, "run", asked)
    assert image_name(Contents()) == "agentsite-base:abc"


def test_an_image_in_the_making_is_called_by_its_recipe(home):
    image_status.write(home, "building", "Fetching Node")
    assert image_name(Contents()).startswith("agentsite")
