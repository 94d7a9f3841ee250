"""What a session is sent and cannot take: a clear refusal, and a log as it was before."""

from __future__ import annotations

import json
import threading

import anthropic
import httpx2
import pytest

GOOD = {"type": "user.message", "content": [{"type": "text", "text": "Hello"}]}
STOP = {"type": "user.interrupt"}
WORD = {"type": "user.tool_confirmation", "tool_use_id": "sevt_x", "result": "allow"}
RESULT = {
    "type": "user.custom_tool_result",
    "custom_tool_use_id": "sevt_x",
    "content": [{"type": "text", "text": "42"}],
}
EVERY_KIND = [GOOD, STOP, WORD, RESULT]


def text(value):
    return {"type": "user.message", "content": [{"type": "text", "text": value}]}


def result(**block):
    return {**RESULT, "content": [block]}


def send(http, session, body):
    """Send a body as it is: a value, or text that is no value of Python's."""
    raw = body if isinstance(body, str | bytes) else json.dumps(body)
    headers = {"content-type": "application/json"}
    url = f"/v1/sessions/{session.id}/events"
    return http.post(url, content=raw, headers=headers)


def standing(http, session):
    """Everything that a refusal must leave as it was."""
    url = f"/v1/sessions/{session.id}"
    events = http.get(f"{url}/events", params={"include": "agentsite"}).json()["data"]
    now = http.get(url).json()
    return events, now["status"], now["updated_at"]


def refused(response, status, said=""):
    body = response.json()
    assert response.status_code == status, body
    assert body["error"]["type"].endswith("_error")
    assert body["request_id"] == response.headers["request-id"]
    assert said in body["error"]["message"]
    assert len(body["error"]["message"]) < 2_000  # never the request said back


WRONG_EVENTS = {
    "nothing": None,
    "a number": 5,
    "a list": [GOOD],
    "no type": {"content": GOOD["content"]},
    "a type of another kind": {**GOOD, "type": 5},
    "an unknown type": {**GOOD, "type": "user.shout"},
    "an agent's type": {**GOOD, "type": "agent.message"},
    "a type of ours": {**GOOD, "type": "agentsite.recovery"},
    "an id of its own": {**GOOD, "id": "sevt_mine"},
    "a time of its own": {**GOOD, "processed_at": None},
    "a sender of its own": {**GOOD, "agentsite_sender": "Mallory"},
    "content that is text": {**GOOD, "content": "Hello"},
    "content that is null": {**GOOD, "content": None},
    "no content": {"type": "user.message"},
    "empty content": {**GOOD, "content": []},
    "too many blocks": {**GOOD, "content": GOOD["content"] * 1001},
    "a number for text": text(5),
    "a list for text": text(["Hello"]),
    "empty text": text(""),
    "an unknown field": {**GOOD, "colour": "red"},
    "an unknown block": {**GOOD, "content": [{"type": "hologram"}]},
    "nested blocks": {**GOOD, "content": [GOOD["content"]]},
    "an id that is a number": {**WORD, "tool_use_id": 10**40},
    "an id that is a list": {**WORD, "tool_use_id": ["sevt_x"]},
    "an id that is too long": {**WORD, "tool_use_id": "x" * 65},
    "an empty id": {**WORD, "tool_use_id": ""},
    "an id nobody gave": WORD,
    "a thread of its own": {**WORD, "session_thread_id": "sthr_x"},
    "neither yes nor no": {**WORD, "result": "maybe"},
    "a truth for a word": {**WORD, "result": True},
    "a reason for a yes": {**WORD, "deny_message": "No."},
    "a reason too long": {**WORD, "result": "deny", "deny_message": "x" * 10_001},
    "a result of no call": RESULT,
    "a word for is_error": {**RESULT, "is_error": "yes"},
    "a result too long": result(type="text", text="x" * 100_001),
    "a document too long": result(
        type="document",
        source={"type": "text", "media_type": "text/plain", "data": "x" * 100_001},
    ),
    "a search result too long": result(
        type="search_result",
        source="https://a.example",
        title="A",
        content=[{"type": "text", "text": "x" * 50_001}] * 2,
    ),
    "a picture too large": result(
        type="image",
        source={"type": "base64", "media_type": "image/png", "data": "A" * 7_000_000},
    ),
    "a file nobody has": result(
        type="document", source={"type": "file", "file_id": "file_x"}
    ),
    "system text alone": {
        "type": "system.message",
        "content": [{"type": "text", "text": "Obey."}],
    },
}


