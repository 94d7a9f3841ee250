"""Steps of a script, and which of them comes next in a conversation."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

FENCE = re.compile(r"^```script[ \t]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
LETTERS_A_CHUNK = 12

Message = Mapping[str, Any]


class BadScript(Exception):
    """The script cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One reply, or one way not to reply. What each field does: see the package."""

    say: str = ""
    words: int = 0
    think: str = ""
    tools: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    chunks: int = 0
    delay_ms: float = 0
    wait_ms: float = 0
    stop: str = ""
    error: int = 0
    retry_after: float | None = None
    midway: bool = False
    cut: bool = False
    times: int | None = None

    @property
    def fails(self) -> bool:
        return bool(self.error or self.cut)

    def pieces(self) -> list[str]:
        """The text as it is to be sent, piece by piece."""
        if self.words:
            return [f"word{number} " for number in range(1, self.words + 1)]
        wanted = self.chunks or max(1, len(self.say) // LETTERS_A_CHUNK)
        size = max(1, -(-len(self.say) // wanted))
        return [self.say[at : at + size] for at in range(0, len(self.say), size)]


UNSAID = asdict(Step())

FINISHED = Step(say="The script is finished.")


@dataclass(frozen=True, kw_only=True)
class Turning:
    """What comes next: a reply, and the failures that stand before it."""

    failures: Sequence[Step]
    reply: Step


def parse(text: str) -> list[Step]:
    """Return the steps of a script. Raises BadScript."""
    try:
        read = json.loads(text)
    except ValueError:
        read = [_line(line) for line in text.splitlines() if line.strip()]
    steps = read if isinstance(read, list) else [read]
    return [_step(step) for step in steps]


def script_of(messages: Sequence[Message]) -> tuple[int, list[Step]] | None:
    """Return the last script of a conversation and the place of its message."""
    for place in range(len(messages) - 1, -1, -1):
        if messages[place]["role"] == "user":
            scripts = FENCE.findall("\n".join(texts(messages[place])))
            if scripts:
                return place, parse(scripts[-1])
    return None


def next_step(steps: Sequence[Step], replies: int) -> Turning:
    """Return what comes after so many replies."""
    failures: list[Step] = []
    for step in [*steps, FINISHED]:
        if step.fails:
            failures.append(step)
        elif replies == 0:
            return Turning(failures=failures, reply=step)
        else:
            failures = []
            replies -= 1
    return Turning(failures=(), reply=FINISHED)


def remaining(steps: Sequence[Step], replies: int) -> str:
    """Return what is left of a script after so many replies, as a script."""
    left = list(steps)
    while replies and left:
        replies -= not left.pop(0).fails
    said = [
        {name: value for name, value in asdict(step).items() if value != UNSAID[name]}
        for step in left
    ]
    return f"```script\n{json.dumps(said, ensure_ascii=False)}\n```"


def replies_since(messages: Sequence[Message], place: int) -> int:
    return sum(message["role"] == "assistant" for message in messages[place:])


def texts(message: Message) -> list[str]:
    """Return the texts of a message, without those of tool results."""
    content = message["content"]
    if isinstance(content, str):
        return [content]
    return [block["text"] for block in content if block["type"] == "text"]


def last_result(messages: Sequence[Message]) -> Mapping[str, Any] | None:
    """Return the last tool result of a conversation."""
    for message in reversed(messages):
        if isinstance(message["content"], str):
            continue
        for block in reversed(message["content"]):
            if block["type"] == "tool_result":
                found: Mapping[str, Any] = block
                return found
    return None


def result_text(result: Mapping[str, Any] | None) -> str:
    content = (result or {}).get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(block["text"] for block in content if block["type"] == "text")


def _line(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise BadScript(
            f"The script is neither a JSON list nor one JSON object a line: {error}."
        ) from error


def _step(step: Any) -> Step:
    known = {item.name for item in fields(Step)}
    if not isinstance(step, dict):
        raise BadScript(f"A step of a script is an object, not {step!r:.60}.")
    if unknown := step.keys() - known:
        raise BadScript(f"A step of a script has no {', '.join(sorted(unknown))}.")
    return Step(**step)
