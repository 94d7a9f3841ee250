"""A session in the terminal."""

from __future__ import annotations

import json

import httpx2
import pytest

from agentsite import follow
from agentsite.follow import Lines, Refused, frames


def event(type, id="sevt_1", **fields):
    return {"type": type, "id": id, **fields}


def text(words):
    return [{"type": "text", "text": words}]


def sse(*events):
    parts = [
        f"event: {e['type']}\nid: {n}\ndata: {json.dumps(e)}\n\n" for n, e in events
    ]
    return ": keep-alive\n\n" + "".join(parts)


def test_frames_are_read_with_their_numbers():
    idle = event("session.status_idle")
    assert list(frames(sse((7, idle)).splitlines())) == [("7", idle)]


def test_what_was_said_and_done_is_shown():
    lines = Lines()
    assert lines.of(event("user.message", "1", content=text("Fix it"))) == ["> Fix it"]
    assert lines.of(
        event("agent.tool_use", "2", name="bash", input={"command": "ls"})
    ) == ["▸ bash  ls"]
    assert lines.of(event("agent.tool_result", "3", content=text("a\nb"))) == [
        "  │ a",
        "  │ b",
    ]
    assert lines.of(
        event("session.status_idle", "4", stop_reason={"type": "end_turn"})
    ) == ["— idle (end_turn)"]


def test_an_event_that_comes_again_says_nothing_new():
    lines, queued = Lines(), event("user.message", content=text("Hello"))
    assert lines.of(queued)
    assert lines.of(queued) == []


def test_a_long_result_is_cut_and_says_so():
    shown = Lines().of(event("agent.tool_result", content=text("x\n" * 100)))
    assert len(shown) == 21
    assert shown[-1].endswith("80 more lines")


def test_it_goes_on_after_the_last_event_when_the_line_breaks(monkeypatch):
    monkeypatch.setattr(follow, "PAUSE_SECONDS", 0)
    asked = []

    def serve(request):
        asked.append(request.headers["last-event-id"])
        if len(asked) == 1:
            return httpx2.Response(200, text=sse((1, event("session.status_running"))))
        if len(asked) == 2:
            raise httpx2.ConnectError("away")
        return httpx2.Response(200, text=sse((2, event("session.deleted"))))

    transport = httpx2.MockTransport(serve)
    with httpx2.Client(transport=transport, base_url="http://site") as client:
        seen = [e["type"] for e in follow.follow(client, "sesn_1")]
    assert seen == ["session.status_running", "session.deleted"]
    assert asked == ["0", "1", "1"]


def test_a_refusal_is_said_in_its_own_words():
    body = {"type": "error", "error": {"message": "session sesn_1 does not exist"}}
    transport = httpx2.MockTransport(lambda request: httpx2.Response(404, json=body))
    with (
        httpx2.Client(transport=transport, base_url="http://site") as client,
        pytest.raises(Refused, match="sesn_1 does not exist"),
    ):
        list(follow.follow(client, "sesn_1"))
