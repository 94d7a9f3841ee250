"""Following a stream that may say nothing for long."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event

import pytest

from sandbox.following import follow, lines_of, plain


class Enough(Exception):
    pass


def test_lines_come_in_order_and_the_end_ends_it() -> None:
    said: list[str] = []
    follow(["a", "b"], said.append, lambda: None)
    assert said == ["a", "b"]


def test_a_silent_stream_is_left_when_attending_says_so() -> None:
    ended, looks = Event(), []

    def silent() -> Iterator[str]:
        ended.wait()
        yield "too late"

    def attend() -> None:
        looks.append(1)
        if len(looks) == 2:
            raise Enough

    with pytest.raises(Enough):
        follow(silent(), lambda line: None, attend)
    ended.set()


def test_what_the_stream_raises_is_raised() -> None:
    def broken() -> Iterator[str]:
        yield "a"
        raise Enough

    with pytest.raises(Enough):
        follow(broken(), lambda line: None, lambda: None)


def test_lines_are_cut_where_they_end_not_where_chunks_do() -> None:
    assert [*lines_of([b"a\nb", b"c\nd"])] == ["a", "bc", "d"]


def test_a_line_without_an_end_is_bounded() -> None:
    (line,) = lines_of([b"x" * 100_000] * 10)
    assert len(line) <= 2000


def test_colours_and_redrawn_progress_are_left_out() -> None:
    assert plain(b"10%\r50%\r\x1b[32mdone\x1b[0m\x07\r") == "done"
