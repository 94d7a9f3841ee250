"""Environments with packages on a whole site: built by a job, used by a session."""

from __future__ import annotations

import uuid

import pytest

from tests.site.conftest import bash, follow, results

pytestmark = [pytest.mark.site, pytest.mark.docker]


@pytest.fixture
def with_packages(client):
    def make(**config):
        return client.beta.environments.create(
            name=f"tests {uuid.uuid4().hex[:8]}", config={"type": "cloud", **config}
        )

    return make


def image(client, environment, path=""):
    return client.get(f"/v1/environments/{environment.id}/image{path}", cast_to=object)


def test_a_session_waits_for_its_packages_and_can_use_them(
    site, client, with_packages, new_session_in
):
    site.wait_for_image()
    environment = with_packages(packages={"pip": ["iniconfig==2.0.0"]})
    use = bash("python3 -c 'import iniconfig; print(iniconfig.__file__)'")
    session = new_session_in(environment, {"tools": [use]})
    events = follow(client, session.id)
    assert "dist-packages/iniconfig" in results(events)[0]
    ready = image(client, environment)
    assert (ready["status"], ready["failed"]) == ("ready", None)
    log = image(client, environment, "/log")
    assert log["done"]
    assert "Successfully installed iniconfig-2.0.0" in log["text"]
    # That it was queued first is seen only by who looks in that moment.
    waited = f"Waiting for the image of environment {environment.id}: it is being built"
    assert waits(client, session)[-1] == waited


def test_a_package_that_cannot_be_had_names_itself(
    site, client, with_packages, new_session_in
):
    site.wait_for_image()
    environment = with_packages(packages={"pip": ["iniconfig==99.0", "six"]})
    session = new_session_in(environment, {"tools": [bash("echo never")]})
    events = follow(client, session.id)
    assert (
        "The package iniconfig==99.0 (pip) could not be installed" in results(events)[0]
    )
    failed = image(client, environment)
    assert failed["status"] == "failed"
    assert failed["failed"] == {"layer": "pip", "package": "iniconfig==99.0"}
    assert "iniconfig==99.0" in failed["reason"]


def waits(client, session):
    found = client.get(
        f"/v1/sessions/{session.id}/events?include=agentsite&limit=100", cast_to=object
    )
    return [
        event["reason"]
        for event in found["data"]
        if event["type"] == "agentsite.waiting" and not event["over"]
    ]
