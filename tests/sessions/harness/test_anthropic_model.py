"""The real client against the scripted Messages API over real HTTP."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from sessions.harness.anthropic_model import AnthropicModel
from sessions.harness.contract import END_TURN, RETRIES_EXHAUSTED
from sessions.harness.fake import FakeTurn, fake_agent
from sessions.harness.loop import close_interrupted, run_turn
from sessions.harness.model import ModelFailed, ModelRequest
from sessions.harness.request import build_request, max_tokens
from sessions.harness.scripted_model.checks import signature
from tests.sessions.harness.kit import payloads, taken_in, types, within


class Ear:
    def __init__(self) -> None:
        self.heard = []

    def thought(self) -> None:
        self.heard.append("thought")

    def said(self, block, text) -> None:
        self.heard.append((block, text))

    def used(self, usage) -> None:
        self.usage = usage


def asking(text: str, **more) -> ModelRequest:
    messages = [{"role": "user", "content": [{"type": "text", "text": text}]}]
    values = {"model": "scripted-test", "max_tokens": 100, "messages": messages}
    return ModelRequest(**{**values, **more})


async def test_a_reply_is_put_together_from_its_stream(model, script):
    call = {"name": "bash", "input": {"command": "echo ü"}}
    text = script({"think": "Hm.", "say": "Grüß Gott", "chunks": 3, "tools": [call]})
    ear = Ear()
    reply = await model.stream(asking(text), ear)
    thinking, said, use = reply.content
    assert thinking == {
        "type": "thinking",
        "thinking": "Hm.",
        "signature": signature("Hm."),
    }
    assert said == {"type": "text", "text": "Grüß Gott"}
    assert (use["name"], use["input"]) == ("bash", {"command": "echo ü"})
    assert reply.stop_reason == "tool_use"
    assert reply.request_id.startswith("req_")
    assert reply.model == "scripted-test"
    assert reply.usage.input_tokens > 0
    assert reply.usage.output_tokens > 1
    assert ear.usage == reply.usage
    assert ear.heard == ["thought", (1, "Grü"), (1, "ß G"), (1, "ott")]


async def test_a_call_cut_at_the_output_limit_has_a_fault(model, script):
    call = {"name": "write", "input": {"file_path": "a", "content": "b" * 50}}
    reply = await model.stream(
        asking(script({"tools": [call], "stop": "max_tokens"})), Ear()
    )
    (use,) = reply.content
    assert use["input"] == {}
    assert "cut off at the output limit" in reply.faults[use["id"]]


async def test_a_refusal_brings_its_details(model, script):
    reply = await model.stream(asking(script({"say": "No", "stop": "refusal"})), Ear())
    assert reply.stop_reason == "refusal"
    assert reply.stop_details["type"] == "refusal"


@pytest.mark.parametrize(
    ("status", "kind", "retryable", "words"),
    [
        (400, "model_request_failed_error", False, "rejected the request"),
        (401, "model_request_failed_error", False, "did not accept the API key"),
        (402, "billing_error", False, "billing problem"),
        (403, "model_request_failed_error", False, "does not permit"),
        (404, "model_request_failed_error", False, "does not know the model scripted-"),
        (413, "model_request_failed_error", False, "too large"),
        (429, "model_rate_limited_error", True, "limits the rate"),
        (500, "model_request_failed_error", True, "provider failed"),
        (529, "model_overloaded_error", True, "is overloaded"),
    ],
)
async def test_every_status_becomes_a_sentence(
    status, kind, retryable, words, model, script
):
    text = script({"error": status, "retry_after": 7})
    with pytest.raises(ModelFailed) as caught:
        await model.stream(asking(text), Ear())
    failed = caught.value
    assert (failed.kind, failed.retryable) == (kind, retryable)
    assert words in failed.message
    assert f"status {status}" in failed.message
    assert failed.request_id.startswith("req_")
    assert failed.request_id in failed.message
    assert failed.retry_after == 7


@pytest.mark.parametrize(("status", "too_long"), [(413, True), (400, False)])
async def test_a_request_that_does_not_fit_is_told_from_a_wrong_one(
    status, too_long, model, script
):
    with pytest.raises(ModelFailed) as caught:
        await model.stream(asking(script({"error": status})), Ear())
    assert caught.value.too_long == too_long


async def test_a_longer_window_is_asked_for_in_a_header():
    from sessions.harness.anthropic_model import beta_headers, body_of

    request = replace(asking("Hi"), model="claude-sonnet-4-5[1m]", speed="fast")
    assert json.loads(body_of(request))["model"] == "claude-sonnet-4-5"
    betas = beta_headers(request)["anthropic-beta"].split(",")
    assert betas == ["fast-mode-2026-02-01", "context-1m-2025-08-07"]


async def test_an_error_inside_the_stream_is_told_by_its_type(model, script):
    text = script({"say": "I beg", "error": 529, "midway": True})
    with pytest.raises(ModelFailed, match=r"overloaded.*req_") as caught:
        await model.stream(asking(text), Ear())
    assert caught.value.kind == "model_overloaded_error"
    assert caught.value.usage.input_tokens > 0


async def test_a_stream_that_breaks_off_is_a_failure_to_be_retried(model, script):
    ear = Ear()
    with pytest.raises(ModelFailed, match=r"broke off.*req_") as caught:
        await model.stream(asking(script({"say": "I beg", "cut": True})), ear)
    assert caught.value.retryable
    assert ear.heard == [(0, "I beg")]


async def test_a_stream_that_ends_too_early_is_no_reply():
    """As a proxy may end it: politely, without `message_stop`."""
    from sessions.harness.scripted_model import http, sse

    async def answer(reader, writer):
        await http.read_request(reader)
        body = sse.event("ping")
        writer.write(http.stream_head({}) + http.chunk(body) + http.LAST_CHUNK)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    model = AnthropicModel(base_url=f"http://127.0.0.1:{port}", api_key="k")
    with pytest.raises(ModelFailed, match="broke off") as caught:
        await model.stream(asking("Hello"), Ear())
    assert caught.value.retryable
    await model.close()
    server.close()


@pytest.mark.parametrize(
    "answered",
    [b"event: message_start\ndata: {broken\n\n", b"event: message_start\ndata: 7\n\n"],
)
async def test_a_stream_of_nonsense_is_no_reply(answered):
    from sessions.harness.scripted_model import http

    async def answer(reader, writer):
        await http.read_request(reader)
        writer.write(http.stream_head({}) + http.chunk(answered) + http.LAST_CHUNK)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    model = AnthropicModel(base_url=f"http://127.0.0.1:{port}", api_key="k")
    with pytest.raises(ModelFailed, match="broke off"):
        await model.stream(asking("Hello"), Ear())
    await model.close()
    server.close()


async def test_an_unreachable_provider_is_named_without_secrets():
    model = AnthropicModel(base_url="http://user:pw@127.0.0.1:9", api_key="sk-secret")
    with pytest.raises(ModelFailed) as caught:
        await model.stream(asking("Hello"), Ear())
    await model.close()
    assert caught.value.retryable
    assert "http://127.0.0.1:9 could not be reached" in caught.value.message
    assert "secret" not in caught.value.message
    assert "pw" not in caught.value.message


async def test_without_a_key_nothing_is_sent(server):
    model = AnthropicModel(base_url=server.url, api_key="")
    with pytest.raises(ModelFailed, match="ANTHROPIC_API_KEY") as caught:
        await model.stream(asking("Hello"), Ear())
    assert not caught.value.retryable
    assert not server.requests
    await model.close()


async def test_an_unknown_model_is_named(model):
    with pytest.raises(ModelFailed, match="does not know the model claude-x"):
        await model.stream(asking("Hello", model="claude-x"), Ear())


async def test_what_is_set_is_sent_and_what_is_not_is_not(model, server):
    await model.stream(asking("Hello"), Ear())
    bare = server.requests[-1]
    assert bare.keys() == {"model", "max_tokens", "messages", "stream"}
    request = asking(
        "Hello",
        effort="high",
        speed="fast",
        inference_geo="eu",
        thinking={"type": "adaptive"},
    )
    await model.stream(request, Ear())
    full = server.requests[-1]
    assert full["output_config"] == {"effort": "high"}
    assert full["speed"] == "fast"
    assert full["inference_geo"] == "eu"
    assert full["thinking"] == {"type": "adaptive"}


async def test_a_resolved_agent_s_model_becomes_the_request():
    config = {"id": "claude-opus-5", "effort": {"type": "xhigh"}, "speed": "standard"}
    turn = FakeTurn(agent=fake_agent(model=config, system="Be brief."))
    turn.system_notes = ["Files: a.txt"]
    turn.queue_message("Hello")
    request = await build_request(turn, await taken_in(turn))
    assert (request.effort, request.speed) == ("xhigh", "standard")
    assert request.thinking == {"type": "adaptive"}
    texts = [block["text"] for block in request.system]
    assert texts[0] == "Be brief."
    assert "/mnt/session/outputs" in texts[1]
    assert texts[2] == "Files: a.txt"
    names = [tool["name"] for tool in request.tools]
    assert names == ["bash", "read", "write", "edit", "glob", "grep"]


def test_the_output_limit_goes_by_the_longest_known_beginning():
    assert max_tokens("claude-3-5-haiku-latest") == 8_192
    assert max_tokens("claude-opus-4-1-20250805") == 32_000
    assert max_tokens("claude-sonnet-5-5") == 64_000
    assert max_tokens("glm-9") == 32_000


async def test_a_whole_turn_over_http(model, server, script):
    turn = FakeTurn(agent=fake_agent(system="Be brief."))
    steps = [
        {"error": 529, "times": 2},
        {"think": "Hm", "say": "A", "tools": [{"name": "bash", "input": {"n": 1}}]},
        {"cut": True, "say": "Bro", "times": 1},
        {"say": "Saw {{last_result}}"},
    ]
    turn.queue_message(script(*steps))
    assert await run_turn(turn, model) == END_TURN
    assert payloads(turn, "agent.message")[-1].content == [
        {"type": "text", "text": "Saw bash {'n': 1}"}
    ]
    assert types(turn).count("session.error") == 3
    assert len(turn.executed) == 1
    last = payloads(turn, "span.model_request_end")[-1].model_usage
    assert last["cache_read_input_tokens"] > 0
    assert last["cache_creation_input_tokens"] > 0


async def test_a_failure_that_does_not_pass_ends_the_turn(model, script):
    turn = FakeTurn()
    turn.queue_message(script({"error": 401}))
    assert await run_turn(turn, model) == RETRIES_EXHAUSTED
    (error,) = payloads(turn, "session.error")
    assert (
        "did not accept the API key (status 401, request req_" in error.error["message"]
    )


async def test_an_interrupted_stream_lets_go_of_its_connection(model, script):
    turn = FakeTurn()
    turn.queue_message(script({"words": 10_000, "delay_ms": 20}))
    task = asyncio.create_task(run_turn(turn, model))
    while not turn.frames:
        await asyncio.sleep(0.01)
    task.cancel()
    await within(asyncio.wait([task]))
    assert task.cancelled()
    await close_interrupted(turn)
    (cut,) = payloads(turn, "span.model_request_end")
    assert cut.is_error
    assert cut.model_usage["input_tokens"] > 0  # what was read is paid for
    turn.queue_message(script({"say": "Still here"}))
    assert await within(run_turn(turn, model)) == END_TURN
