"""What a session tells, in order, of a model that fails: every kind of failure."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import sync_to_async

from sessions import log
from sessions.events import CLIENT_TYPES
from sessions.models import Session
from tests.sessions.hosting import (
    FakeHands,
    begin,
    events,
    has,
    hosting,
    is_idle,
    message,
    numbers,
    scripted,
    seen,
    send,
    types,
    until,
)

pytestmark = pytest.mark.django_db(transaction=True)

OPENING = ["session.status_running", "session.thread_status_running", "user.message"]
FAILED = ["span.model_request_start", "span.model_request_end", "session.error"]
WAITED = [
    "session.status_rescheduled",
    "session.thread_status_rescheduled",
    "session.status_running",
    "session.thread_status_running",
]
ANSWERED = ["span.model_request_start", "agent.message", "span.model_request_end"]
CLOSING = ["session.thread_status_idle", "session.usage", "session.status_idle"]

REQUEST_FAILED = "model_request_failed_error"
PASSING = {
    "529": ({"error": 529}, "model_overloaded_error"),
    "429": ({"error": 429, "retry_after": 0.01}, "model_rate_limited_error"),
    "500": ({"error": 500}, REQUEST_FAILED),
    "504": ({"error": 504}, REQUEST_FAILED),
    "overloaded midway": (
        {"error": 529, "midway": True, "say": "Once upon"},
        "model_overloaded_error",
    ),
    "cut midway": ({"cut": True, "say": "Once upon"}, REQUEST_FAILED),
}
STAYING = {
    "400": ({"error": 400}, REQUEST_FAILED, "rejected the request"),
    "401": ({"error": 401}, REQUEST_FAILED, "did not accept the API key"),
    "402": ({"error": 402}, "billing_error", "billing problem"),
    "403": ({"error": 403}, REQUEST_FAILED, "does not permit"),
    "404": ({"error": 404}, REQUEST_FAILED, "does not know the model"),
}


@pytest.fixture
def agent(working_agent):
    return working_agent


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Two tries more, soon."""
    monkeypatch.setattr("sessions.harness.loop.RETRY_SECONDS", (0.01, 0.01))


async def errors(session):
    return [row.payload["error"] for row in await events(session, "session.error")]


def statuses(errors):
    return [error["retry_status"]["type"] for error in errors]


async def stop_reason(session):
    return (await Session.objects.aget(pk=session.pk)).stop_reason["type"]


@sync_to_async
def streamed(session):
    """The ids of what the platform wrote, as a stream sends them."""
    frames = log.since(session.pk, 0)
    return [f.record.id for f in frames if f.record.type not in CLIENT_TYPES]


@pytest.mark.parametrize(("step", "kind"), PASSING.values(), ids=PASSING)
async def test_a_failure_that_passes_is_told_waited_for_and_gone_on_from(
    actor, agent, environment, hands, step, kind
):
    failing = {**step, "times": 2}
    session = await begin(
        actor, agent, environment, scripted(failing, {"say": "There."})
    )
    async with hosting(hands):
        await until(seen(session, "session.status_idle"))
    assert await types(session) == [
        *OPENING,
        *(FAILED + WAITED) * 2,
        *ANSWERED,
        *CLOSING,
    ]
    told = await errors(session)
    assert [error["type"] for error in told] == [kind] * 2
    assert statuses(told) == ["retrying"] * 2
    assert all("request req_scripted" in error["message"] for error in told)
    ends = await events(session, "span.model_request_end")
    assert [end.payload["is_error"] for end in ends] == [True, True, False]
    (said,) = await events(session, "agent.message")
    assert said.payload["content"][0]["text"] == "There."
    ids = await streamed(session)
    assert len(ids) == len(set(ids))  # a retry repeats no event
    found = await sync_to_async(numbers)(session)
    assert found == list(range(1, len(found) + 1))