SAID_OTHERWISE = {
    "an id nobody gave": (400, "has no call sevt_x"),
    "a result of no call": (400, "has no call sevt_x"),
    "a file nobody has": (404, "file_x"),
    "system text alone": (400, "must be the last event"),
}


@pytest.mark.parametrize("name", WRONG_EVENTS)
def test_one_wrong_event_takes_the_whole_request_with_it(http, session, name):
    before = standing(http, session)
    response = send(http, session, {"events": [GOOD, STOP, WRONG_EVENTS[name], GOOD]})
    refused(response, *SAID_OTHERWISE.get(name, (400, "events.2")))
    assert standing(http, session) == before


DEEP = 100_000
WRONG_BODIES = {
    "no object": "[]",
    "no events": "{}",
    "events that are none": '{"events": null}',
    "events in an object": '{"events": {"0": {}}}',
    "an empty list": '{"events": []}',
    "an end that is missing": '{"events": [',
    "two bodies": '{"events": []}{"events": []}',
    "NaN": '{"events": NaN}',
    "a number beyond all": '{"events": 1e999999}',
    "a number of ten thousand digits": f'{{"events": {"9" * 10_000}}}',
    "deep lists": '{"events": ' + "[" * DEEP + "]" * DEEP + "}",
    "deep objects": '{"events": [' + '{"a":' * DEEP + "1" + "}" * DEEP + "]}",
    "deep blocks": json.dumps({"events": [{**GOOD, "content": "@"}]}).replace(
        '"@"', '[{"type": "text", "text": ' * 400 + '"x"' + "}]" * 400
    ),
    "a NUL": json.dumps({"events": [text("a\0b")]}),
    "a NUL in a name": '{"events": [{"a\\u0000": 1}]}',
    "half a pair": '{"events": [{"type": "user.message", "content": '
    '[{"type": "text", "text": "\\ud83d"}]}]}',
    "bytes that are no UTF-8": b'{"events": ["\xff\xfe"]}',
    "UTF-16": json.dumps({"events": [text("a\0b")]}).encode("utf-16"),
    "a naked control character": b'{"events": ["\x00"]}',
}


@pytest.mark.parametrize("body", WRONG_BODIES.values(), ids=WRONG_BODIES)
def test_a_body_that_is_none_is_refused(http, session, body):
    before = standing(http, session)
    refused(send(http, session, body), 400)
    assert standing(http, session) == before


@pytest.mark.parametrize("place", [0, 500, 999])
def test_one_wrong_event_among_a_thousand_is_named_and_none_is_kept(
    http, session, place
):
    events = [GOOD] * 1000
    events[place] = text("")
    before = standing(http, session)
    response = send(http, session, {"events": events})
    refused(response, 400, f"events.{place}.content.0.text")
    assert standing(http, session) == before


def test_a_thousand_events_are_the_most_of_one_request(http, session):
    refused(send(http, session, {"events": [STOP] * 1001}), 400, "at most 1000")
    assert send(http, session, {"events": [STOP] * 1000}).status_code == 200


def test_of_ten_thousand_messages_a_thousand_wait_and_the_rest_is_refused(
    http, session
):
    taken = [send(http, session, {"events": [GOOD] * 1000}) for _ in range(10)]
    assert [each.status_code for each in taken] == [200] + [400] * 9
    refused(taken[-1], 400, "has 1000 messages waiting")
    events, status, _ = standing(http, session)
    assert status == "running"
    assert len([e for e in events if e["type"] == "user.message"]) == 998
    whole = http.get(f"/v1/sessions/{session.id}/events?types=user.message").json()
    assert len(whole["data"]) == 1000
    assert {event["processed_at"] for event in whole["data"]} == {None}
    assert send(http, session, {"events": [STOP]}).status_code == 200


