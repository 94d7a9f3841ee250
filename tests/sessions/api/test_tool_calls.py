"""The verbs on a call with unknown outcome, over the API."""

from __future__ import annotations

import pytest

from agents.models import ApiKey
from sessions import log
from sessions.events import Draft, parse
from sessions.models import Event

VERBS = ["look", "run_again", "mark_done"]


@pytest.fixture
def call(session):
    """The id of a call whose outcome is unknown."""
    use = {"name": "bash", "input": {"command": "make deploy"}}
    (made,) = log.append(session.pk, [draft("agent.tool_use", **use)])
    lost = {"tool_use_id": made.id, "is_error": True, "agentsite_unknown": True}
    log.append(session.pk, [draft("agent.tool_result", **lost)])
    return made.id


def draft(kind, **payload):
    return Draft(payload=parse(kind, payload), private={"model_tool_use_id": "toolu_1"})


def post(client, key, session, call, verb):
    path = f"/v1/sessions/{session.pk}/tool_calls/{call}/{verb}"
    headers = {"authorization": f"Bearer {key}"}
    return client.post(path, {}, content_type="application/json", headers=headers)


@pytest.mark.parametrize("verb", VERBS)
def test_each_is_an_event_with_the_person_s_name(client, api_key, session, call, verb):
    answer = post(client, api_key, session, call, verb)
    assert answer.status_code == 200
    said = answer.json()
    assert said["sender"] == "tests"
    assert said["tool_use_id"] == call
    path, headers = f"/v1/sessions/{session.pk}/events", {"x-api-key": api_key}
    ids = [each["id"] for each in client.get(path, headers=headers).json()["data"]]
    assert said["id"] not in ids
    ours = client.get(f"{path}?include=agentsite", headers=headers).json()["data"]
    assert said["id"] in [each["id"] for each in ours]


def test_what_settles_a_call_is_in_its_ledger(client, api_key, session, call):
    post(client, api_key, session, call, "mark_done")
    path = f"/v1/sessions/{session.pk}/tool_calls"
    (found,) = client.get(path, headers={"x-api-key": api_key}).json()["data"]
    assert (found["state"], found["settled_by"]) == ("done", "tests")
    assert found["settled_how"] == "mark_done"
    again = post(client, api_key, session, call, "mark_done")
    assert again.status_code == 400
    assert "is done, by tests" in again.json()["error"]["message"]


@pytest.mark.parametrize("verb", VERBS)
def test_nobody_without_the_right_does_it(
    client, workspace, other_api_key, session, call, verb
):
    viewer = ApiKey.issue(workspace, "Charlie", role="viewer")[1]
    before = Event.objects.count()
    assert post(client, viewer, session, call, verb).status_code == 403
    assert post(client, other_api_key, session, call, verb).status_code == 404
    assert Event.objects.count() == before


@pytest.mark.parametrize("verb", VERBS)
def test_an_unknown_call_is_not_there(client, api_key, session, call, verb):
    answer = post(client, api_key, session, "sevt_nothing", verb)
    assert answer.status_code == 404
    assert "no tool call sevt_nothing" in answer.json()["error"]["message"]
