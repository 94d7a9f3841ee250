"""Folds a thread's events into the messages of the Messages API; pure.

Whatever is folded once stays: the blocks of an earlier request are a prefix of those
of every later one, which is what the provider's prompt cache lives on. Only an event
that moves the horizon changes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from sessions.events import (
    RESULTS,
    AgentCustomToolUse,
    AgentToolResult,
    AgentToolUse,
    Block,
    ModelRequestEnd,
    Payload,
    Record,
    SystemMessage,
    ThreadMessageReceived,
    ToolLateResult,
    ToolMarkedDone,
    UserCustomToolResult,
    UserMessage,
)
from sessions.harness.estimate import tokens
from sessions.harness.horizon import Horizon, horizon_of, is_reply
from sessions.harness.late import heading, marked
from sessions.harness.model import CUT_SHORT, compact

EMPTY_MESSAGE = "(empty message)"
EMPTY_RESULT = "(no output)"
NO_TEXT = "(no text)"
LOST_RESULT = "No result was recorded for this call; it may or may not have run."
CUT_OFF = "Your reply was cut off at the output limit; go on from where it stopped."

TRIMMED = (
    "This result ({}) was left out to save room. If you need it, read the file again, "
    "or make the call again if it can do no harm to repeat it."
)
LONG_RESULT = 500
"""Letters; shorter results stay, since the notice would not be much shorter."""

KEPT = "The user's latest messages before that summary, word for word:"
SUMMARY = (
    "The conversation up to this point was condensed to save room. "
    "What follows is your own summary of it; go on from where it ends.\n\n{}"
)


class Message(dict[str, Any]):
    """A message of the Messages API. Once it is handed out it does not change."""

    @cached_property
    def json(self) -> str:
        """As it is sent: every later request sends it again."""
        return compact(self)


Result = AgentToolResult | UserCustomToolResult

_THINKING = frozenset({"thinking", "redacted_thinking"})


def fold(records: Sequence[Record]) -> list[Message]:
    """Return the messages that these events, ordered by position, amount to."""
    return transcript_of(records).messages()


def transcript_of(records: Sequence[Record]) -> Transcript:
    """Fold events, ordered by position, from the first one on."""
    horizon = horizon_of(records)
    transcript = Transcript(horizon=horizon)
    if horizon.condensed:
        transcript.open_with(_opening(horizon, records))
    for record in horizon.live(records):
        transcript.take(record)
    return transcript


def _opening(horizon: Horizon, records: Sequence[Record]) -> list[Block]:
    """What stands for the history behind the horizon."""
    kept = [
        block
        for record in records
        if record.id in horizon.kept and isinstance(record.payload, UserMessage)
        for block in _user_blocks(record.payload.content)
    ]
    return [
        *([_text(KEPT)] if kept else []),
        *kept,
        _text(SUMMARY.format(horizon.summary)),
    ]


def names_file(block: Block) -> bool:
    """Say whether a block stands for a file, which the provider does not know."""
    if block["type"] == "tool_result":
        return any(map(names_file, block["content"]))
    source = block.get("source")
    return isinstance(source, Mapping) and source.get("type") == "file"


def is_long(result: Payload) -> bool:
    """Say whether it is worth leaving this result out."""
    if not isinstance(result, RESULTS):
        return False
    return _letters(result) >= LONG_RESULT or bool(_others(result))


@dataclass(kw_only=True)
class Transcript:
    """A conversation as far as it has come. It takes in event after event."""

    horizon: Horizon = field(default_factory=Horizon)
    tokens: int = 0  # about how many there are
    files: set[int] = field(default_factory=set)  # which messages name one
    _messages: list[Message] = field(default_factory=list)
    _model_ids: dict[str, str] = field(default_factory=dict)  # event id → model's own
    _open: list[str] = field(default_factory=list)  # the model's ids without a result
    _held: list[tuple[str, Sequence[Block]]] = field(default_factory=list)
    """Said while results were awaited, by role."""

    def messages(self) -> list[Message]:
        """Return what the model is shown: every call has a result.

        What is taken in later does not reach into the messages returned now.
        """
        if not self._open and not self._held:
            return self._copied()
        shown = replace(self, _messages=self._copied(), files={*self.files})
        shown._close()
        return shown._messages

    def _copied(self) -> list[Message]:
        """All but the last message stay as they are for good."""
        last = [Message(m, content=[*m["content"]]) for m in self._messages[-1:]]
        return [*self._messages[:-1], *last]

    def take(self, record: Record) -> None:
        match record.payload:
            case UserMessage(content=content):
                self._say(_user_blocks(content))
            case SystemMessage(content=content):
                self._say([_text(str(block["text"])) for block in content], "system")
            case ThreadMessageReceived() as message:
                self._say(_thread_blocks(message))
            case ToolLateResult() as result:
                self._say([_text(heading(result)), *_result_blocks(result.content)])
            case ToolMarkedDone() as mark:
                self._say([_text(marked(mark))])
            case ModelRequestEnd() if is_reply(record):
                self._reply(record.private)
            case AgentToolUse() | AgentCustomToolUse():
                self._model_ids[record.id] = record.private["model_tool_use_id"]
            case AgentToolResult(tool_use_id=call) as result:
                self._result(call, self._shown(record, result))
            case UserCustomToolResult(custom_tool_use_id=call) as result:
                self._result(call, self._shown(record, result))

    def _shown(self, record: Record, result: Result) -> Result:
        behind = (record.position or 0) <= self.horizon.trimmed
        return _trimmed(result) if behind else result

    def open_with(self, blocks: Sequence[Block]) -> None:
        self._add("user", blocks)

    def _say(self, blocks: Sequence[Block], role: str = "user") -> None:
        if self._open:
            self._held.append((role, blocks))
        else:
            self._add(role, blocks)

    def _reply(self, private: Mapping[str, Any]) -> None:
        self._close()
        blocks = _assistant_blocks(private.get("content") or ())
        self._add("assistant", blocks)
        self._open = [block["id"] for block in blocks if block["type"] == "tool_use"]
        if private.get("stop_reason") in CUT_SHORT and not self._open:
            self._add("user", [_text(CUT_OFF)])

    def _result(self, call: str, result: Result) -> None:
        model_id = self._model_ids.get(call)
        if model_id in self._open:
            self._open.remove(model_id)
            self._add("user", [_tool_result(model_id, result)])
        if not self._open:
            self._release()

    def _close(self) -> None:
        """Answer what was never answered: a tool_use without a result is refused."""
        self._add("user", [_lost(model_id) for model_id in self._open])
        self._open = []
        self._release()

    def _release(self) -> None:
        for role, blocks in self._held:
            self._add(role, blocks)
        self._held = []

    def _add(self, role: str, blocks: Sequence[Block]) -> None:
        if not blocks:
            return
        if not self._messages or self._messages[-1]["role"] != role:
            self._messages.append(Message(role=role, content=[]))
        self._messages[-1]["content"].extend(blocks)
        self.tokens += tokens(blocks)
        if any(map(names_file, blocks)):
            self.files.add(len(self._messages) - 1)


def _assistant_blocks(content: Sequence[Block]) -> list[Block]:
    """The reply exactly as it came, but for text that the API would refuse back."""
    blocks = [block for block in content if not _is_blank(block)]
    if blocks and blocks[-1]["type"] in _THINKING:
        blocks.append(_text(NO_TEXT))
    return blocks


def _user_blocks(content: Sequence[Block]) -> list[Block]:
    return [_readable(block, EMPTY_MESSAGE) for block in content] or [
        _text(EMPTY_MESSAGE)
    ]


def _thread_blocks(message: ThreadMessageReceived) -> list[Block]:
    sender = message.from_agent_name or "the agent that started you"
    said = f"Message from {sender} (thread {message.from_session_thread_id}):"
    return [_text(said), *_user_blocks(message.content)]


def _tool_result(model_id: str, result: Result) -> Block:
    return {
        "type": "tool_result",
        "tool_use_id": model_id,
        "content": _result_blocks(result.content),
        "is_error": bool(result.is_error),
    }


def _result_blocks(content: Sequence[Block]) -> list[Block]:
    blocks = [_readable(block, EMPTY_RESULT) for block in content]
    return blocks or [_text(EMPTY_RESULT)]


def _trimmed(result: Result) -> Result:
    if not is_long(result):
        return result
    said = ", ".join([f"{_letters(result):,} characters", *_others(result)])
    return replace(result, content=[_text(TRIMMED.format(said))])


def _letters(result: Result) -> int:
    return sum(len(b["text"]) for b in result.content if b["type"] == "text")


def _others(result: Result) -> list[str]:
    return [block["type"] for block in result.content if block["type"] != "text"]


def _lost(model_id: str) -> Block:
    return {
        "type": "tool_result",
        "tool_use_id": model_id,
        "content": [_text(LOST_RESULT)],
        "is_error": True,
    }


def _readable(block: Block, placeholder: str) -> Block:
    """A block the model can take: never blank, never a type only the wire knows."""
    if _is_blank(block):
        return _text(placeholder)
    if block["type"] == "redacted":
        return _text("(redacted)")
    return {key: value for key, value in block.items() if value is not None}


def _is_blank(block: Block) -> bool:
    return block["type"] == "text" and not str(block.get("text") or "").strip()


def _text(text: str) -> Block:
    return {"type": "text", "text": text}
