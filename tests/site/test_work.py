"""An agent at work: the official SDK, a whole site, real sandboxes."""

from __future__ import annotations

import subprocess
import sys

import anthropic
import pytest

from tests.site.conftest import bash, follow, message, results, script

pytestmark = [pytest.mark.site, pytest.mark.docker]

ONE_TURN = [
    "session.status_running",
    "session.thread_status_running",
    "user.message",
    "span.model_request_start",
    "agent.message",
    "span.model_request_end",
    "session.thread_status_idle",
    "session.usage",
    "session.status_idle",
]


@pytest.fixture(autouse=True, scope="module")
def image(site):
    site.wait_for_image()


def test_stream_and_list_tell_the_same_in_the_same_order(client, new_session):
    session = new_session()
    streamed = []
    with client.beta.sessions.events.stream(session.id) as stream:
        client.beta.sessions.events.send(session.id, events=[script({"say": "Hello."})])
        for event in stream:
            streamed.append(event)
            if event.type == "session.status_idle":
                break
    assert streamed[0].type == "user.message"
    assert streamed[0].processed_at is None
    listed = list(client.beta.sessions.events.list(session.id))
    assert [event.type for event in listed] == ONE_TURN
    assert [event.id for event in streamed[1:]] == [event.id for event in listed]


def test_initial_events_alone_start_work(client, new_session):
    session = new_session({"say": "Hello."})
    assert session.status == "running"
    assert [e.type for e in follow(client, session.id)][-1] == "session.status_idle"
    assert client.beta.sessions.retrieve(session.id).status == "idle"


