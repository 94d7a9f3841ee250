"""/v1/environments with packages, and /v1/environments/{id}/image."""

from __future__ import annotations

import pytest

from agents import images
from agents.models import ApiKey, Environment


@pytest.fixture
def call(client, api_key):
    def send(method, path, body=None, key=api_key):
        return client.generic(
            method,
            f"/v1/environments{path}",
            data=body or "",
            content_type="application/json",
            headers={"authorization": f"Bearer {key}"},
        )

    return send


@pytest.fixture
def six(call):
    body = '{"name": "six", "config": {"type": "cloud", "packages": {"pip": ["six"]}}}'
    return Environment.objects.get(pk=call("POST", "", body).json()["id"])


def test_an_answer_spells_every_list_and_no_field_that_nobody_set(call, six):
    config = call("GET", f"/{six.pk}").json()["config"]
    assert set(config) == {"type", "networking", "packages"}
    assert config["packages"]["pip"] == ["six"]
    assert config["packages"]["apt"] == []


def test_the_image_tells_how_far_it_is(call, six):
    path = f"/{six.pk}/image"
    queued = call("GET", path).json()
    assert (queued["status"], queued["image"], queued["last_good"]) == (
        "queued",
        None,
        None,
    )
    row = images.claim("here:1")
    images.beat(row, "== pip: six\n")
    assert call("GET", path).json()["status"] == "building"
    images.succeed(row, "agentsite-env:x-1", 7)
    ready = call("GET", path).json()
    assert (ready["status"], ready["size_bytes"]) == ("ready", 7)
    assert ready["last_good"]["image"] == "agentsite-env:x-1"


def test_a_failed_package_is_named(call, six):
    images.fail(images.claim("here:1"), "The package six …", layer="pip", package="six")
    failed = call("GET", f"/{six.pk}/image").json()
    assert failed["reason"] == "The package six …"
    assert failed["failed"] == {"layer": "pip", "package": "six"}


def test_the_log_is_read_on_from_where_one_was(call, six):
    row = images.claim("here:1")
    images.beat(row, "one\n")
    first = call("GET", f"/{six.pk}/image/log").json()
    assert (first["text"], first["next"], first["done"]) == ("one\n", 4, False)
    images.beat(row, "two\n")
    images.fail(row, "why")
    rest = call("GET", f"/{six.pk}/image/log?after=4").json()
    assert (rest["text"], rest["done"]) == ("two\n", True)
    assert call("GET", f"/{six.pk}/image/log?after={10**20}").status_code == 400


def test_a_plain_environment_has_the_base_image_s_state(call):
    body = '{"name": "plain"}'
    environment_id = call("POST", "", body).json()["id"]
    answer = call("GET", f"/{environment_id}/image").json()
    assert (answer["content_hash"], answer["status"]) == (None, "queued")
    assert call("GET", f"/{environment_id}/image/log").json()["text"] == ""
    refused = call("POST", f"/{environment_id}/image/rebuild", "{}")
    assert refused.status_code == 400
    assert "nothing to build" in refused.json()["error"]["message"]


def test_a_build_is_stopped_and_asked_for_again(call, six):
    stopped = call("POST", f"/{six.pk}/image/stop", "{}").json()
    assert (stopped["status"], stopped["reason"]) == (
        "failed",
        "The build was stopped by tests.",
    )
    assert call("POST", f"/{six.pk}/image/stop", "{}").status_code == 409
    assert call("POST", f"/{six.pk}/image/rebuild", "{}").json()["status"] == "queued"


def test_who_may_only_look_only_looks(call, six, workspace):
    _, key = ApiKey.issue(workspace, "viewer", role="viewer")
    assert call("GET", f"/{six.pk}/image", key=key).status_code == 200
    for act in ("rebuild", "stop"):
        assert call("POST", f"/{six.pk}/image/{act}", "{}", key=key).status_code == 403


def test_another_workspace_s_image_is_not_there(call, six, other_api_key):
    for path in ("image", "image/log"):
        answer = call("GET", f"/{six.pk}/{path}", key=other_api_key)
        assert answer.status_code == 404


def test_a_package_that_is_none_is_refused_by_its_path(call):
    body = '{"name": "x", "config": {"type": "cloud", "packages": {"pip": ["a;b"]}}}'
    refused = call("POST", "", body)
    assert refused.status_code == 400
    message = refused.json()["error"]["message"]
    assert message.startswith("config.packages.pip: 'a;b' is no pip package: write ")
