"""Whatever breaks inside, the caller gets the envelope and an id that is logged."""

from __future__ import annotations

import errno
import logging

import pytest
from django.db import InterfaceError, OperationalError

from agents.models import ApiKey

ENDPOINT = "agents.http.endpoint"


def get(client, key, path="/v1/agents"):
    return client.get(path, headers={"authorization": f"Bearer {key}"})


def test_a_fault_is_answered_with_the_id_that_is_in_the_log(
    client, api_key, monkeypatch, caplog
):
    def broken(**options):
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr("agents.api.agents.paginate", broken)
    with caplog.at_level(logging.ERROR, ENDPOINT):
        response = get(client, api_key)
    assert response.status_code == 500
    error = response.json()
    assert error["error"]["type"] == "api_error"
    assert "secret" not in error["error"]["message"]
    assert error["request_id"] == response["request-id"]
    assert error["request_id"] in caplog.text


@pytest.mark.parametrize(
    "outage",
    [
        OperationalError("database is locked"),
        InterfaceError("the connection is closed"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
)
def test_what_is_out_of_reach_is_a_503_that_says_to_ask_again(
    client, api_key, monkeypatch, caplog, outage
):
    def broken(*arguments):
        raise outage

    monkeypatch.setattr("agents.api.agents.paginate", broken)
    with caplog.at_level(logging.WARNING, ENDPOINT):
        response = get(client, api_key)
    assert response.status_code == 503
    assert response["x-should-retry"] == "true"
    error = response.json()["error"]
    assert error["type"] == "api_error"
    assert "Send the request again" in error["message"]
    (record,) = [each for each in caplog.records if each.name == ENDPOINT]
    assert (record.levelname, record.exc_info) == ("WARNING", None)


def test_an_error_of_the_disk_that_does_not_pass_is_a_fault(
    client, api_key, monkeypatch
):
    def broken(*arguments):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("agents.api.agents.paginate", broken)
    assert get(client, api_key).status_code == 500


def test_a_fault_of_another_layer_is_in_the_envelope_too(client, api_key, monkeypatch):
    def broken(*arguments):
        raise RuntimeError("broken")

    client.raise_request_exception = False
    monkeypatch.setattr(
        "django.middleware.clickjacking.XFrameOptionsMiddleware.process_response",
        broken,
    )
    response = get(client, api_key)
    assert response.status_code == 500
    assert response.json()["request_id"] == response["request-id"]


def test_a_revoked_key_is_refused(client, workspace):
    row, key = ApiKey.issue(workspace, "old")
    assert get(client, key).status_code == 200
    row.revoke()
    assert get(client, key).status_code == 401


def test_the_use_of_a_key_is_noted(client, workspace):
    row, key = ApiKey.issue(workspace, "used")
    get(client, key)
    row.refresh_from_db()
    noted = row.last_used_at
    get(client, key)
    row.refresh_from_db()
    assert noted is not None
    assert row.last_used_at == noted


def test_pages_outside_the_api_are_left_alone(client, db):
    assert "request-id" not in client.get("/nothing/here")


def test_a_broken_form_is_refused_in_the_envelope(client, api_key):
    response = client.post(
        "/v1/files",
        b"x",
        content_type="multipart/form-data",
        headers={"x-api-key": api_key},
    )
    assert response.status_code == 400
    assert "form cannot be read" in response.json()["error"]["message"]
