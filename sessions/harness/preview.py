"""Shows a reply while it comes, under the ids that its events will have."""

from __future__ import annotations

from sessions.events import EventType
from sessions.harness.contract import Turn
from sessions.harness.model import Usage


class Preview:
    """Listens to one reply. What it showed is a beginning of what will be written."""

    def __init__(self, turn: Turn) -> None:
        self.usage = Usage()
        self._turn = turn
        self.thinking_id = turn.new_id()
        self.message_id = turn.new_id()
        self._begun: set[str] = set()
        self._shown: dict[int, int] = {}  # the reply's block → the message's block
        self._blank: dict[int, str] = {}  # white space that may yet become a text

    def thought(self) -> None:
        self._begin(EventType.AGENT_THINKING, self.thinking_id)

    def said(self, block: int, text: str) -> None:
        if block not in self._shown:
            text = self._blank.pop(block, "") + text
            if not text.strip():
                self._blank[block] = text
                return
            self._begin(EventType.AGENT_MESSAGE, self.message_id)
            self._shown[block] = len(self._shown)
        self._turn.preview(_delta(self.message_id, self._shown[block], text))

    def used(self, usage: Usage) -> None:
        self.usage = usage

    def _begin(self, type: EventType, event_id: str) -> None:
        if event_id not in self._begun:
            self._begun.add(event_id)
            event = {"type": type.value, "id": event_id}
            self._turn.preview({"type": "event_start", "event": event})


def _delta(event_id: str, index: int, text: str) -> dict[str, object]:
    return {
        "type": "event_delta",
        "event_id": event_id,
        "delta": {
            "type": "content_delta",
            "index": index,
            "content": {"type": "text", "text": text},
        },
    }
