"""The scripted Messages API as its clients meet it."""

from __future__ import annotations

import asyncio
import json
import sys

import anthropic
import pytest

from sessions.harness.contract import END_TURN, ToolResult
from sessions.harness.fake import FakeTurn, fake_agent
from sessions.harness.loop import run_turn
from sessions.harness.scripted_model import ScriptedModelServer
from sessions.harness.scripted_model.script import BadScript, next_step, parse
from tests.sessions.harness.kit import payloads, within


@pytest.fixture
async def client(server):
    client = anthropic.AsyncAnthropic(base_url=server.url, api_key="any", max_retries=0)
    yield client
    await client.close()


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


async def answer(client, *messages, **more) -> str:
    values = {"model": "scripted-demo", "max_tokens": 99, "messages": list(messages)}
    async with client.messages.stream(**{**values, **more}) as stream:
        return await stream.get_final_text()


async def test_the_step_is_the_number_of_replies_since_the_script(client, script):
    text = user(script({"say": "one"}, {"say": "two"}))
    assert await answer(client, text) == "one"
    assert await answer(client, text, assistant("one"), user("go on")) == "two"
    done = [text, assistant("one"), user("go on"), assistant("two"), user("and?")]
    assert await answer(client, *done) == "The script is finished."


async def test_a_later_script_begins_anew(client, script):
    first, second = user(script({"say": "one"})), user(script({"say": "new"}))
    assert await answer(client, first, assistant("one"), second) == "new"


async def test_a_script_may_be_one_step_a_line(client):
    text = '```script\n{"say": "a"}\n\n{"say": "b"}\n```'
    assert await answer(client, user(text), assistant("a"), user("go on")) == "b"


async def test_words_come_one_by_one(client, script):
    assert await answer(client, user(script({"words": 3}))) == "word1 word2 word3 "


@pytest.mark.parametrize(
    "text", ["{nonsense", '[{"sya": "typo"}]', "[7]", '{"say": "a"}\nnonsense']
)
async def test_a_script_that_cannot_be_read_is_a_bad_request(client, text):
    with pytest.raises(anthropic.BadRequestError, match="script"):
        await answer(client, user(f"```script\n{text}\n```"))


def test_failures_stand_before_the_reply_they_delay():
    steps = parse('[{"error": 529, "times": 1}, {"say": "a"}, {"cut": true}]')
    first = next_step(steps, 0)
    assert ([step.error for step in first.failures], first.reply.say) == ([529], "a")
    assert next_step(steps, 1).failures[0].cut
    with pytest.raises(BadScript):
        parse("[[]]")


async def test_a_failure_passes_after_its_times(client, script):
    text = user(script({"error": 529, "times": 2}, {"say": "ok"}))
    for _ in range(2):
        with pytest.raises(anthropic.APIStatusError) as caught:
            await answer(client, text)
        assert caught.value.status_code == 529
        assert caught.value.type == "overloaded_error"
    assert await answer(client, text) == "ok"


async def test_models_are_listed_and_unknown_ones_refused(client):
    models = [model.id async for model in client.models.list()]
    assert models == ["scripted-demo"]
    assert (await client.models.retrieve("scripted-x")).id == "scripted-x"
    with pytest.raises(anthropic.NotFoundError) as caught:
        await answer(client, user("Hello"), model="claude-opus-5")
    assert caught.value.type == "not_found_error"
    assert caught.value.request_id.startswith("req_")


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [assistant("I begin")],
        [user([])],
        [user([{"type": "text", "text": " "}])],
        [
            user("a"),
            assistant([{"type": "tool_use", "id": "t", "name": "x", "input": {}}]),
            user("b"),
        ],
        [user([{"type": "tool_result", "tool_use_id": "t", "content": "x"}])],
        [
            user("a"),
            assistant(
                [
                    {"type": "thinking", "thinking": "Hm", "signature": "forged"},
                    {"type": "text", "text": "b"},
                ]
            ),
            user("c"),
        ],
    ],
)
async def test_what_the_real_api_refuses_is_refused(client, messages):
    with pytest.raises(anthropic.BadRequestError):
        await answer(client, *messages)


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\ncontent-length: -4\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\ncontent-length: 4\r\n\r\nnope",
        b"POST /v1/messages HTTP/1.1\r\ncontent-length: 2\r\n\r\n[]",
        b"POST /v1/messages HTTP/1.1\r\ncontent-length: 46\r\n\r\n"
        b'{"model":"scripted-x","messages":7,"stream":1}',
    ],
)
async def test_broken_requests_do_not_harm_it(server, client, sent):
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    assert b" 400 " in await within(reader.readline())
    writer.close()
    assert "Scripted demonstration" in await answer(client, user("Hello"))


async def test_without_a_script_it_shows_itself_with_real_tools(model):
    outputs = iter(["/workspace\nagent", "written", "   5 x"])

    async def run(call):
        return ToolResult(content=({"type": "text", "text": next(outputs)},))

    turn = FakeTurn(run=run)
    turn.queue_message("Please fix the bug.")
    assert await run_turn(turn, model) == END_TURN
    assert [call.name for call in turn.executed] == ["bash", "write", "bash"]
    first, *_, last = [m.content[0]["text"] for m in payloads(turn, "agent.message")]
    assert "no language model takes part" in first
    assert "   5 x" in last
    assert "ANTHROPIC_API_KEY" in last


async def test_the_show_stops_at_a_tool_that_fails(model):
    async def run(call):
        text = {"type": "text", "text": "no engine"}
        return ToolResult(content=(text,), is_error=True)

    turn = FakeTurn(run=run)
    turn.queue_message("Hello")
    assert await run_turn(turn, model) == END_TURN
    assert len(turn.executed) == 1
    last = payloads(turn, "agent.message")[-1].content[0]["text"]
    assert "That failed" in last
    assert "no engine" in last


async def test_the_show_needs_no_tools(model):
    turn = FakeTurn(agent=fake_agent(tools=[]))
    turn.queue_message("Hello")
    assert await run_turn(turn, model) == END_TURN
    assert turn.executed == []


async def test_many_streams_run_side_by_side(server, client, script):
    text = script({"words": 40, "delay_ms": 5})
    answers = await within(
        asyncio.gather(*(answer(client, user(text)) for _ in range(100)))
    )
    assert all(said.endswith("word40 ") for said in answers)


def test_it_serves_from_a_thread():
    with ScriptedModelServer().in_thread() as server:
        client = anthropic.Anthropic(base_url=server.url, api_key="any")
        assert client.models.list().data[0].id == "scripted-demo"
        client.close()


async def test_it_is_a_program_that_prints_its_address():
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sessions.harness.scripted_model",
        "--port",
        "0",
        stdout=asyncio.subprocess.PIPE,
    )
    url = (await within(program.stdout.readline())).decode().strip()
    client = anthropic.AsyncAnthropic(base_url=url, api_key="any")
    page = await client.models.list()
    assert json.loads(page.data[0].model_dump_json())["id"] == "scripted-demo"
    await client.close()
    program.terminate()
    assert await within(program.wait()) == 0