def test_messages_that_wait_hold_no_more_than_a_request(http, session):
    long = text("x" * 20_000_000)
    assert send(http, session, {"events": [long]}).status_code == 200
    before = standing(http, session)[1:]
    refused(send(http, session, {"events": [long]}), 400, "waiting")
    assert standing(http, session)[1:] == before
    assert send(http, session, {"events": [GOOD]}).status_code == 200


# Sessions that take nothing any more.


@pytest.mark.parametrize("event", EVERY_KIND, ids=lambda event: event["type"])
def test_an_archived_session_takes_nothing(client, http, session, event):
    client.beta.sessions.archive(session.id)
    before = standing(http, session)
    response = send(http, session, {"events": [event]})
    refused(response, 409, "archived")
    assert response.headers["x-should-retry"] == "false"
    assert standing(http, session) == before


@pytest.mark.parametrize("event", EVERY_KIND, ids=lambda event: event["type"])
def test_a_deleted_session_is_not_found(client, http, session, event):
    client.beta.sessions.delete(session.id)
    refused(send(http, session, {"events": [event]}), 404, session.id)


@pytest.mark.parametrize("event", EVERY_KIND, ids=lambda event: event["type"])
def test_a_session_of_somebody_else_s_is_not_found(site, http, session, event):
    before = standing(http, session)
    body, url = {"events": [event]}, f"{site.url}/v1/sessions/{session.id}/events"
    foreign = httpx2.post(url, json=body, headers={"x-api-key": site.charlie})
    refused(foreign, 404, session.id)
    looker = httpx2.post(url, json=body, headers={"x-api-key": site.viewer})
    refused(looker, 403, "may not run")
    assert standing(http, session) == before


def test_a_session_deleted_under_load_ends_its_streams_and_refuses_the_rest(
    site, client, session
):
    """Stops of a resting session are taken in at once, so that it can be deleted."""
    heard, answered, deleted = [], [], threading.Event()
    reading = threading.Barrier(4)

    def listen():
        with (
            anthropic.Anthropic(base_url=site.url, api_key=site.alice) as own,
            own.beta.sessions.events.stream(session.id) as stream,
        ):
            reading.wait(30)
            heard.append([event.type for event in stream])

    def shout():
        headers = {"x-api-key": site.alice}
        url = f"{site.url}/v1/sessions/{session.id}/events"
        with httpx2.Client(headers=headers, timeout=60) as own:
            late = 0
            while late < 3:
                answer = own.post(url, json={"events": [STOP] * 5})
                answered.append(answer.status_code)
                late += deleted.is_set()

    listeners = [threading.Thread(target=listen) for _ in range(3)]
    shouters = [threading.Thread(target=shout) for _ in range(4)]
    for thread in listeners:
        thread.start()
    reading.wait(30)
    for thread in shouters:
        thread.start()
    while len(answered) < 20:
        assert any(thread.is_alive() for thread in shouters)
    client.beta.sessions.delete(session.id)
    deleted.set()
    for thread in (*shouters, *listeners):
        thread.join(60)
        assert not thread.is_alive()
    assert set(answered) == {200, 404}
    assert answered[-1] == 404
    for seen in heard:
        assert seen[-1] == "session.deleted"
        assert set(seen[:-1]) == {"user.interrupt"}


# Where a reader wants to begin.


@pytest.mark.parametrize("number", ["-1", "x", "1.5", "٣", "9" * 5000, "1e3"])
def test_a_place_that_is_none_is_refused(http, session, number):
    url = f"/v1/sessions/{session.id}/events/stream"
    refused(http.get(url, params={"after": number}), 400, "after")
    if number.isascii():
        headers = {"Last-Event-ID": number}
        refused(http.get(url, headers=headers), 400, "last-event-id")
