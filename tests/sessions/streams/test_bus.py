"""What a host publishes, and what survives a bus that does not take it."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import ConnectionError as BusDown

from sessions import bus
from tests.sessions.streams.conftest import delta, preview, redis_layer


class Recorder:
    """A bus that keeps what it is given, and refuses while it is down."""

    def __init__(self):
        self.messages = []
        self.down = False

    async def send(self, messages):
        if self.down:
            raise BusDown("no bus")
        self.messages += messages

    async def close(self):
        pass

    def pieces(self, session_id="sesn_1"):
        return [
            tuple(piece)
            for message in self.messages
            if message["session_id"] == session_id
            for piece in message["frames"]
        ]

    def text(self, session_id="sesn_1"):
        return "".join(
            frame["delta"]["content"]["text"]
            for _, frame in self.pieces(session_id)
            if frame["type"] == "event_delta"
        )


class Session:
    pk = "sesn_1"


@pytest.fixture
def recorder():
    return Recorder()


async def test_the_first_words_go_at_once_and_the_rest_together(recorder):
    publisher = bus.Publisher(channel=recorder)
    await preview(publisher, Session, "sevt_1", "Once")
    await asyncio.sleep(0)
    assert recorder.text() == "Once"
    for word in (" upon", " a", " time"):
        publisher.publish_delta("sesn_1", delta("sevt_1", word))
    publisher.flush("sesn_1")
    await publisher.close()
    numbers = [number for number, _ in recorder.pieces()]
    assert recorder.text() == "Once upon a time"
    assert numbers == [0, 1, 2]


async def test_blocks_of_one_message_are_not_joined(recorder):
    publisher = bus.Publisher(channel=recorder)
    await preview(publisher, Session, "sevt_1")
    publisher.publish_delta("sesn_1", delta("sevt_1", "a", index=0))
    publisher.publish_delta("sesn_1", delta("sevt_1", "b", index=1))
    await publisher.close()
    indices = [frame["delta"]["index"] for _, frame in recorder.pieces()[1:]]
    assert indices == [0, 1]


async def test_a_delta_without_its_start_is_not_sent(recorder):
    publisher = bus.Publisher(channel=recorder)
    publisher.publish_delta("sesn_1", delta("sevt_1", "lost"))
    await publisher.close()
    assert recorder.messages == []


async def test_nothing_follows_a_piece_that_the_bus_lost(recorder):
    publisher = bus.Publisher(channel=recorder)
    await preview(publisher, Session, "sevt_1", "Once")
    await _settled()
    recorder.down = True
    publisher.publish_delta("sesn_1", delta("sevt_1", " upon"))
    await _until(lambda: publisher._streams["sesn_1", None].previews["sevt_1"].cut)
    recorder.down = False
    publisher.publish_delta("sesn_1", delta("sevt_1", " a time"))
    await publisher.close()
    assert recorder.text() == "Once"


async def test_a_full_publisher_gives_up_whole_previews(recorder):
    publisher = bus.Publisher(channel=recorder, room=10)
    for event_id in ("sevt_1", "sevt_2"):
        start = {"type": "agent.message", "id": event_id}
        publisher.publish_delta("sesn_1", {"type": "event_start", "event": start})
    for word in ("12345", "678901", "more"):
        publisher.publish_delta("sesn_1", delta("sevt_1", word))
    await publisher.close()
    assert recorder.pieces() == []


async def test_what_waits_never_exceeds_the_room(recorder):
    gate = asyncio.Event()
    send = recorder.send

    async def hanging(messages):
        await gate.wait()
        await send(messages)

    recorder.send = hanging
    publisher = bus.Publisher(channel=recorder, room=1_000)
    for n in range(50):
        session_id = f"sesn_{n}"
        start = {"type": "agent.message", "id": f"sevt_{n}"}
        publisher.publish_delta(session_id, {"type": "event_start", "event": start})
        publisher.publish_delta(session_id, delta(f"sevt_{n}", "x" * 100))
        assert publisher._size <= 1_000
        await asyncio.sleep(0)
    gate.set()
    await publisher.close()
    assert publisher._size == 0


async def test_a_hundred_sessions_slow_down_together(recorder):
    publisher = bus.Publisher(channel=recorder)
    for n in range(100):
        start = {"type": "agent.message", "id": f"sevt_{n}"}
        publisher.publish_delta(f"sesn_{n}", {"type": "event_start", "event": start})
    assert publisher._pace() == pytest.approx(1 / 6)
    await publisher.close()


def test_a_nudge_on_a_dead_bus_raises_nothing_and_is_logged_once(settings, caplog):
    settings.CHANNEL_LAYERS = redis_layer("unix:///nowhere/bus.sock")
    for number in range(1_000):
        bus.nudge("sesn_1", number)
    assert len(caplog.records) == 1


async def test_a_host_hears_whom_to_look_at():
    listener = aiter(bus.Listener())
    hearing = asyncio.ensure_future(anext(listener))
    await _settled()
    bus.wake_hosts("sesn_1")
    assert await hearing == "sesn_1"
    await listener.aclose()


async def _settled():
    for _ in range(5):
        await asyncio.sleep(0)


async def _until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)