@pytest.mark.parametrize(("step", "kind"), PASSING.values(), ids=PASSING)
async def test_one_that_does_not_pass_exhausts_the_tries_and_a_message_tries_again(
    actor, agent, environment, hands, model, step, kind
):
    session = await begin(actor, agent, environment, scripted(step))
    async with hosting(hands):
        await until(seen(session, "session.status_idle"))
        assert await types(session) == [
            *OPENING,
            *(FAILED + WAITED) * 2,
            *FAILED,
            *CLOSING,
        ]
        told = await errors(session)
        assert {error["type"] for error in told} == {kind}
        assert statuses(told) == ["retrying", "retrying", "exhausted"]
        assert await stop_reason(session) == "retries_exhausted"
        assert len(model.requests) == 3
        await send(actor, session, [scripted({"say": "Better."})])
        await until(seen(session, "agent.message"))
        await is_idle(session)
    assert await stop_reason(session) == "end_turn"


@pytest.mark.parametrize(("step", "kind", "said"), STAYING.values(), ids=STAYING)
async def test_one_that_cannot_pass_ends_the_turn_at_once(
    actor, agent, environment, hands, model, step, kind, said
):
    session = await begin(actor, agent, environment, scripted(step))
    async with hosting(hands):
        await until(seen(session, "session.status_idle"))
    assert await types(session) == [*OPENING, *FAILED, *CLOSING]
    (error,) = await errors(session)
    assert error["type"] == kind
    assert said in error["message"]
    assert "request req_scripted" in error["message"]
    assert statuses([error]) == ["exhausted"]
    assert await stop_reason(session) == "retries_exhausted"
    assert len(model.requests) == 1


async def test_a_model_that_says_nothing_is_timed_out_and_asked_again(
    actor, agent, environment, model, monkeypatch
):
    monkeypatch.setattr("sessions.harness.anthropic_model.SILENCE_SECONDS", 0.3)
    session = await begin(
        actor, agent, environment, scripted({"wait_ms": 60_000, "say": "Late."})
    )
    async with hosting(FakeHands(model.url)):
        await until(seen(session, "session.status_idle"))
    told = await errors(session)
    assert {error["type"] for error in told} == {REQUEST_FAILED}
    assert statuses(told) == ["retrying", "retrying", "exhausted"]
    assert len(model.requests) == 3
    assert not await events(session, "agent.message")


async def test_a_provider_that_is_not_there_is_named(actor, agent, environment, hands):
    session = await begin(actor, agent, environment, message("Hello"))
    async with hosting(FakeHands("http://127.0.0.1:9")):
        await until(seen(session, "session.status_idle"))
    told = await errors(session)
    assert statuses(told) == ["retrying", "retrying", "exhausted"]
    assert all("http://127.0.0.1:9 could not be reached" in e["message"] for e in told)


async def test_what_waits_when_the_tries_are_exhausted_shares_the_turn_s_end(
    actor, agent, environment, hands, model, monkeypatch
):
    asked, go_on = asyncio.Event(), asyncio.Event()
    fail = hands._model.stream

    async def held(request, listener):
        asked.set()
        await go_on.wait()
        return await fail(request, listener)

    monkeypatch.setattr(hands._model, "stream", held)
    session = await begin(actor, agent, environment, scripted({"error": 400}))
    async with hosting(hands):
        await asked.wait()
        await send(actor, session, [message("And this?")])
        go_on.set()
        await until(seen(session, "session.status_idle"))
        assert await has(session, status="idle", owner="")
    assert not await sync_to_async(log.queued_types)(session.pk)
    assert len(model.requests) == 1
    assert await stop_reason(session) == "retries_exhausted"


async def test_a_refusal_is_a_reason_of_its_own_with_its_details(
    actor, agent, environment, hands
):
    refusing = {"say": "I will not.", "stop": "refusal"}
    session = await begin(actor, agent, environment, scripted(refusing))
    async with hosting(hands):
        await until(seen(session, "session.status_idle"))
        for kind in ("session.status_idle", "session.thread_status_idle"):
            (idle,) = await events(session, kind)
            assert idle.payload["stop_reason"] == {"type": "refusal"}
            assert idle.payload["stop_details"]["type"] == "refusal"
            assert "is refused" in idle.payload["stop_details"]["explanation"]
        await send(actor, session, [scripted({"say": "That I will."})])
        await until(seen(session, "agent.message", 2))
        await is_idle(session)
    assert await stop_reason(session) == "end_turn"
    assert not await events(session, "session.error")
