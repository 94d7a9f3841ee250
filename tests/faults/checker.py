"""Judges what a session left behind: what holds at the end, whatever went wrong.

Pure: `records` reads it from a site's database, and these functions return sentences.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COUNTER = "/workspace/counted"
COUNTED = re.compile(rf"echo (\S+) >> {COUNTER}")

CALLS = {"agent.tool_use", "agent.mcp_tool_use", "agent.custom_tool_use"}
RESULTS = {
    "agent.tool_result": "tool_use_id",
    "agent.mcp_tool_result": "mcp_tool_use_id",
    "user.custom_tool_result": "custom_tool_use_id",
}


@dataclass(frozen=True, kw_only=True)
class Event:
    id: str
    type: str
    seq: int
    position: int | None
    payload: Mapping[str, Any]
    at: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Left:
    """What one session left behind."""

    id: str
    status: str
    stop_reason: Mapping[str, Any] | None
    next_seq: int
    events: Sequence[Event]


def count(token: str, then: str = "true") -> str:
    """A command whose effect can be counted, and that goes on for a while after it."""
    return f"echo {token} >> {COUNTER}; {then}"


def faults(left: Left, counted: Iterable[str] | None = None) -> list[str]:
    """Return what is wrong with a log; `counted` are the lines of the counter file."""
    found = [*_gaps(left), *_results(left), *_requests(left), *_rest(left)]
    if counted is not None:
        found += _effects(left, Counter(counted))
    return [f"{left.id}: {fault}" for fault in found]


def _gaps(left: Left) -> Iterator[str]:
    numbers = Counter(event.seq for event in left.events)
    numbers.update(
        event.position
        for event in left.events
        if event.position is not None and event.position != event.seq
    )
    for number in range(1, left.next_seq):
        if numbers[number] != 1:
            yield f"number {number} was given {numbers[number]} times"
    for number in sorted(number for number in numbers if number >= left.next_seq):
        yield f"number {number} is beyond the counter"


def _results(left: Left) -> Iterator[str]:
    calls = {event.id for event in left.events if event.type in CALLS}
    answered = Counter(
        event.payload[RESULTS[event.type]]
        for event in left.events
        if event.type in RESULTS
    )
    waited_for = set((left.stop_reason or {}).get("event_ids", ()))
    for call in sorted(calls - waited_for):
        if answered[call] != 1:
            yield f"call {call} has {answered[call]} results"
    for call in sorted({*answered} - calls):
        yield f"a result answers {call}, which is no call"


def _requests(left: Left) -> Iterator[str]:
    started = {e.id for e in left.events if e.type == "span.model_request_start"}
    ended = Counter(
        event.payload["model_request_start_id"]
        for event in left.events
        if event.type == "span.model_request_end"
    )
    for start in sorted(started | {*ended}):
        if ended[start] != 1 or start not in started:
            yield f"model request {start} ended {ended[start]} times"


def _rest(left: Left) -> Iterator[str]:
    if left.status not in {"idle", "terminated"}:
        yield f"it is still {left.status}"
    elif left.status == "idle":
        yield from _reason(left.stop_reason or {})
    for event in left.events:
        if event.position is None:
            yield f"{event.type} {event.id} was never taken in"


def _reason(stop_reason: Mapping[str, Any]) -> Iterator[str]:
    if not stop_reason.get("type"):
        yield "it is idle and says no reason"
    elif stop_reason["type"] == "requires_action" and not stop_reason.get("event_ids"):
        yield "it waits and does not say for what"


def strays(owners: Iterable[str], sessions: Collection[str]) -> list[str]:
    """Return what is wrong with a site's containers, each given as its session."""
    times = Counter(owners)
    return [
        *(f"{each} has {n} containers" for each, n in sorted(times.items()) if n > 1),
        *(f"a container is left of {each}" for each in sorted({*times} - {*sessions})),
    ]


def _effects(left: Left, counted: Counter[str]) -> Iterator[str]:
    """No call took effect twice; one that says it succeeded did so once."""
    succeeded = {
        event.payload["tool_use_id"]
        for event in left.events
        if event.type == "agent.tool_result" and not event.payload.get("is_error")
    }
    for event in left.events:
        for token in _tokens(event):
            times = counted[token]
            if times > 1 or (times == 0 and event.id in succeeded):
                yield f"call {event.id} ({token}) took effect {times} times"


def _tokens(event: Event) -> list[str]:
    if event.type != "agent.tool_use":
        return []
    return COUNTED.findall(event.payload["input"].get("command", ""))
