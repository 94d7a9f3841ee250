"""Streams as their readers meet them: daphne, real sockets, a real bus."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from dataclasses import replace

import anthropic
import httpx2
import psutil
import pytest
import redis

from agents.ids import new_id
from sessions import bus, lifecycle, log
from sessions.bus import wire
from sessions.events import EventType
from sessions.models import Thread
from tests.sessions.streams.conftest import (
    append,
    asked,
    delta,
    in_thread,
    own,
    preview,
    reading,
    said,
    terminated,
)

# The site's database is a copy of the tests' one, which must be there for that.
pytestmark = pytest.mark.django_db


async def test_it_streams_what_happens_from_now_on(live):
    await append(live, said("before"))
    async with reading(live) as reader:
        await append(live, said("now"))
        frame = await reader.next()
    assert (frame["event"], frame["id"]) == ("agent.message", 2)
    assert frame["data"]["content"][0]["text"] == "now"


async def test_headers_come_at_once_and_forbid_buffering(live):
    async with reading(live) as reader:
        headers = reader.response.headers
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-store"
    assert headers["x-accel-buffering"] == "no"
    assert headers["request-id"].startswith("req_")
    assert headers["anthropic-workspace-id"] == live.workspace_id


async def test_it_goes_on_after_the_last_event_id(live):
    await append(live, *[said(str(n)) for n in range(1, 6)])
    async with reading(live, last=2) as reader:
        replayed = await reader.take(3)
        await append(live, said("6"))
        replayed.append(await reader.next())
    assert [frame["id"] for frame in replayed] == [3, 4, 5, 6]


async def test_a_long_log_is_replayed_whole(live):
    for _ in range(3):
        await append(live, *[said("x" * 2_000) for _ in range(500)])
    async with reading(live, query="?after=0") as reader:
        frames = await reader.take(1_500)
    assert [frame["id"] for frame in frames] == list(range(1, 1_501))


async def test_a_client_event_comes_as_it_arrives_and_as_it_is_taken_in(live):
    async with reading(live) as reader:
        await append(live, asked("hello"))
        await append(live, said("working"))
        await in_thread(lambda: log.take_in(live.pk, fence=0))
        frames = await reader.take(3)
    arrived, _, taken = frames
    assert [frame["id"] for frame in frames] == [1, 2, 3]
    assert arrived["data"]["id"] == taken["data"]["id"]
    assert arrived["data"]["processed_at"] is None
    assert taken["data"]["processed_at"] is not None


async def test_both_frames_of_a_client_event_are_replayed_too(live):
    await append(live, asked("hello"))
    await append(live, said("working"))
    await in_thread(lambda: log.take_in(live.pk, fence=0))
    async with reading(live, query="?after=0") as reader:
        frames = await reader.take(3)
    assert [frame["id"] for frame in frames] == [1, 2, 3]
    assert [frame["data"]["processed_at"] is None for frame in frames] == [
        True,
        False,
        False,
    ]


async def test_own_types_come_only_when_asked_for(live):
    async with (
        reading(live) as plain,
        reading(live, query="?include=agentsite") as full,
    ):
        await append(live, own(), said("x"))
        assert (await plain.next())["id"] == 2
        assert [frame["id"] for frame in await full.take(2)] == [1, 2]


async def test_two_hundred_readers_get_every_event_in_order(live):
    client = httpx2.AsyncClient(timeout=60, limits=httpx2.Limits(max_connections=None))
    gate = asyncio.Barrier(201)

    async def read():
        async with client.stream("GET", live.url, headers=live.headers) as response:
            await gate.wait()
            numbers = []
            async for line in response.aiter_lines():
                if line.startswith("id: "):
                    numbers.append(int(line[4:]))
                if len(numbers) == 60:
                    break
            return numbers

    async with client, asyncio.TaskGroup() as group:
        readers = [group.create_task(read()) for _ in range(200)]
        await gate.wait()
        for n in range(20):
            await append(live, *[said(f"{n}")] * 3)
    assert {tuple(task.result()) for task in readers} == {tuple(range(1, 61))}


async def test_previews_come_before_their_event(live):
    publisher, event_id = bus.Publisher(), new_id("sevt")
    async with reading(live, query="?event_deltas[]=agent.message") as reader:
        await _heard(live)
        await preview(publisher, live, event_id, "Once ", "upon ", "a time")
        frames = []
        while not frames or _text(frames) != "Once upon a time":
            frames.append(await reader.next())
        await append(live, said("Once upon a time.", id=event_id))
        frames.append(await reader.next())
    await publisher.close()
    assert frames[0]["data"] == {
        "type": "event_start",
        "event": {"type": "agent.message", "id": event_id},
    }
    assert {frame["event"] for frame in frames[1:-1]} == {"event_delta"}
    assert frames[-1]["data"]["id"] == event_id
    assert not any("id" in frame for frame in frames[:-1])


async def test_previews_do_not_come_unasked(live):
    publisher, event_id = bus.Publisher(), new_id("sevt")
    async with (
        reading(live) as plain,
        reading(live, query="?event_deltas=agent.message") as asking,
    ):
        await _heard(live)
        await preview(publisher, live, event_id, "Once")
        await asking.take(2)
        await append(live, said("Once", id=event_id))
        assert (await plain.next())["event"] == "agent.message"
    await publisher.close()


async def test_a_child_s_words_are_previewed_on_its_own_stream_only(live):
    publisher, ids = bus.Publisher(), [new_id("sevt"), new_id("sevt")]
    child, other = await in_thread(lambda: [_child(live) for _ in range(2)])
    asking = "?event_deltas[]=agent.message"
    async with (
        reading(live, query=asking) as whole,
        reading(live, query=asking, thread=child) as own,
        reading(live, query=asking, thread=other) as others,
    ):
        await _heard(live)
        await preview(publisher, live, ids[0], "Mine", child_id=child.pk)
        await preview(publisher, live, ids[1], "Everybody's")
        publisher.flush(live.pk)  # the primary thread's event is written: its alone
        publisher.publish_delta(live.pk, delta(ids[0], " too"), child.pk)
        publisher.flush(live.pk, child.pk)
        seen = [
            await _until_said(whole, "Everybody's"),
            await _until_said(own, "Mine too"),
            [],
        ]
        await append(
            live,
            replace(said("Mine too.", id=ids[0]), thread_id=child.pk, inner=True),
            said("Everybody's.", id=ids[1]),
            replace(said("Another's."), thread_id=other.pk, inner=True),
        )
        for frames, reader in zip(seen, (whole, own, others), strict=True):
            frames.append(await reader.next())
    await publisher.close()
    assert [_text(frames) for frames in seen] == ["Everybody's", "Mine too", ""]
    assert [_said(frames[-1]) for frames in seen] == [
        "Everybody's.",
        "Mine too.",
        "Another's.",
    ]


async def _until_said(reader, words):
    frames = []
    async with asyncio.timeout(20):
        while _text(frames) != words:
            frames.append(await reader.next())
    return frames


def _said(frame):
    return frame["data"]["content"][0]["text"]


def _child(live):
    parent = live.threads.get(parent=None)
    return Thread.objects.create(session=live, parent=parent, agent_snapshot={})


async def test_it_ends_after_termination(live):
    async with reading(live) as reader:
        await append(live, said("bye"), terminated())
        assert [f["event"] for f in await reader.take(2)][
            -1
        ] == EventType.SESSION_STATUS_TERMINATED
        with pytest.raises(StopAsyncIteration):
            await reader.next()


async def test_it_ends_when_the_session_is_deleted(live):
    async with reading(live) as reader:
        await append(live, said("bye"))
        await reader.next()
        await in_thread(lambda: (lifecycle.forget(live.pk), bus.nudge(live.pk, 0)))
        assert (await reader.next())["data"]["type"] == "session.deleted"
        with pytest.raises(StopAsyncIteration):
            await reader.next()


async def test_it_notices_that_a_client_has_left(live):
    async with reading(live):
        assert await in_thread(subscribers, live) == 1
    async with asyncio.timeout(5):
        while await in_thread(subscribers, live):
            await asyncio.sleep(0.05)


async def test_a_reader_that_stalls_is_cut(site, live):
    request = f"GET /v1/sessions/{live.pk}/events/stream?after=0 HTTP/1.1\r\nHost: localhost\r\n"
    request += f"Authorization: Bearer {live.key}\r\n\r\n"
    for _ in range(4):
        await append(live, *[said("x" * 50_000) for _ in range(100)])
    before = psutil.Process(site.web_pid).memory_info().rss
    with socket.create_connection(("127.0.0.1", site.port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(request.encode())
        assert client.recv(12) == b"HTTP/1.1 200"
        await _until(lambda: _streams(site), 0)
    grown = psutil.Process(site.web_pid).memory_info().rss - before
    assert grown < 40_000_000  # it asked for 20 MB and never read them


async def test_a_reader_that_stands_still_holds_nobody_up(site, live):
    """One reads nothing; twenty others get everything all the same."""
    request = (
        f"GET /v1/sessions/{live.pk}/events/stream HTTP/1.1\r\nHost: localhost\r\n"
    )
    request += f"Authorization: Bearer {live.key}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", site.port)) as still:
        still.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        still.sendall(request.encode())
        assert still.recv(12) == b"HTTP/1.1 200"
        async with AsyncExitStack() as stack:
            others = [await stack.enter_async_context(reading(live)) for _ in range(20)]
            for _ in range(2):
                await append(live, *[said("x" * 50_000) for _ in range(30)])
            frames = await asyncio.gather(*(reader.take(60) for reader in others))
        for seen in frames:
            assert [frame["id"] for frame in seen] == list(range(1, 61))


async def test_a_slow_reader_is_not_cut(live):
    await append(live, *[said("x" * 20_000) for _ in range(100)])
    async with reading(live, query="?after=0") as reader:
        first = await reader.take(5)
        await asyncio.sleep(0.5)  # half of the patience
        rest = await reader.take(95)
    assert [frame["id"] for frame in first + rest] == list(range(1, 101))


async def test_it_goes_on_while_the_bus_is_away(site, live):
    async with reading(live) as reader:
        site.stop_bus()
        try:
            await append(live, said("no nudge"))
            assert (await reader.next())["id"] == 1
        finally:
            site.start_bus()
        await _heard(live)
        await append(live, said("again"))
        assert (await reader.next())["id"] == 2


async def test_the_sync_sdk_reads_it(site, live):
    def read():
        with anthropic.Anthropic(base_url=site.url, api_key=live.key) as client:
            stream = client.beta.sessions.events.stream(live.pk)
            log.append(live.pk, [said("hello"), terminated()])
            return list(stream)

    events = await in_thread(read)
    assert [event.type for event in events] == [
        "agent.message",
        "session.status_terminated",
    ]
    assert events[0].content[0].text == "hello"


async def test_the_async_sdk_reads_events_and_previews(site, live):
    publisher, event_id = bus.Publisher(), new_id("sevt")
    async with anthropic.AsyncAnthropic(base_url=site.url, api_key=live.key) as client:
        stream = await client.beta.sessions.events.stream(
            live.pk, event_deltas=["agent.message"]
        )
        await _heard(live)
        await preview(publisher, live, event_id, "Once")
        events = [await anext(stream), await anext(stream)]
        await append(live, said("Once.", id=event_id), terminated())
        events += [event async for event in stream]
    await publisher.close()
    assert [event.type for event in events] == [
        "event_start",
        "event_delta",
        "agent.message",
        "session.status_terminated",
    ]


def _text(frames):
    return "".join(
        frame["data"]["delta"]["content"]["text"]
        for frame in frames
        if frame["event"] == "event_delta"
    )


def subscribers(session):
    """How many processes hear the bus about a session."""
    channel = wire.channel_of(bus.session_group(session.pk))
    with redis.Redis.from_url(wire.address()) as client:
        return dict(client.pubsub_numsub(channel))[channel.encode()]


async def _heard(session):
    """Wait until the site hears the bus: what was said of a reply before, nobody sees."""
    await _until(lambda: in_thread(subscribers, session), 1)


async def _streams(site):
    """How many clients are connected to the site's daphne."""
    connections = psutil.Process(site.web_pid).net_connections("tcp")
    return sum(each.status == psutil.CONN_ESTABLISHED for each in connections)


async def _until(ask, wanted):
    async with asyncio.timeout(15):
        while await ask() != wanted:
            await asyncio.sleep(0.05)