def test_a_client_killed_right_after_send_changes_nothing(site, client, new_session):
    session = new_session()
    sender = f"""
import os, anthropic
client = anthropic.Anthropic(base_url={site.url!r}, api_key={site.api_key!r})
client.beta.sessions.events.send({session.id!r}, events=[{script({"say": "Done."})!r}])
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", sender], check=False)
    said = [e for e in follow(client, session.id) if e.type == "agent.message"]
    assert said[0].content[0].text == "Done."


def test_a_running_session_keeps_the_version_it_began_with(client, new_session):
    agent = client.beta.agents.create(name="Two", model="scripted-demo", system="One.")
    session = new_session(agent=agent.id)
    client.beta.agents.update(agent.id, version=1, system="Two.")
    assert client.beta.sessions.retrieve(session.id).agent.version == 1
    assert client.beta.sessions.retrieve(session.id).agent.system == "One."
    assert new_session(agent=agent.id).agent.version == 2


def test_the_older_headers_work_too(site, client, new_session):
    import httpx2

    session = new_session({"say": "Hello."})
    follow(client, session.id)
    answer = httpx2.get(
        f"{site.url}/v1/sessions/{session.id}/events?beta=true",
        headers={"x-api-key": site.api_key, "anthropic-version": "2023-06-01"},
    )
    assert answer.status_code == 200
    assert [event["type"] for event in answer.json()["data"]] == ONE_TURN


def test_without_workers_nothing_moves_and_with_them_it_goes_on(
    site, client, new_session
):
    site.stop_workers()
    try:
        session = new_session({"say": "At last."})
        types = [e.type for e in client.beta.sessions.events.list(session.id)]
        assert types == [*ONE_TURN[:2], "user.message"]
        assert client.beta.sessions.retrieve(session.id).status == "running"
    finally:
        site.start_workers()
    said = [e for e in follow(client, session.id) if e.type == "agent.message"]
    assert said[0].content[0].text == "At last."
    site.wait_until_ready()


def test_twenty_calls_each_have_their_result(client, new_session):
    steps = [{"tools": [bash(f"echo step {n}")]} for n in range(20)]
    session = new_session(*steps, {"say": "Done."})
    found = results(follow(client, session.id))
    assert [text.strip() for text in found] == [f"step {n}" for n in range(20)]


def test_parallel_calls_each_have_their_result(client, new_session):
    calls = [bash(f"echo {n}") for n in range(6)]
    session = new_session({"tools": calls}, {"say": "Done."})
    events = follow(client, session.id)
    uses = [e.id for e in events if e.type == "agent.tool_use"]
    answered = [e.tool_use_id for e in events if e.type == "agent.tool_result"]
    assert sorted(answered) == sorted(uses)
    assert len(uses) == 6


def test_the_shell_keeps_its_directory_and_variables(client, new_session):
    session = new_session(
        {"tools": [bash("mkdir -p deep && cd deep && export NAME=Ada")]},
        {"tools": [bash('pwd; echo "$NAME"')]},
        {"say": "Done."},
    )
    assert results(follow(client, session.id))[1].split() == ["/workspace/deep", "Ada"]


def test_a_hundred_megabytes_of_output_are_cut(client, new_session):
    session = new_session(
        {"tools": [bash("yes 0123456789 | head -c 100000000; echo the end")]},
        {"say": "Done."},
    )
    (text,) = results(follow(client, session.id))
    assert len(text) < 150_000
    assert "the end" in text


def test_a_command_that_hangs_is_ended_and_the_session_goes_on(client, new_session):
    session = new_session(
        {"tools": [bash("setsid sleep 1000", timeout_ms=1500)]},
        {"tools": [bash("pgrep -c sleep || echo none left")]},
        {"say": "Done."},
    )
    first, second = results(follow(client, session.id))
    assert "timed out" in first.lower() or "1.5" in first
    assert "none left" in second


def test_binary_output_is_no_trouble(client, new_session):
    session = new_session(
        {"tools": [bash("head -c 5000 /dev/urandom; echo; echo after")]},
        {"say": "Done."},
    )
    assert "after" in results(follow(client, session.id))[0]


def test_a_server_in_the_background_survives_between_calls(client, new_session):
    session = new_session(
        {
            "tools": [
                bash("echo found > page; python3 -m http.server 8123 &>/dev/null &")
            ]
        },
        {"tools": [bash("sleep 1; curl -s localhost:8123/page")]},
        {"say": "Done."},
    )
    assert results(follow(client, session.id))[1].strip() == "found"


def test_packages_install_at_run_time(client, new_session):
    session = new_session(
        {
            "tools": [
                bash(
                    "pip install -q six && python3 -c 'import six; print(six.__name__)'"
                ),
                bash("npm install -g -s is-number && npm ls -g | grep -c is-number"),
            ]
        },
        {"say": "Done."},
    )
    with_pip, with_npm = results(follow(client, session.id))
    assert with_pip.strip().endswith("six")
    assert with_npm.strip().endswith("1")


def test_private_and_metadata_addresses_stay_closed(site, client, new_session):
    session = new_session(
        {
            "tools": [
                bash("curl -sS -m 5 http://169.254.169.254/ 2>&1"),
                bash(f"curl -sS -m 5 http://127.0.0.1:{site.port}/healthz 2>&1"),
                bash("curl -sS -m 5 --noproxy '*' http://1.1.1.1/ 2>&1 || echo closed"),
            ]
        },
        {"say": "Done."},
    )
    metadata, host, around = results(follow(client, session.id))
    assert "169.254.169.254" in metadata
    assert "ready" not in host
    assert "closed" in around


def test_a_busy_session_stalls_no_other(client, new_session):
    slow = new_session({"tools": [bash("sleep 600", timeout_ms=900_000)]})
    quick = new_session({"tools": [bash("echo quick")]}, {"say": "Done."})
    assert (
        results(follow(client, quick.id)) == ["quick\n"]
        or results(follow(client, quick.id))[0].strip() == "quick"
    )
    client.beta.sessions.events.send(slow.id, events=[{"type": "user.interrupt"}])
    events = follow(client, slow.id)
    assert events[-1].stop_reason.type == "end_turn"


def test_an_unknown_model_is_an_error_in_the_timeline(client, environment):
    agent = client.beta.agents.create(name="Nobody", model="claude-nobody-1")
    session = client.beta.sessions.create(
        agent=agent.id, environment_id=environment.id, initial_events=[message("Hi.")]
    )
    events = follow(client, session.id)
    (error,) = [e for e in events if e.type == "session.error"]
    assert error.error.retry_status.type == "exhausted"
    assert events[-1].stop_reason.type == "retries_exhausted"


def test_deleting_a_session_ends_its_streams(client, new_session):
    session = new_session()
    with client.beta.sessions.events.stream(session.id) as stream:
        client.beta.sessions.delete(session.id)
        assert [event.type for event in stream] == ["session.deleted"]
    with pytest.raises(anthropic.NotFoundError):
        client.beta.sessions.retrieve(session.id)
