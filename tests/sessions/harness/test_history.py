"""What is folded as it comes is what a fold from the first event on would be."""

from __future__ import annotations

import random
from copy import deepcopy

import pytest

from sessions.events import (
    AgentCustomToolUse,
    AgentToolResult,
    AgentToolUse,
    Draft,
    ModelRequestEnd,
    ModelRequestStart,
    ResultsTrimmed,
    SystemMessage,
    ThreadContextCompacted,
    ThreadMessageReceived,
    ToolLateResult,
    ToolMarkedDone,
    ToolStarted,
    UserCustomToolResult,
    UserMessage,
)
from sessions.harness.fake import FakeTurn
from sessions.harness.history import History
from sessions.harness.horizon import CONDENSES, horizon_of
from sessions.harness.model import compact
from sessions.harness.transcript import fold, transcript_of


class AnyLog:
    """Writes events of every kind that a transcript goes by, in any order."""

    def __init__(self, dice: random.Random) -> None:
        self.dice, self.turn = dice, FakeTurn()
        self.number = 0
        self.uses: list = []  # calls of the last reply that no event stands for yet
        self.calls: list[str] = []

    def write(self) -> None:
        kinds = [
            *[self.message] * 3,
            *[self.reply] * 3,
            *[self.use] * 6,
            *[self.result] * 6,
            self.trim,
            self.condense,
        ]
        self.turn.write(*self.dice.choice(kinds)())

    def text(self) -> dict:
        self.number += 1
        size = self.dice.choice([0, 1, 200])
        return {"type": "text", "text": f"text {self.number} " * size}

    def image(self) -> dict:
        self.number += 1
        return {
            "type": "image",
            "source": {"type": "file", "file_id": f"file_{self.number}"},
        }

    def content(self) -> list[dict]:
        return [self.text(), *([self.image()] if self.dice.random() < 0.2 else [])]

    def message(self) -> list[Draft]:
        content = self.content()
        kinds = [
            UserMessage(content=content),
            SystemMessage(content=[self.text()]),
            ThreadMessageReceived(from_session_thread_id="sthr_1", content=content),
            ToolMarkedDone(tool_use_id="sevt_c", call="bash", sender="Bob"),
            ToolLateResult(
                tool_use_id="sevt_c",
                errand_id="sevt_e",
                attempt=2,
                outcome="run_again",
                call="bash",
                sender="Bob",
                content=content,
            ),
        ]
        return [Draft(payload=self.dice.choice(kinds))]

    def reply(self) -> list[Draft]:
        self.number += 1
        self.uses = [
            {
                "type": "tool_use",
                "id": f"toolu_{self.number}_{n}",
                "name": "bash",
                "input": {},
            }
            for n in range(self.dice.randrange(4))
        ]
        stop = self.dice.choice(["end_turn", "max_tokens", "tool_use"])
        private = {"content": [self.text(), *self.uses], "stop_reason": stop}
        if self.dice.random() < 0.1:
            private = {CONDENSES: True}
        end = ModelRequestEnd(
            model_request_start_id="sevt_s",
            model_usage={},
            is_error=self.dice.random() < 0.1,
        )
        return [
            Draft(payload=ModelRequestStart()),
            Draft(payload=end, private=private),
        ]

    def use(self) -> list[Draft]:
        if not self.uses:
            return []
        block = self.uses.pop(0)
        kind = self.dice.choice([AgentToolUse, AgentCustomToolUse])
        self.calls.append(event_id := self.turn.new_id())
        return [
            Draft(
                payload=kind(name="bash", input={}),
                id=event_id,
                private={"model_tool_use_id": block["id"]},
            ),
            Draft(payload=ToolStarted(tool_use_id=event_id)),
        ]

    def result(self) -> list[Draft]:
        if not self.calls:
            return []
        call = self.dice.choice(self.calls[-4:])
        content = self.content()
        kinds = [
            AgentToolResult(tool_use_id=call, content=content),
            UserCustomToolResult(custom_tool_use_id=call, content=content),
        ]
        return [Draft(payload=self.dice.choice(kinds))]

    def trim(self) -> list[Draft]:
        through = self.dice.randrange(len(self.turn.log) + 1)
        return [Draft(payload=ResultsTrimmed(through=through, results=1, tokens=1))]

    def condense(self) -> list[Draft]:
        log = self.turn.log
        if not log:
            return []
        through = self.dice.randrange(len(log))
        kept = [r.id for r in log[:through] if self.dice.random() < 0.1]
        return [
            Draft(
                payload=ThreadContextCompacted(agentsite_summary=f"up to {through}"),
                private={"through": through, "kept": kept},
            )
        ]


@pytest.mark.parametrize("seed", range(200))
def test_folding_as_events_come_is_folding_from_the_first_one_on(seed):
    dice = random.Random(seed)
    log, history, shown = AnyLog(dice), History(), []
    for _ in range(dice.randrange(5, 80)):
        log.write()
        if dice.random() < 0.5:
            continue
        history.add(log.turn.log[len(history) :])
        if dice.random() < 0.5:
            continue
        messages = history.transcript.messages()
        assert messages == fold(log.turn.log)
        assert history.horizon == horizon_of(log.turn.log)
        anew = transcript_of(log.turn.log)
        assert history.transcript.tokens == anew.tokens
        assert history.transcript.files == anew.files
        shown.append((messages, deepcopy(messages), [each.json for each in messages]))
    for messages, before, sent in shown:
        assert messages == before
        assert [compact(each) for each in messages] == sent


def test_a_long_history_is_folded_once(monkeypatch):
    """A step looks at what came since the last one, however long the log is."""
    log = AnyLog(random.Random(1))
    while len(log.turn.log) < 500:
        log.turn.write(*log.message())
    history = History(log.turn.log)
    history.transcript.messages()
    taken = []
    take = type(history.transcript).take
    monkeypatch.setattr(
        type(history.transcript),
        "take",
        lambda self, record: (taken.append(record), take(self, record)),
    )
    history.add(log.turn.write(*log.message()))
    history.transcript.messages()
    assert len(taken) == 1
