"""What a harness and the host that runs it promise each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from sessions.events import Block, Draft, Record

if TYPE_CHECKING:
    from sessions.harness.history import History
    from sessions.harness.model import Model, Usage

Frame = Mapping[str, Any]
"""An `event_start` or `event_delta` as on the wire."""


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """A call the model asked for. `id` is the id of its `agent.tool_use` event."""

    id: str
    name: str
    input: Mapping[str, Any]
    attempt: int = 1

    @property
    def run_id(self) -> str:
        """The id under which a sandbox runs it once, and remembers it."""
        return run_id(self.id, self.attempt)


def run_id(call_id: str, attempt: int) -> str:
    return call_id if attempt == 1 else f"{call_id}:{attempt}"


@dataclass(frozen=True, kw_only=True)
class ToolResult:
    """How a call ended, as it was written to the log."""

    content: tuple[Block, ...]
    is_error: bool = False
    ran: bool | None = True  # null: nobody knows; it may have, in part or in whole


@dataclass(frozen=True, kw_only=True)
class Ending:
    """Why a turn is over: what `session.status_idle` is to say."""

    stop_reason: Mapping[str, Any]
    stop_details: Mapping[str, Any] | None = None


END_TURN = Ending(stop_reason={"type": "end_turn"})
RETRIES_EXHAUSTED = Ending(stop_reason={"type": "retries_exhausted"})
BUDGET_REACHED = Ending(stop_reason={"type": "budget_reached"})


def requires_action(call_ids: Sequence[str]) -> Ending:
    """The turn rests until somebody has answered all of these calls."""
    return Ending(stop_reason={"type": "requires_action", "event_ids": list(call_ids)})


class LeaseLost(Exception):
    """Another host owns the session now; this turn must not write any more."""


class FileUnavailable(Exception):
    """A file that a message names cannot be read; the sentence goes to the model."""


class Turn(Protocol):
    """One turn of one thread, as its host offers it to a harness.

    The harness keeps nothing that the log does not have, so the host may drop a
    turn at any point and have another harness go on from the log.
    An interrupt is the cancellation of the task that runs the turn, followed by
    `close_interrupted(turn)`.
    """

    @property
    def session_id(self) -> str: ...

    @property
    def thread_id(self) -> str: ...

    @property
    def child_thread_id(self) -> str | None:
        """The thread's id where it is not the session's primary one."""

    @property
    def agent(self) -> Mapping[str, Any]:
        """The resolved agent as the API answers it: model, system, tools."""

    @property
    def system_notes(self) -> Sequence[str]:
        """What the platform adds to the system prompt: mounts and the like."""

    @property
    def used(self) -> dict[str, Usage]:
        """What requests had used when they were cut, by their start.

        A crash forgets it: what was used by then is known to the provider alone.
        """

    def new_id(self) -> str:
        """Return a fresh event id, for an event that is announced before it is written."""

    async def records(self) -> History:
        """Return this thread's events by position, our own types and interrupts included.

        It is one object: what is read or taken in later is added to it.
        """

    async def take_in(self) -> Sequence[Record]:
        """Take in what is queued, at positions after everything else; maybe nothing.

        Errands may be among it (`standing.errands`): they come before anything else.
        """

    async def take_decisions(self) -> Sequence[Record]:
        """Take in what people said of the calls that ask, and errands; maybe nothing."""

    async def create_thread(
        self, agent: Mapping[str, Any], content: Sequence[Block]
    ) -> str:
        """Start a child thread of this one with a message; return its id."""

    async def send_message(self, thread_id: str, content: Sequence[Block]) -> None:
        """Say something to the parent or a child; it wakes that thread."""

    async def emit(self, *drafts: Draft) -> Sequence[Record]:
        """Write events in one append. Raises LeaseLost."""

    def preview(self, frame: Frame) -> None:
        """Show a part of a reply to whoever watches; never waits, never fails."""

    async def execute(self, call: ToolCall) -> ToolResult:
        """Run a call that has no result yet, and write its result.

        The host writes the intent before and the result after. For a call that has
        an intent already it collects, runs again or says "unknown", as it must.
        """

    async def run_errand(self, errand: Record) -> None:
        """Do what somebody asked about an old call, and write what came of it."""

    async def refuse_request(self) -> Ending | None:
        """Ask right before each model request; an ending means: do not make it."""

    async def back_off(self, seconds: float) -> None:
        """Wait before the model is asked again; the session is rescheduling meanwhile."""

    async def load_file(self, file_id: str) -> tuple[str, bytes]:
        """Return a file's media type and bytes. Raises FileUnavailable."""


class Harness(Protocol):
    """Turns model replies into tool calls, from wherever the log of a turn stands."""

    async def __call__(self, turn: Turn, model: Model) -> Ending:
        """Go on until the turn is over. Raises LeaseLost."""
