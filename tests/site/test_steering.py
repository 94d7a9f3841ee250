"""People and programs in the middle of a turn: the official SDK against a whole site."""

from __future__ import annotations

import json
import urllib.request

import anthropic
import pytest
from anthropic import AsyncAnthropic, beta_async_tool

from tests.site.conftest import bash, follow, message, results, script

pytestmark = [pytest.mark.site, pytest.mark.docker]

CAREFUL = {
    "type": "agent_toolset_20260401",
    "default_config": {"permission_policy": {"type": "always_ask"}},
}


@beta_async_tool
async def weather(city: str) -> str:
    """Say how the weather is.

    Args:
        city: Where.
    """
    return f"Sunny in {city}"


@pytest.fixture(autouse=True, scope="module")
def image(site):
    site.wait_for_image()


@pytest.fixture(scope="module")
def careful(client):
    definition = weather.to_dict()
    return client.beta.agents.create(
        name="Careful",
        model="scripted-demo",
        tools=[CAREFUL, {"type": "custom", **definition}],
    )


def pending(client, session):
    """The calls that the session says it waits for."""
    *_, idle = follow(client, session.id)
    assert idle.stop_reason.type == "requires_action"
    return idle.stop_reason.event_ids


def last_number(site, session):
    """The number of the idle that the session rests on."""
    request = urllib.request.Request(
        f"{site.url}/v1/sessions/{session.id}/events/stream?after=0",
        headers={"X-Api-Key": site.api_key},
    )
    number = 0
    with urllib.request.urlopen(request, timeout=20) as stream:
        for line in stream:
            if line.startswith(b"id:"):
                number = int(line[3:])
            if line.startswith(b"data:"):
                said = json.loads(line[5:])
                if said["type"] == "session.status_idle":
                    return number
    raise AssertionError("no idle")


def word(call, result="allow", **more):
    given = {"type": "user.tool_confirmation", "tool_use_id": call, "result": result}
    return {**given, **more}


def test_an_allowed_call_runs_in_the_sandbox(site, client, new_session, careful):
    session = new_session(
        {"tools": [bash("echo allowed")]}, {"say": "Ok."}, agent=careful.id
    )
    (call,) = pending(client, session)
    before = last_number(site, session)
    (echo,) = client.beta.sessions.events.send(session.id, events=[word(call)]).data
    assert echo.processed_at is None
    seen = follow(client, session.id, before)
    assert results(seen) == ["allowed"]
    taken = [e for e in seen if e.type == "user.tool_confirmation" and e.processed_at]
    assert [each.id for each in taken] == [echo.id]
    path = f"/v1/sessions/{session.id}/tool_calls"
    (entry,) = client.get(path, cast_to=dict[str, list[dict[str, object]]])["data"]
    assert (entry["id"], entry["state"], entry["attempt"]) == (call, "done", 1)
    assert entry["answered_by"]


def test_a_denied_call_never_runs(site, client, new_session, careful):
    session = new_session(
        {"tools": [bash("touch /workspace/there")]},
        {"tools": [bash("ls /workspace")]},
        {"say": "Ok."},
        agent=careful.id,
    )
    (call,) = pending(client, session)
    before = last_number(site, session)
    deny = word(call, "deny", deny_message="Rather look first.")
    client.beta.sessions.events.send(session.id, events=[deny])
    seen = follow(client, session.id, before)
    assert "Rather look first." in results(seen)[0]
    (second,) = seen[-1].stop_reason.event_ids
    client.beta.sessions.events.send(session.id, events=[word(second)])
    listed = []
    site.wait(lambda: listed.extend(_said(client, session)) or listed)
    texts = results(list(client.beta.sessions.events.list(session.id)))
    assert "there" not in texts[-1]


def _said(client, session):
    events = client.beta.sessions.events.list(session.id, types=["agent.message"])
    return list(events)


async def test_the_sdk_s_own_runner_answers_custom_tools(
    site, client, new_session, careful
):
    session = new_session(
        {"tools": [{"name": "weather", "input": {"city": "Rome"}}]},
        {"say": "Nice."},
        agent=careful.id,
    )
    async with AsyncAnthropic(base_url=site.url, api_key=site.api_key) as later:
        runner = later.beta.sessions.events.tool_runner(
            session.id, tools=[weather], max_idle=0.5
        )
        calls = [call async for call in runner]
    assert [call.name for call in calls] == ["weather"]
    listed = list(client.beta.sessions.events.list(session.id))
    (answer,) = [e for e in listed if e.type == "user.custom_tool_result"]
    assert answer.content[0].text == "Sunny in Rome"
    assert listed[-1].stop_reason.type == "end_turn"


def test_a_wrong_answer_in_a_batch_leaves_nothing_behind(client, new_session, careful):
    session = new_session({"tools": [bash("true")]}, {"say": "Ok."}, agent=careful.id)
    (call,) = pending(client, session)
    before = [e.id for e in client.beta.sessions.events.list(session.id)]
    with pytest.raises(anthropic.BadRequestError, match="has no call"):
        client.beta.sessions.events.send(
            session.id, events=[word(call), message("Hello"), word("sevt_unknown")]
        )
    assert [e.id for e in client.beta.sessions.events.list(session.id)] == before
    client.beta.sessions.events.send(session.id, events=[{"type": "user.interrupt"}])
    (*_, last) = client.beta.sessions.events.list(session.id)
    assert last.stop_reason.type == "end_turn"


def test_the_primary_thread_is_listed_with_its_events(client, new_session):
    session = new_session({"say": "Hello."})
    follow(client, session.id)
    (thread,) = client.beta.sessions.threads.list(session.id).data
    assert (thread.parent_thread_id, thread.status) == (None, "idle")
    assert thread.usage.output_tokens
    own = [
        e.type
        for e in client.beta.sessions.threads.events.list(
            thread.id, session_id=session.id
        )
    ]
    assert own == [e.type for e in client.beta.sessions.events.list(session.id)]


def test_tools_can_be_changed_while_a_session_rests(site, client, new_session):
    session = new_session({"say": "Hello."})
    follow(client, session.id)
    updated = client.beta.sessions.update(session.id, agent={"tools": [CAREFUL]})
    policy = updated.agent.tools[0].default_config.permission_policy
    assert policy.type == "always_ask"
    client.beta.sessions.events.send(
        session.id, events=[script({"tools": [bash("true")]}, {"say": "Ok."})]
    )
    asks = "agent.tool_use"
    site.wait(lambda: list(client.beta.sessions.events.list(session.id, types=[asks])))
    (call,) = client.beta.sessions.events.list(session.id, types=[asks])
    assert call.evaluated_permission == "ask"
