"""The page's websocket: who may look, what comes, and in which order."""

from __future__ import annotations

import asyncio

import pytest
from channels.testing import WebsocketCommunicator
from django.test import Client

from agents.ids import new_id
from agentsite.asgi import application
from sessions import bus, lifecycle, log
from sessions.events import Draft, ThreadMessageReceived
from tests.sessions.streams.conftest import (
    append,
    asked,
    in_thread,
    make_session,
    own,
    preview,
    said,
    terminated,
    text,
)

pytestmark = pytest.mark.django_db(transaction=True)

ORIGIN = b"http://localhost:8400"


@pytest.fixture
def watched(workspace):
    return make_session(workspace)


def cookie_of(user):
    client = Client()
    client.force_login(user)
    return client.cookies["agentsite"].OutputString().split(";")[0].encode()


@pytest.fixture
def bobs(bob):
    """Bob's browser is signed in."""
    return cookie_of(bob)


@pytest.fixture
def charlies(charlie):
    return cookie_of(charlie)


class Page:
    """What a browser does with the socket."""

    def __init__(self, session, cookie=b"", *, after=0, origin=ORIGIN):
        headers = [(b"host", b"localhost:8400"), (b"origin", origin)]
        if cookie:
            headers.append((b"cookie", cookie))
        path = f"/ws/sessions/{session.pk}/?after={after}"
        self.socket = WebsocketCommunicator(application, path, headers=headers)

    async def __aenter__(self):
        self.connected, _ = await self.socket.connect()
        return self

    async def __aexit__(self, *error):
        await self.socket.disconnect()

    async def next(self, kind):
        """The next message of a type; batches that only tell the state are skipped."""
        while True:
            message = await self.socket.receive_json_from(timeout=5)
            if message["type"] == kind and message.get("events") != []:
                return message

    async def closing_code(self):
        while True:
            output = await self.socket.receive_output(timeout=5)
            if output["type"] == "websocket.close":
                return output["code"]


async def test_bob_sees_the_log_and_then_what_follows(watched, bobs):
    await append(watched, said("one"), own())
    async with Page(watched, bobs) as page:
        replayed = await page.next("batch")
        assert (await page.next("caught_up"))["number"] == 2
        await append(watched, said("three"))
        followed = await page.next("batch")
    first, second = replayed["events"]
    assert [first["number"], second["number"]] == [1, 2]
    assert second["event_type"] == "agentsite.tool_started"
    assert first["json"]["content"][0]["text"] == "one"
    assert "one" in first["html"]
    assert followed["events"][0]["number"] == 3
    assert followed["session"]["status"] == "idle"


async def test_it_goes_on_after_the_pages_number(watched, bobs):
    await append(watched, *[said(str(n)) for n in range(1, 6)])
    async with Page(watched, bobs, after=3) as page:
        batch = await page.next("batch")
    assert [event["number"] for event in batch["events"]] == [4, 5]


async def test_a_queued_message_comes_twice(watched, bobs):
    async with Page(watched, bobs) as page:
        await append(watched, asked("hello"))
        arrived = (await page.next("batch"))["events"][0]
        await in_thread(lambda: log.take_in(watched.pk, fence=0))
        taken = (await page.next("batch"))["events"][0]
    assert arrived["id"] == taken["id"]
    assert [arrived["queued"], taken["queued"]] == [True, False]


async def test_a_message_between_threads_hides_nothing_behind_it(watched, bobs):
    message = ThreadMessageReceived(
        from_session_thread_id="sthr_1", from_agent_name="Worker", content=text("hello")
    )
    async with Page(watched, bobs) as page:
        await append(watched, said("one"))
        await page.next("batch")
        await append(watched, Draft(payload=message, queued=True), said("three"))
        await page.next("batch")
        await append(watched, said("four"))
        events = (await page.next("batch"))["events"]
    assert [event["number"] for event in events] == [4]


async def test_previews_come_as_frames(watched, bobs):
    publisher, event_id = bus.Publisher(), new_id("sevt")
    async with Page(watched, bobs) as page:
        await page.next("caught_up")
        await preview(publisher, watched, event_id, "Once")
        frames = (await page.next("delta"))["frames"]
    await publisher.close()
    assert frames[0]["event"]["id"] == event_id


async def test_charlie_is_turned_away(watched, charlies):
    async with Page(watched, charlies) as page:
        assert await page.closing_code() == 4404


async def test_a_visitor_without_a_session_is_turned_away(watched):
    async with Page(watched) as page:
        assert await page.closing_code() == 4404


@pytest.mark.parametrize(
    "origin", [b"http://evil.example", b"http://localhost:3000", b"null", b""]
)
async def test_a_page_of_another_site_cannot_connect(watched, bobs, origin):
    async with Page(watched, bobs, origin=origin) as page:
        assert not page.connected


async def test_it_closes_when_the_session_is_deleted(watched, bobs):
    await append(watched, said("one"))
    async with Page(watched, bobs) as page:
        await page.next("caught_up")
        await in_thread(
            lambda: (lifecycle.forget(watched.pk), bus.nudge(watched.pk, 0))
        )
        assert await page.closing_code() == 4410


async def test_it_goes_on_after_termination_until_the_session_is_deleted(watched, bobs):
    async with Page(watched, bobs) as page:
        await page.next("caught_up")
        await append(watched, terminated())
        await page.next("batch")
        await append(watched, said("Its outputs are kept."))
        assert (await page.next("batch"))["events"][0]["number"] == 2
        await in_thread(
            lambda: (lifecycle.forget(watched.pk), bus.nudge(watched.pk, 0))
        )
        assert await page.closing_code() == 4410


async def test_an_event_is_rendered_once_for_all_who_watch(watched, bobs, monkeypatch):
    from sessions.consumers import rows

    rendered = []
    render = rows.render_event
    monkeypatch.setattr(
        rows,
        "render_event",
        lambda record, **extra: rendered.append(record.id) or render(record, **extra),
    )
    pages = [Page(watched, bobs) for _ in range(5)]
    for page in pages:
        await page.__aenter__()
    try:
        await asyncio.gather(*(page.next("caught_up") for page in pages))
        await append(watched, said("one"))
        await asyncio.gather(*(page.next("batch") for page in pages))
    finally:
        for page in pages:
            await page.__aexit__()
    assert len(rendered) == 1


async def test_what_a_page_says_over_the_socket_is_not_read(watched, bobs):
    word = {"type": "user.tool_confirmation", "tool_use_id": "x", "result": "allow"}
    async with Page(watched, bobs) as page:
        for sent in (word, {"events": [word]}, {"type": "user.interrupt"}):
            await page.socket.send_json_to(sent)
        await page.socket.send_to(text_data="\0{[")
        await page.socket.send_to(bytes_data=b"\xff" * 1000)
        await append(watched, asked("still here"))
        batch = await page.next("batch")
    assert [event["number"] for event in batch["events"]] == [1]
    assert await in_thread(log.last_number, watched.pk) == 1
