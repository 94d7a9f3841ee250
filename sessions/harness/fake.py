"""An honest turn in memory: the example of a host, and the one tests use."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sessions.events import (
    AgentToolResult,
    AgentToolUse,
    Block,
    Draft,
    Payload,
    Record,
    ToolLateResult,
    ToolLook,
    ToolLooked,
    ToolRerun,
    ToolStarted,
    UserMessage,
    UserToolConfirmation,
)
from sessions.harness.contract import (
    Ending,
    FileUnavailable,
    Frame,
    LeaseLost,
    ToolCall,
    ToolResult,
)
from sessions.harness.history import History
from sessions.harness.model import Usage
from sessions.harness.tools.catalogue import BUILT_IN, TOOLSET

Run = Callable[[ToolCall], Awaitable[ToolResult]]

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def fake_agent(**changes: Any) -> dict[str, Any]:
    """Return a resolved agent with every built-in tool."""
    policy = {"type": "always_allow"}
    toolset = {
        "type": TOOLSET,
        "default_config": {"enabled": True, "permission_policy": policy},
        "configs": [
            {"type": name, "name": name, "enabled": True, "permission_policy": policy}
            for name in BUILT_IN
        ],
    }
    agent = {"model": {"id": "scripted-demo"}, "system": "", "tools": [toolset]}
    return {**agent, **changes}


async def _echo(call: ToolCall) -> ToolResult:
    text = f"{call.name} {dict(call.input)}"
    return ToolResult(content=({"type": "text", "text": text},))


class FakeTurn:
    """Keeps the log in a list. `run` stands for the sandbox, `executed` counts."""

    session_id = "sesn_fake"
    thread_id = "sthr_fake"
    child_thread_id = None

    def __init__(
        self,
        *,
        agent: Mapping[str, Any] | None = None,
        log: Sequence[Record] = (),
        run: Run = _echo,
        files: Mapping[str, tuple[str, bytes]] | None = None,
    ) -> None:
        self.agent = agent or fake_agent()
        self.system_notes: Sequence[str] = ()
        self.log = list(log)
        self.queue: list[Payload] = []
        self.decisions: list[UserToolConfirmation] = []
        self.threads: dict[str, list[Sequence[Block]]] = {}  # what each was told
        self.frames: list[Frame] = []
        self.executed: list[ToolCall] = []
        self.waits: list[float] = []
        self.refusal: Ending | None = None  # what stands against the next request
        self.lease_lost = False
        self.used: dict[str, Usage] = {}
        self._history = History()
        self._run = run
        self._files = files or {}
        self._ids = itertools.count(1)

    def queue_message(self, *content: str | Block) -> None:
        """Send a message that the harness has yet to take in."""
        blocks = [
            {"type": "text", "text": block} if isinstance(block, str) else block
            for block in content
        ]
        self.queue.append(UserMessage(content=blocks))

    def new_id(self) -> str:
        return f"sevt_{len(self.log)}_{next(self._ids)}"

    async def records(self) -> History:
        self._history.add(self.log[len(self._history) :])
        return self._history

    async def take_in(self) -> Sequence[Record]:
        queue, self.queue = self.queue, []
        taken = self.write(*(Draft(payload=message) for message in queue))
        await self.records()
        return taken

    def decide(
        self, tool_use_id: str, result: str = "allow", said: str | None = None
    ) -> None:
        """Answer a call that asks; the harness has yet to take that in."""
        self.decisions.append(
            UserToolConfirmation(
                tool_use_id=tool_use_id, result=result, deny_message=said
            )
        )

    async def take_decisions(self) -> Sequence[Record]:
        taken, self.decisions = self.decisions, []
        return self.write(*(Draft(payload=decision) for decision in taken))

    async def create_thread(
        self, agent: Mapping[str, Any], content: Sequence[Block]
    ) -> str:
        thread_id = f"sthr_fake_{len(self.threads) + 1}"
        self.threads[thread_id] = [content]
        return thread_id

    async def send_message(self, thread_id: str, content: Sequence[Block]) -> None:
        self.threads.setdefault(thread_id, []).append(content)

    async def emit(self, *drafts: Draft) -> Sequence[Record]:
        return self.write(*drafts)

    def preview(self, frame: Frame) -> None:
        self.frames.append(frame)

    async def execute(self, call: ToolCall) -> ToolResult:
        self.write(Draft(payload=ToolStarted(tool_use_id=call.id)))
        self.executed.append(call)
        result = await self._run(call)
        payload = AgentToolResult(
            tool_use_id=call.id, content=result.content, is_error=result.is_error
        )
        self.write(Draft(payload=payload))
        return result

    async def run_errand(self, errand: Record) -> None:
        match errand.payload:
            case ToolLook(tool_use_id=asked):
                looked = ToolLooked(
                    tool_use_id=asked, errand_id=errand.id, found="nothing"
                )
                self.write(Draft(payload=looked))
            case ToolRerun() as rerun:
                await self._run_again(errand, rerun)

    async def _run_again(self, errand: Record, rerun: ToolRerun) -> None:
        (use,) = (r.payload for r in self.log if r.id == rerun.tool_use_id)
        assert isinstance(use, AgentToolUse)
        call = ToolCall(
            id=rerun.tool_use_id, name=use.name, input=use.input, attempt=rerun.attempt
        )
        self.executed.append(call)
        result = await self._run(call)
        late = ToolLateResult(
            tool_use_id=call.id,
            errand_id=errand.id,
            attempt=call.attempt,
            outcome="run_again",
            call=rerun.call,
            sender=rerun.sender,
            content=result.content,
            is_error=result.is_error,
        )
        self.write(Draft(payload=late))

    async def refuse_request(self) -> Ending | None:
        return self.refusal

    async def back_off(self, seconds: float) -> None:
        self.waits.append(seconds)

    async def load_file(self, file_id: str) -> tuple[str, bytes]:
        if file_id not in self._files:
            raise FileUnavailable(f"The file {file_id} cannot be read.")
        return self._files[file_id]

    def write(self, *drafts: Draft) -> list[Record]:
        """Append to the log, as `emit` does."""
        if self.lease_lost:
            raise LeaseLost(f"Another host owns the session {self.session_id}.")
        written = [
            self._record(draft, len(self.log) + offset)
            for offset, draft in enumerate(drafts, start=1)
        ]
        self.log.extend(written)
        return written

    def _record(self, draft: Draft, number: int) -> Record:
        return Record(
            id=draft.id or self.new_id(),
            seq=number,
            position=number,
            payload=draft.payload,
            created_at=NOW,
            processed_at=NOW,
            private=draft.private or {},
        )
