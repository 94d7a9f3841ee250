"""A session's events as plain lines for a terminal."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import httpx2

Event = Mapping[str, Any]
LONGEST_RESULT = 20  # lines
LONGEST_LINE = 200
PAUSE_SECONDS = 1.0
SILENCE_SECONDS = 60.0  # Four keep-alives missed: the line is dead.
OVER = frozenset({"session.status_terminated", "session.deleted"})


class Refused(Exception):
    """The site does not show this session; says why."""


def follow(client: httpx2.Client, session_id: str) -> Iterator[Event]:
    """Yield every event from the first one on; reconnect without loss or repeat."""
    last = "0"
    while True:
        try:
            for number, event in _stream(client, session_id, last):
                last = number or last
                yield event
                if event["type"] in OVER:
                    return
        except httpx2.TransportError:
            time.sleep(PAUSE_SECONDS)


def _stream(
    client: httpx2.Client, session_id: str, last: str
) -> Iterator[tuple[str, Event]]:
    path = f"/v1/sessions/{session_id}/events/stream"
    with client.stream(
        "GET",
        path,
        params={"include": "agentsite"},
        headers={"Last-Event-ID": last},
        timeout=SILENCE_SECONDS,
    ) as answer:
        if answer.status_code >= 500:
            raise httpx2.ReadError(f"the site answers {answer.status_code}")
        if answer.status_code != 200:
            raise Refused(json.loads(answer.read())["error"]["message"])
        yield from frames(answer.iter_lines())


def frames(lines: Iterable[str]) -> Iterator[tuple[str, Event]]:
    """Read server-sent events: their numbers and what they carry."""
    number, data = "", []
    for line in lines:
        name, _, value = line.partition(":")
        if name == "id":
            number = value.strip()
        elif name == "data":
            data.append(value.removeprefix(" "))
        elif not line and data:
            yield number, json.loads("\n".join(data))
            number, data = "", []


class Lines:
    """Turns events into lines. An event that comes again says nothing new."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def of(self, event: Event) -> list[str]:
        if event["id"] in self._seen:
            return []
        self._seen.add(event["id"])
        show = SHOW.get(event["type"])
        return show(event) if show else []


def _user(event: Event) -> list[str]:
    return [f"> {line}" for line in _text(event).splitlines()]


def _message(event: Event) -> list[str]:
    return ["", *_text(event).splitlines(), ""]


def _tool_use(event: Event) -> list[str]:
    wish = event["input"]
    first = wish.get("command") or wish.get("file_path") or wish.get("pattern")
    return [_short(f"▸ {event['name']}  {first or json.dumps(wish)}")]


def _tool_result(event: Event) -> list[str]:
    mark = "✗" if event.get("is_error") else "│"
    lines = _text(event).splitlines()
    shown = [_short(f"  {mark} {line}") for line in lines[:LONGEST_RESULT]]
    more = len(lines) - len(shown)
    return [*shown, f"  {mark} … {more} more lines"] if more else shown


def _idle(event: Event) -> list[str]:
    return [f"— idle ({event['stop_reason']['type']})"]


def _error(event: Event) -> list[str]:
    return [f"! {event['error']['message']}"]


def _waiting(event: Event) -> list[str]:
    return [] if event.get("over") else [f"… {event['reason']}"]


def _recovery(event: Event) -> list[str]:
    calls = ", ".join(f"{call['name']}: {call['outcome']}" for call in event["calls"])
    return [f"↻ another worker went on ({calls or event.get('cut') or 'nothing cut'})"]


SHOW = {
    "user.message": _user,
    "user.interrupt": lambda event: ["> (interrupt)"],
    "agent.message": _message,
    "agent.tool_use": _tool_use,
    "agent.tool_result": _tool_result,
    "session.status_running": lambda event: ["— running"],
    "session.status_rescheduled": lambda event: ["— waits and tries again"],
    "session.status_idle": _idle,
    "session.status_terminated": lambda event: ["— terminated"],
    "session.deleted": lambda event: ["— deleted"],
    "session.error": _error,
    "agentsite.waiting": _waiting,
    "agentsite.recovery": _recovery,
}


def _text(event: Event) -> str:
    blocks = event.get("content", [])
    return "\n".join(
        block["text"] if block["type"] == "text" else f"({block['type']})"
        for block in blocks
    )


def _short(line: str) -> str:
    line = line.replace("\n", " ⏎ ")
    return line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 1] + "…"
