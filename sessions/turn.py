"""A turn as its host offers it to a harness: over the log, a sandbox and the bus."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from agents.definitions import enabled_names
from agents.ids import new_id
from sandbox.base import Sandbox
from sandbox.errors import OutcomeUnknown, SandboxError, SandboxGone
from sandbox.spec import ToolOutcome
from sessions import budgets, bus, errands, lifecycle, log, threads
from sessions.database import Database
from sessions.events import (
    ERRAND_TYPES,
    AgentToolResult,
    Block,
    Draft,
    EventType,
    Record,
    Recovery,
    ToolStarted,
)
from sessions.harness.contract import (
    BUDGET_REACHED,
    RETRIES_EXHAUSTED,
    Ending,
    LeaseLost,
    ToolCall,
    ToolResult,
)
from sessions.harness.history import History
from sessions.harness.model import Usage
from sessions.harness.prompt import skill_notes
from sessions.harness.standing import (
    open_requests,
    open_wait,
    requests_this_turn,
    started,
    unanswered,
)
from sessions.models import SessionResource, Thread
from sessions.opened import Opened, mounted_files, read_file
from sessions.outputs import CAPTURE_SECONDS, CUT_SECONDS, Outputs
from sessions.repositories import clone, notes_of, repositories_of
from sessions.results import bounded, failed, result_of, with_note
from sessions.shared_sandbox import SharedSandbox

logger = logging.getLogger(__name__)

READS_ONLY = frozenset({"read", "glob", "grep"})
"""Tools that may be run again when their outcome was lost."""

DECISIONS = (EventType.USER_TOOL_CONFIRMATION, *ERRAND_TYPES)

JITTER = 0.25
"""By what part of itself a wait for the next try may be longer."""

STOP_SECONDS = 40.0
"""How long an interrupt waits for tools to stop before the turn ends without that."""

Result = TypeVar("Result")


class HostedTurn:
    """What the harness sees of its host (`harness.contract.Turn`)."""

    def __init__(
        self,
        *,
        thread: Thread,
        opened: Opened,
        fence: int,
        database: Database,
        publisher: bus.Publisher,
        sandbox: SharedSandbox,
        outputs: Outputs,
        woke: Callable[[], None],
    ) -> None:
        self.session_id = opened.session.pk
        self.thread_id = thread.pk
        self.child_thread_id = None if thread.is_primary else thread.pk
        self.agent: Mapping[str, Any] = thread.agent_snapshot
        self.system_notes: Sequence[str] = ()
        self._thread = thread
        self._opened = opened
        self._fence = fence
        self._database = database
        self._publisher = publisher
        self._sandbox = sandbox
        self._outputs = outputs
        self._woke = woke  # to be called when another thread has something to do
        self._history = History()
        self.used: dict[str, Usage] = {}

    async def prepare(self) -> None:
        """Have repositories cloned, and know what the system prompt says of the session.

        Only here, at the beginning of a turn: a prompt that changes is read anew.
        """
        found = await self._repositories()
        if any(each.state != SessionResource.READY for each in found):
            await self._clone(found)
            found = await self._repositories()
        self.system_notes = (
            *(f"A file is mounted at {path}." for path, _ in self._opened.files),
            *notes_of(found),
            *self._skill_notes(found),
        )

    async def _repositories(self) -> list[SessionResource]:
        if not self._opened.has_repositories:
            return []
        return await self._database(repositories_of, self.session_id)

    async def _clone(self, found: Sequence[SessionResource]) -> None:
        try:
            sandbox = await self.sandbox()
            for each in found:
                if each.state != SessionResource.READY:
                    await clone(each, sandbox, self._database, self.emit)
        except SandboxError as error:
            # The first call that needs the sandbox says so, to the model too.
            logger.info("cloning repositories of %s: %s", self.session_id, error)

    def _skill_notes(self, found: Sequence[SessionResource]) -> list[str]:
        """Only an agent that can read them hears of skills; of clashing names, of both."""
        if "read" not in enabled_names(self.agent):
            return []
        own = self._opened.skills if self.agent["skills"] else ()
        of_repositories = [skill for each in found for skill in each.skills]
        return skill_notes(
            [(each.name, each.manifest, each.description) for each in own],
            [(s["name"], s["path"], s["description"]) for s in of_repositories],
        )

    # The log.

    async def records(self) -> History:
        """The whole thread, read once; after that only what came since."""
        await self._database(self._read_on)
        return self._history

    def _read_on(self) -> None:
        self._history.add(
            log.records(
                self.session_id, thread_id=self.thread_id, after=self._history.newest
            )
        )

    def new_id(self) -> str:
        return new_id("sevt")

    async def take_in(self) -> Sequence[Record]:
        return await self._of_thread(self._take_in)

    def _take_in(self, session_id: str, **fenced: Any) -> Sequence[Record]:
        if taken := log.take_step(session_id, **fenced):
            self._read_on()
        return taken

    async def take_decisions(self) -> Sequence[Record]:
        return await self._of_thread(log.take_step, types=DECISIONS)

    async def take_in_interrupts(self) -> None:
        await self._of_thread(log.take_in_interrupts)

    async def emit(self, *drafts: Draft) -> Sequence[Record]:
        self._publisher.flush(self.session_id, self.child_thread_id)
        placed = [log.placed(self._thread, draft) for draft in drafts]
        return await self._of_thread(lifecycle.append_and_count, placed)

    async def refuse_request(self) -> Ending | None:
        if await self._is_at_its_last_request():
            return RETRIES_EXHAUSTED
        if self._opened.session.budget is None:  # none is added later
            return None
        reached = await self._database(
            budgets.is_reached, self.session_id, self.agent["model"]["id"]
        )
        return BUDGET_REACHED if reached else None

    async def _is_at_its_last_request(self) -> bool:
        most = self._opened.session.max_model_requests
        if most is None or requests_this_turn(await self.records()) < most:
            return False
        await self.emit(Draft(payload=budgets.out_of_requests(self.session_id, most)))
        return True

    async def back_off(self, seconds: float) -> None:
        await self._of_thread(lifecycle.reschedule)
        # Those that failed together must not come back together.
        await asyncio.sleep(seconds * random.uniform(1, 1 + JITTER))  # noqa: S311
        await self._of_thread(lifecycle.go_on)

    async def _of_thread(
        self, write: Callable[..., Result], *args: Any, **kwargs: Any
    ) -> Result:
        return await self._fenced(
            write, self.session_id, *args, thread_id=self.thread_id, **kwargs
        )

    async def _fenced(
        self, write: Callable[..., Result], *args: Any, **kwargs: Any
    ) -> Result:
        try:
            return await self._database(write, *args, fence=self._fence, **kwargs)
        except log.Fenced as fenced:
            raise LeaseLost(str(fenced)) from fenced

    def preview(self, frame: Mapping[str, Any]) -> None:
        self._publisher.publish_delta(self.session_id, frame, self.child_thread_id)

    # Other threads.

    async def create_thread(
        self, agent: Mapping[str, Any], content: Sequence[Block]
    ) -> str:
        thread_id = await self._of_thread(threads.create, agent, content)
        self._woke()
        return thread_id

    async def send_message(self, thread_id: str, content: Sequence[Block]) -> None:
        await self._of_thread(threads.send, thread_id, content)
        self._woke()

    async def load_file(self, file_id: str) -> tuple[str, bytes]:
        return await self._database(
            read_file, self._opened.session.workspace_id, file_id
        )

    # Tools.

    async def execute(self, call: ToolCall) -> ToolResult:
        """Run a tool: intent first, then the sandbox, then the result."""
        result = await self.attempt(call)
        answer = AgentToolResult(
            tool_use_id=call.id,
            content=result.content,
            is_error=result.is_error,
            agentsite_unknown=result.ran is None,
        )
        await self.emit(Draft(payload=answer, idempotency_key=f"result:{call.id}"))
        if call.name not in READS_ONLY and (sandbox := self._sandbox.current):
            self._outputs.capture_soon(sandbox)
        return result

    async def attempt(self, call: ToolCall) -> ToolResult:
        """Run a call, or find out what became of it where it was begun before."""
        earlier = call.run_id in started(self._history)
        return bounded(await (self._resume(call) if earlier else self._run(call)))

    async def run_errand(self, errand: Record) -> None:
        await errands.run(self, errand)

    async def _run(self, call: ToolCall) -> ToolResult:
        try:
            sandbox = await self.sandbox()
        except SandboxError as error:
            return failed(f"The sandbox could not be started: {error}")
        intent = ToolStarted(tool_use_id=call.id, attempt=call.attempt)
        await self.emit(Draft(payload=intent, idempotency_key=f"start:{call.run_id}"))
        try:
            result = result_of(await self._execute(sandbox, call))
            return with_note(result, self._sandbox.take_news())
        except OutcomeUnknown as lost:
            await self._tell_recovery(call, "unknown")
            return failed(
                "The sandbox was lost during this call. Its outcome is unknown: it may"
                " have happened, in part or in whole. Files are kept, processes are not."
                f" Look before you repeat it. ({lost})",
                ran=None,
            )
        except SandboxError as error:
            return failed(str(error))

    async def sandbox(self) -> Sandbox:
        """The session's, with the files that are mounted by now, whoever told of them.

        Raises SandboxError.
        """
        files = await self._database(mounted_files, self.session_id)
        return await self._sandbox.open(self.emit, files)

    async def mount_changes(self) -> None:
        """Show a sandbox that runs what was added to it and removed from it."""
        if not await self._sandbox.is_open():
            return
        try:
            await self.sandbox()
        except (SandboxError, LeaseLost) as error:
            logger.info("mounting files of %s later: %s", self.session_id, error)

    async def _execute(self, sandbox: Sandbox, call: ToolCall) -> ToolOutcome:
        """Ask the sandbox; a new one where that one is gone and heard nothing."""
        try:
            return await self._execute_in(sandbox, call)
        except SandboxGone:
            another = await self.sandbox()
            return await self._execute_in(another, call)

    async def _execute_in(self, sandbox: Sandbox, call: ToolCall) -> ToolOutcome:
        try:
            return await sandbox.execute(call.run_id, call.name, call.input)
        except (OutcomeUnknown, SandboxGone):
            await self._sandbox.part_from(sandbox)
            raise

    async def _resume(self, call: ToolCall) -> ToolResult:
        """Answer a call whose worker died: collect, run again, or say unknown."""
        try:
            sandbox = await self.sandbox()
            remembered = await sandbox.outcome(call.run_id)
            if remembered is not None:
                await self._tell_recovery(call, "collected")
                # In no other sandbox, should this one die now: it would run twice.
                return result_of(await self._execute_in(sandbox, call))
            if call.name in READS_ONLY:
                await self._tell_recovery(call, "re-run")
                return result_of(await self._execute(sandbox, call))
        except SandboxError as error:
            logger.info("recovering %s: %s", call.id, error)
        await self._tell_recovery(call, "unknown")
        return failed(
            "The worker that ran this call was replaced before the answer came, and the"
            " sandbox does not know how it ended. Its outcome is unknown: it may have"
            " happened, in part or in whole. Look before you repeat it.",
            ran=None,
        )

    async def _tell_recovery(self, call: ToolCall, outcome: str) -> None:
        told = {"tool_use_id": call.id, "name": call.name, "outcome": outcome}
        await self.emit(Draft(payload=Recovery(calls=[told])))

    async def hand_back(self, *, cut: bool) -> None:
        """Capture outputs before the turn ends: who hears of its end finds them."""
        if sandbox := self._sandbox.current:
            seconds = CUT_SECONDS if cut else CAPTURE_SECONDS
            await self._outputs.capture(sandbox, seconds)

    async def what_was_cut(self) -> str:
        """What an earlier worker left unfinished, in words."""
        records = await self.records()
        if calls := _running(records):
            return f"while it waited for {', '.join(call.name for call in calls)}"
        if open_requests(records):
            return "during a model request, which is made again"
        return "between two steps"

    async def end_wait(self) -> None:
        """Close what an earlier worker said it waits for: it waits no longer."""
        if waiting := open_wait(await self.records()):
            await self.emit(Draft(payload=replace(waiting, over=True)))

    async def stop_tools(self) -> None:
        """End the process trees of the calls that run, an earlier worker's too."""
        calls = _running(await self.records())
        if not calls:
            return
        try:
            async with asyncio.timeout(STOP_SECONDS):
                sandbox = await self.sandbox()
                await asyncio.gather(*(sandbox.cancel(call.run_id) for call in calls))
        except (SandboxError, TimeoutError) as error:
            logger.warning("stopping the tools of %s: %s", self.session_id, error)


def _running(records: Sequence[Record]) -> list[ToolCall]:
    """The calls that were begun and have no result yet, those of errands too."""
    begun = started(records)
    calls = [*unanswered(records), *errands.calls(records)]
    return [call for call in calls if call.run_id in begun]
