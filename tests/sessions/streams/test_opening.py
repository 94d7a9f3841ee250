"""Who may open a stream, and what a wrong request is told."""

from __future__ import annotations

import json

import pytest
from channels.testing import HttpCommunicator
from django.db import OperationalError

from agents.models import ApiKey
from agentsite.asgi import application
from tests.sessions.streams.conftest import in_thread, make_session

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def watched(workspace):
    return make_session(workspace)


async def response(communicator):
    """The answer, after which a server says that the connection is over."""
    answer = await communicator.get_response(timeout=10)
    await communicator.send_input({"type": "http.disconnect"})
    await communicator.wait(timeout=10)
    return answer


async def ask(session_id, *, key="", query="", method="GET", headers=()):
    sent = [(b"host", b"localhost"), *headers]
    if key:
        sent.append((b"authorization", f"Bearer {key}".encode()))
    path = f"/v1/sessions/{session_id}/events/stream"
    communicator = HttpCommunicator(application, method, path + query, headers=sent)
    answer = await response(communicator)
    told = dict(answer["headers"])
    return answer["status"], told, json.loads(answer["body"])


async def refusal(*args, **kwargs):
    status, headers, body = await ask(*args, **kwargs)
    assert body["type"] == "error"
    assert headers[b"request-id"].decode() == body["request_id"]
    return status, body["error"]["type"], body["error"]["message"]


async def test_it_refuses_without_a_key(watched):
    status, kind, _ = await refusal(watched.pk)
    assert (status, kind) == (401, "authentication_error")


async def test_charlies_key_does_not_find_the_session(watched, other_api_key):
    status, kind, message = await refusal(watched.pk, key=other_api_key)
    assert (status, kind) == (404, "not_found_error")
    assert watched.pk in message


async def test_a_revoked_key_opens_nothing(watched, workspace):
    row, key = await in_thread(ApiKey.issue, workspace, "old")
    await in_thread(row.revoke)
    assert (await refusal(watched.pk, key=key))[0] == 401


async def test_an_unknown_session_is_not_found(workspace, api_key):
    assert (await refusal("sesn_unknown", key=api_key))[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_other_methods_are_not_possible(watched, api_key, method):
    status, _, message = await refusal(watched.pk, key=api_key, method=method)
    assert status == 405
    assert method in message


@pytest.mark.parametrize(
    "query",
    [
        "?event_deltas[]=agent.tool_use",
        "?event_deltas=everything",
        "?" + "&".join(["event_deltas[]=agent.message"] * 101),
        "?after=-1",
        "?after=soon",
        "?include=everything",
    ],
)
async def test_a_wrong_parameter_is_refused(watched, api_key, query):
    status, kind, message = await refusal(watched.pk, key=api_key, query=query)
    assert (status, kind) == (400, "invalid_request_error")
    assert query.lstrip("?").split("=")[0].removesuffix("[]") in message


@pytest.mark.parametrize("value", [b"sevt_1", b"-1", b"1.5", "٣".encode()])
async def test_a_wrong_last_event_id_is_refused(watched, api_key, value):
    headers = [(b"last-event-id", value)]
    assert (await refusal(watched.pk, key=api_key, headers=headers))[0] == 400


async def test_the_older_key_header_is_understood(watched, api_key):
    headers = [(b"x-api-key", api_key.encode())]
    status, _, _ = await refusal(watched.pk, headers=headers, query="?after=x")
    assert status == 400  # past the key, on to the parameters


async def test_a_session_deleted_meanwhile_is_not_found(watched, api_key, monkeypatch):
    from sessions import log

    def gone(session_id):
        raise log.SessionGone(session_id)

    monkeypatch.setattr(log, "last_number", gone)
    assert (await refusal(watched.pk, key=api_key))[0] == 404


async def test_what_fails_before_the_stream_begins_is_refused(
    watched, api_key, monkeypatch
):
    from sessions import log

    def broken(session_id):
        raise OperationalError("the connection is closed")

    monkeypatch.setattr(log, "last_number", broken)
    status, kind, _ = await refusal(watched.pk, key=api_key)
    assert (status, kind) == (503, "api_error")


async def test_what_fails_within_the_stream_is_an_event(watched, api_key, monkeypatch):
    async def broken(reading):
        raise OperationalError("the connection is closed")

    monkeypatch.setattr("sessions.consumers.stream.Reading.next", broken)
    path = f"/v1/sessions/{watched.pk}/events/stream"
    headers = [(b"host", b"localhost"), (b"x-api-key", api_key.encode())]
    communicator = HttpCommunicator(application, "GET", path, headers=headers)
    answer = await response(communicator)
    assert answer["status"] == 200
    kind, data, *_ = answer["body"].decode().split("\n")
    assert kind == "event: error"
    assert json.loads(data.removeprefix("data: "))["error"]["type"] == "api_error"


async def test_everything_else_goes_to_django(workspace, api_key):
    communicator = HttpCommunicator(
        application,
        "GET",
        "/v1/nothing",
        headers=[
            (b"host", b"localhost"),
            (b"authorization", f"Bearer {api_key}".encode()),
        ],
    )
    answer = await response(communicator)
    assert answer["status"] == 404
    assert json.loads(answer["body"])["type"] == "error"


async def test_a_stream_of_a_terminated_session_replays_and_ends(watched, api_key):
    from sessions import lifecycle

    await in_thread(lifecycle.archive, watched)
    path = f"/v1/sessions/{watched.pk}/events/stream?after=0"
    headers = [(b"host", b"localhost"), (b"x-api-key", api_key.encode())]
    communicator = HttpCommunicator(application, "GET", path, headers=headers)
    answer = await response(communicator)
    assert answer["status"] == 200
    assert b"event: session.status_terminated\n" in answer["body"]
