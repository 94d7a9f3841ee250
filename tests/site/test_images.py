"""Environments with packages on a whole site: built by a job, used by a session."""

from __future__ import annotations

import os
import signal
import uuid

import pytest

from tests.site.conftest import bash, follow, results, script
from tests.site.processes import holders

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


def test_a_build_whose_worker_is_killed_is_built_by_another(
    site, client, with_packages
):
    site.wait_for_image()
    slow = with_packages(setup_script="echo begun; sleep 5; echo finished")
    site.wait(lambda: "begun" in image(client, slow, "/log")["text"])
    (worker,) = holders(site.runtime_dir / "build.lock")
    os.kill(worker, signal.SIGKILL)
    with_packages(setup_script="true")  # asks for a builder, as the next minute does
    site.wait(lambda: image(client, slow)["status"] == "ready")
    text = image(client, slow, "/log")["text"]
    assert text.count("begun") == 1
    assert "finished" in text
    assert builds_left(site) == []


def test_a_stopped_build_ends_its_container(site, client, with_packages):
    site.wait_for_image()
    endless = with_packages(setup_script="echo begun; sleep 600")
    site.wait(lambda: "begun" in image(client, endless, "/log")["text"])
    client.post(f"/v1/environments/{endless.id}/image/stop", cast_to=object, body={})
    site.wait(lambda: builds_left(site) == [])
    assert image(client, endless)["status"] == "failed"


def test_what_an_environment_says_holds_in_its_sandboxes(
    site, client, with_packages, new_session_in
):
    site.wait_for_image()
    environment = with_packages(
        variables={"TEAM": "books"},
        limits={"cpus": 0.5, "memory_mb": 256, "pids": 99, "tmp_mb": 20, "command_seconds": 2},
        root=True,
    )  # fmt: skip
    look = "echo $TEAM; id -u; cat /sys/fs/cgroup/{memory/memory.limit_in_bytes,memory.max} 2>/dev/null; df -m /tmp | tail -1"
    session = new_session_in(environment, {"tools": [bash(look), bash("sleep 60")]})
    said, cut = results(follow(client, session.id))
    assert said.split()[:3] == ["books", "0", str(256 * 1024 * 1024)]
    assert said.split()[4] == "20"
    assert "2 s" in cut
    client.beta.environments.update(
        environment.id, config={"type": "cloud", "variables": {"TEAM": "others"}}
    )
    again = script({"tools": [bash("echo $TEAM")]})
    client.beta.sessions.events.send(session.id, events=[again])
    site.wait(lambda: client.beta.sessions.retrieve(session.id).status == "idle")
    told = list(client.beta.sessions.events.list(session.id))
    assert results(told)[-1].strip() == "books"


def builds_left(site):
    with site.engine() as client:
        found = client.containers.list(all=True, filters={"name": f"{site.name}-build"})
        return [container.name for container in found]
