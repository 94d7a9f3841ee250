"""Which previews a connection sees: whatever is lost, a beginning of the text."""

from __future__ import annotations

import random

import pytest

from sessions.consumers.entries import Piece
from sessions.consumers.previews import Previews
from tests.sessions.streams.conftest import delta

WORDS = [f"w{n} " for n in range(30)]


def start(event_id="sevt_1", kind="agent.message"):
    event = {"type": kind, "id": event_id}
    return Piece(number=0, frame={"type": "event_start", "event": event})


def piece(number, event_id="sevt_1"):
    return Piece(number=number, frame=delta(event_id, WORDS[number - 1]))


class Written:
    def __init__(self, event_id):
        self.type = "agent.message"
        self.frame = self
        self.record = self
        self.id = event_id


@pytest.mark.parametrize("seed", range(50))
def test_what_gets_through_is_a_contiguous_beginning(seed):
    chance = random.Random(seed)
    sent = [start(), *(piece(n) for n in range(1, 31))]
    arrived = [each for each in sent if chance.random() > 0.05]
    previews = Previews({"agent.message"})
    seen = [each.number for each in arrived if previews.admits(each)]
    assert seen == list(range(len(seen)))


def test_a_connection_that_came_too_late_for_the_start_sees_nothing():
    previews = Previews({"agent.message"})
    assert not any(previews.admits(piece(n)) for n in (4, 5, 6))


def test_a_start_comes_once():
    previews = Previews({"agent.message"})
    assert [previews.admits(start()), previews.admits(start())] == [True, False]
    assert not previews.admits(piece(1))


def test_nothing_follows_the_event_itself():
    previews = Previews({"agent.message"})
    assert previews.admits(start())
    previews.written(Written("sevt_1"))
    assert not previews.admits(piece(1))


def test_a_start_that_is_late_does_not_follow_its_event():
    previews = Previews({"agent.message"})
    previews.written(Written("sevt_1"))
    assert not previews.admits(start())


def test_only_the_types_asked_for_get_through():
    previews = Previews({"agent.thinking"})
    assert not previews.admits(start())
    assert not previews.admits(piece(1))
    assert previews.admits(start("sevt_2", "agent.thinking"))


def test_a_page_that_came_late_sees_what_is_written_from_then_on():
    previews = Previews({"agent.message"}, late=True)
    assert [previews.admits(piece(n)) for n in (4, 5, 7, 8)] == [
        True,
        True,
        False,
        False,
    ]
    previews.written(Written("sevt_2"))
    assert not previews.admits(piece(3, "sevt_2"))
