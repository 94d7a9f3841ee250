"""Event types and their payloads: frozen values, parsed and serialised; pure Python.

The names and fields are the wire's (see `docs/events.md`). Types that begin with
`agentsite.` are our own and reach only those who ask with `?include=agentsite`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any, ClassVar, Literal

from agents.times import stamp

Block = Mapping[str, Any]
"""A content block as on the wire: `{"type": "text", "text": …}` and its siblings."""

OWN_PREFIX = "agentsite."


class Unset(Enum):
    """Stands for a field that is absent where null says something of its own."""

    UNSET = "unset"


UNSET: Literal[Unset.UNSET] = Unset.UNSET


class EventType(StrEnum):
    USER_MESSAGE = "user.message"
    USER_INTERRUPT = "user.interrupt"
    USER_TOOL_CONFIRMATION = "user.tool_confirmation"
    USER_CUSTOM_TOOL_RESULT = "user.custom_tool_result"
    SYSTEM_MESSAGE = "system.message"
    AGENT_MESSAGE = "agent.message"
    AGENT_THINKING = "agent.thinking"
    AGENT_TOOL_USE = "agent.tool_use"
    AGENT_TOOL_RESULT = "agent.tool_result"
    AGENT_CUSTOM_TOOL_USE = "agent.custom_tool_use"
    THREAD_MESSAGE_SENT = "agent.thread_message_sent"
    THREAD_MESSAGE_RECEIVED = "agent.thread_message_received"
    THREAD_CONTEXT_COMPACTED = "agent.thread_context_compacted"
    SESSION_STATUS_RUNNING = "session.status_running"
    SESSION_STATUS_IDLE = "session.status_idle"
    SESSION_STATUS_RESCHEDULED = "session.status_rescheduled"
    SESSION_STATUS_TERMINATED = "session.status_terminated"
    SESSION_ERROR = "session.error"
    SESSION_UPDATED = "session.updated"
    SESSION_USAGE = "session.usage"
    SESSION_DELETED = "session.deleted"
    THREAD_CREATED = "session.thread_created"
    THREAD_STATUS_RUNNING = "session.thread_status_running"
    THREAD_STATUS_IDLE = "session.thread_status_idle"
    THREAD_STATUS_RESCHEDULED = "session.thread_status_rescheduled"
    THREAD_STATUS_TERMINATED = "session.thread_status_terminated"
    MODEL_REQUEST_START = "span.model_request_start"
    MODEL_REQUEST_END = "span.model_request_end"
    TOOL_STARTED = "agentsite.tool_started"
    TOOL_LOOK = "agentsite.tool_look"
    TOOL_LOOKED = "agentsite.tool_looked"
    TOOL_RERUN = "agentsite.tool_rerun"
    TOOL_LATE_RESULT = "agentsite.tool_late_result"
    TOOL_MARKED_DONE = "agentsite.tool_marked_done"
    WAITING = "agentsite.waiting"
    RECOVERY = "agentsite.recovery"
    RESULTS_TRIMMED = "agentsite.results_trimmed"
    OUTPUTS_CAPTURED = "agentsite.outputs_captured"
    REPOSITORY_CLONED = "agentsite.repository_cloned"
    RESOURCES_CHANGED = "agentsite.resources_changed"
    SANDBOX_OPENED = "agentsite.sandbox_opened"
    SANDBOX_STOPPED = "agentsite.sandbox_stopped"
    SANDBOX_REMOVED = "agentsite.sandbox_removed"
    EGRESS_REFUSED = "agentsite.egress_refused"
    HOST_ALLOWED = "agentsite.host_allowed"
    UNKNOWN = "agentsite.unknown"

    @property
    def is_own(self) -> bool:
        return self.value.startswith(OWN_PREFIX)


@dataclass(frozen=True, kw_only=True)
class Payload:
    """What an event says beyond its id, type and time. Absent fields are left out."""

    type: ClassVar[EventType]

    def to_json(self) -> dict[str, Any]:
        return {
            item.name: value
            for item in fields(self)
            if (value := getattr(self, item.name)) is not UNSET
            and (value is not None or item.default is UNSET or item.name in self.always)
        }

    always: ClassVar[frozenset[str]] = frozenset()


@dataclass(frozen=True, kw_only=True)
class UserMessage(Payload):
    type = EventType.USER_MESSAGE
    content: Sequence[Block]
    agentsite_sender: str | None = None  # who wrote it; not on the wire


@dataclass(frozen=True, kw_only=True)
class UserInterrupt(Payload):
    type = EventType.USER_INTERRUPT
    session_thread_id: str | None = None
    agentsite_sender: str | None = None


@dataclass(frozen=True, kw_only=True)
class UserToolConfirmation(Payload):
    """A person's word on a call that waits for it. The thread is set by the platform."""

    type = EventType.USER_TOOL_CONFIRMATION
    tool_use_id: str
    result: str  # allow or deny
    deny_message: str | None = None
    session_thread_id: str | None = None
    agentsite_sender: str | None = None


@dataclass(frozen=True, kw_only=True)
class UserCustomToolResult(Payload):
    """What a client's own tool answered."""

    type = EventType.USER_CUSTOM_TOOL_RESULT
    custom_tool_use_id: str
    content: Sequence[Block] = ()
    is_error: bool | None = None
    session_thread_id: str | None = None
    agentsite_sender: str | None = None


@dataclass(frozen=True, kw_only=True)
class SystemMessage(Payload):
    """Text of the operator's in the middle of a conversation."""

    type = EventType.SYSTEM_MESSAGE
    content: Sequence[Block]
    agentsite_sender: str | None = None


@dataclass(frozen=True, kw_only=True)
class AgentMessage(Payload):
    type = EventType.AGENT_MESSAGE
    content: Sequence[Block]


@dataclass(frozen=True, kw_only=True)
class AgentThinking(Payload):
    """A progress marker. What was thought stays in the event's private part."""

    type = EventType.AGENT_THINKING


@dataclass(frozen=True, kw_only=True)
class AgentToolUse(Payload):
    type = EventType.AGENT_TOOL_USE
    name: str
    input: Mapping[str, Any]
    evaluated_permission: str | None = None
    evaluation: Mapping[str, Any] | None = None
    session_thread_id: str | None = None  # on the session's stream, of a child thread


@dataclass(frozen=True, kw_only=True)
class AgentCustomToolUse(Payload):
    """A call that a client of the API answers."""

    type = EventType.AGENT_CUSTOM_TOOL_USE
    name: str
    input: Mapping[str, Any]
    session_thread_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ThreadMessageSent(Payload):
    """What one thread said to another, in the sender's log."""

    type = EventType.THREAD_MESSAGE_SENT
    to_session_thread_id: str
    content: Sequence[Block]
    to_agent_name: str | None = None


@dataclass(frozen=True, kw_only=True)
class ThreadMessageReceived(Payload):
    """The same in the receiver's log."""

    type = EventType.THREAD_MESSAGE_RECEIVED
    from_session_thread_id: str
    content: Sequence[Block]
    from_agent_name: str | None = None


@dataclass(frozen=True, kw_only=True)
class AgentToolResult(Payload):
    type = EventType.AGENT_TOOL_RESULT
    tool_use_id: str
    content: Sequence[Block] = ()
    is_error: bool = False
    agentsite_unknown: bool = False  # nobody knows how it ended; not on the wire


@dataclass(frozen=True, kw_only=True)
class ThreadContextCompacted(Payload):
    """The model goes on from a summary; its private part says what that stands for."""

    type = EventType.THREAD_CONTEXT_COMPACTED
    agentsite_summary: str = ""  # for the page; not on the wire


@dataclass(frozen=True, kw_only=True)
class SessionStatusRunning(Payload):
    type = EventType.SESSION_STATUS_RUNNING


@dataclass(frozen=True, kw_only=True)
class SessionStatusIdle(Payload):
    type = EventType.SESSION_STATUS_IDLE
    stop_reason: Mapping[str, Any]
    stop_details: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class SessionStatusRescheduled(Payload):
    type = EventType.SESSION_STATUS_RESCHEDULED


@dataclass(frozen=True, kw_only=True)
class SessionStatusTerminated(Payload):
    type = EventType.SESSION_STATUS_TERMINATED


@dataclass(frozen=True, kw_only=True)
class SessionError(Payload):
    """`error` is `{"type", "message", "retry_status": {"type"}}` of the wire's list."""

    type = EventType.SESSION_ERROR
    error: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class SessionUpdated(Payload):
    """Only what changed."""

    type = EventType.SESSION_UPDATED
    agent: Mapping[str, Any] | None = None
    metadata: Mapping[str, str] | None = None
    title: str | Unset | None = UNSET  # null: it has none any more
    budget: Mapping[str, Any] | Unset | None = UNSET  # null: it was removed


@dataclass(frozen=True, kw_only=True)
class SessionUsage(Payload):
    type = EventType.SESSION_USAGE
    always = frozenset({"budget"})
    usage: Mapping[str, Any]
    budget: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class SessionDeleted(Payload):
    type = EventType.SESSION_DELETED


@dataclass(frozen=True, kw_only=True)
class ThreadStatus(Payload):
    session_thread_id: str
    agent_name: str


@dataclass(frozen=True, kw_only=True)
class ThreadCreated(ThreadStatus):
    """In the log of the parent."""

    type = EventType.THREAD_CREATED


@dataclass(frozen=True, kw_only=True)
class ThreadStatusRunning(ThreadStatus):
    type = EventType.THREAD_STATUS_RUNNING


@dataclass(frozen=True, kw_only=True)
class ThreadStatusIdle(ThreadStatus):
    type = EventType.THREAD_STATUS_IDLE
    stop_reason: Mapping[str, Any]
    stop_details: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class ThreadStatusRescheduled(ThreadStatus):
    type = EventType.THREAD_STATUS_RESCHEDULED


@dataclass(frozen=True, kw_only=True)
class ThreadStatusTerminated(ThreadStatus):
    type = EventType.THREAD_STATUS_TERMINATED


@dataclass(frozen=True, kw_only=True)
class ModelRequestStart(Payload):
    type = EventType.MODEL_REQUEST_START


@dataclass(frozen=True, kw_only=True)
class ModelRequestEnd(Payload):
    """Its private part holds the reply's whole content, thinking included."""

    type = EventType.MODEL_REQUEST_END
    model_request_start_id: str
    model_usage: Mapping[str, Any]
    is_error: bool = False


@dataclass(frozen=True, kw_only=True)
class ToolStarted(Payload):
    """The intent that precedes a tool call: from here on it may have had effects."""

    type = EventType.TOOL_STARTED
    tool_use_id: str
    attempt: int = 1


@dataclass(frozen=True, kw_only=True)
class ToolLook(Payload):
    """Somebody asks what the sandbox knows by now of a call with unknown outcome."""

    type = EventType.TOOL_LOOK
    tool_use_id: str
    call: str  # the call in a line
    sender: str


@dataclass(frozen=True, kw_only=True)
class ToolLooked(Payload):
    """What a look found."""

    type = EventType.TOOL_LOOKED
    tool_use_id: str
    errand_id: str
    found: str  # running, ended, nothing, unreachable or stopped
    seconds: float | None = None  # for how long it has run
    files: Sequence[str] = ()  # the newest of the workspace


@dataclass(frozen=True, kw_only=True)
class ToolRerun(Payload):
    """Somebody has a call with unknown outcome run once more."""

    type = EventType.TOOL_RERUN
    tool_use_id: str
    attempt: int
    call: str
    sender: str


@dataclass(frozen=True, kw_only=True)
class ToolLateResult(Payload):
    """What came of a call after the model had been told that nobody knows."""

    type = EventType.TOOL_LATE_RESULT
    tool_use_id: str
    errand_id: str
    attempt: int
    outcome: str  # collected or run_again; or unknown once more
    call: str
    sender: str
    content: Sequence[Block] = ()
    is_error: bool = False


@dataclass(frozen=True, kw_only=True)
class ToolMarkedDone(Payload):
    """Somebody says that a call with unknown outcome has happened."""

    type = EventType.TOOL_MARKED_DONE
    tool_use_id: str
    call: str
    sender: str


@dataclass(frozen=True, kw_only=True)
class Waiting(Payload):
    """What a running session waits for, in a sentence; `over` when it no longer does."""

    type = EventType.WAITING
    reason: str
    over: bool = False


@dataclass(frozen=True, kw_only=True)
class Recovery(Payload):
    """A worker took over a turn that another one left unfinished."""

    type = EventType.RECOVERY
    cut: str | None = None
    calls: Sequence[Mapping[str, Any]] = ()
    seconds_lost: float | None = None


@dataclass(frozen=True, kw_only=True)
class ResultsTrimmed(Payload):
    """Tool results up to a position are left out of what the model is shown."""

    type = EventType.RESULTS_TRIMMED
    through: int
    results: int
    tokens: int  # about how many were saved


@dataclass(frozen=True, kw_only=True)
class OutputsCaptured(Payload):
    """Files that the agent handed back, and those that could not be kept."""

    type = EventType.OUTPUTS_CAPTURED
    files: Sequence[Mapping[str, Any]] = ()  # id, path, size_bytes, mime_type
    left_out: Sequence[Mapping[str, Any]] = ()  # path, reason; the first ones
    left_out_count: int = 0


@dataclass(frozen=True, kw_only=True)
class RepositoryCloned(Payload):
    """A repository is there, or `error` (`type`, `message`) says why it is not."""

    type = EventType.REPOSITORY_CLONED
    resource_id: str
    url: str
    mount_path: str
    commit: str | None = None
    error: Mapping[str, Any] | None = None
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class ResourcesChanged(Payload):
    """Somebody changed what is mounted: `{"id", "type", "mount_path", "name"}` each."""

    type = EventType.RESOURCES_CHANGED
    by: str
    added: Sequence[Mapping[str, Any]] = ()
    removed: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, kw_only=True)
class SandboxOpened(Payload):
    """A sandbox was made; `files` says what it found there.

    It is new, kept, restored, removed (those before, with `SandboxRemoved`) or lost.
    """

    type = EventType.SANDBOX_OPENED
    provider: str
    files: str
    snapshot_at: str | None = None
    notes: Sequence[str] = ()  # what sandboxes lack on that machine


@dataclass(frozen=True, kw_only=True)
class SandboxStopped(Payload):
    """Nobody used it for a while. Its files are kept, in a snapshot too."""

    type = EventType.SANDBOX_STOPPED
    idle_minutes: int
    snapshot_bytes: int | None = None
    fault: str | None = None  # why there is no snapshot


@dataclass(frozen=True, kw_only=True)
class SandboxRemoved(Payload):
    """Its files are gone, and the snapshot too: they had their time."""

    type = EventType.SANDBOX_REMOVED
    days: int


@dataclass(frozen=True, kw_only=True)
class EgressRefused(Payload):
    """The sandbox tried to reach a host that it may not; told once per host."""

    type = EventType.EGRESS_REFUSED
    host: str
    port: int
    rule: str
    reason: str
    tool_use_ids: Sequence[str] = ()  # the calls that ran then


@dataclass(frozen=True, kw_only=True)
class HostAllowed(Payload):
    """Somebody let the sandbox reach a host: this session's, or every new one's."""

    type = EventType.HOST_ALLOWED
    host: str
    scope: str  # session or environment
    by: str


@dataclass(frozen=True, kw_only=True)
class Unknown(Payload):
    """What the log holds and this version cannot read; it is never written."""

    type = EventType.UNKNOWN
    stored_type: str


PAYLOADS: dict[EventType, type[Payload]] = {
    kind.type: kind
    for kind in (
        UserMessage,
        UserInterrupt,
        UserToolConfirmation,
        UserCustomToolResult,
        SystemMessage,
        AgentMessage,
        AgentThinking,
        AgentToolUse,
        AgentToolResult,
        AgentCustomToolUse,
        ThreadMessageSent,
        ThreadMessageReceived,
        ThreadContextCompacted,
        SessionStatusRunning,
        SessionStatusIdle,
        SessionStatusRescheduled,
        SessionStatusTerminated,
        SessionError,
        SessionUpdated,
        SessionUsage,
        SessionDeleted,
        ThreadCreated,
        ThreadStatusRunning,
        ThreadStatusIdle,
        ThreadStatusRescheduled,
        ThreadStatusTerminated,
        ModelRequestStart,
        ModelRequestEnd,
        ToolStarted,
        ToolLook,
        ToolLooked,
        ToolRerun,
        ToolLateResult,
        ToolMarkedDone,
        Waiting,
        Recovery,
        ResultsTrimmed,
        SandboxOpened,
        SandboxStopped,
        SandboxRemoved,
        OutputsCaptured,
        RepositoryCloned,
        ResourcesChanged,
        EgressRefused,
        HostAllowed,
        Unknown,
    )
}

CLIENT_TYPES = frozenset(
    {
        EventType.USER_MESSAGE,
        EventType.USER_INTERRUPT,
        EventType.USER_TOOL_CONFIRMATION,
        EventType.USER_CUSTOM_TOOL_RESULT,
        EventType.SYSTEM_MESSAGE,
    }
)
"""What a client may send; everything else is written by the platform."""

ERRAND_TYPES = frozenset({EventType.TOOL_LOOK, EventType.TOOL_RERUN})
"""What people ask a host to do about a call with unknown outcome."""

QUEUED_TYPES = CLIENT_TYPES | ERRAND_TYPES | {EventType.TOOL_MARKED_DONE}
"""What people and programs say: seen as it arrives, and again when it is taken in."""


RESULTS = (AgentToolResult, UserCustomToolResult)
"""What ends a call, whoever ran it."""


CROSS_POSTED = frozenset(
    (kind, "session_thread_id")
    for kind in (EventType.AGENT_TOOL_USE, EventType.AGENT_CUSTOM_TOOL_USE)
)
"""What only a session's stream says of a child thread's event."""


def parse(type: str, payload: Mapping[str, Any]) -> Payload:
    """Return the value of a stored event.

    Raises:
        ValueError: the type is unknown or a field is missing.
    """
    kind = PAYLOADS[EventType(type)]
    known = {item.name: item for item in fields(kind)}
    missing = [
        name
        for name, item in known.items()
        if item.default is MISSING
        and item.default_factory is MISSING
        and name not in payload
    ]
    if missing:
        raise ValueError(f"{type} lacks {', '.join(missing)}")
    return kind(**{name: value for name, value in payload.items() if name in known})


@dataclass(frozen=True, kw_only=True)
class Draft:
    """An event about to be written."""

    payload: Payload
    id: str = ""  # given when the id had to be known before, as for deltas
    private: Mapping[str, Any] | None = None
    queued: bool = False  # from a client: waits to be taken in
    idempotency_key: str | None = None
    thread_id: str = ""  # the one it is written for, where the caller names no other
    inner: bool = False  # on its child thread's stream, and not on the session's

    def on(self, thread_id: str, *, child: bool) -> Draft:
        """The same for a thread. What only a child's own stream shows is inner."""
        inner = child and not shows_on_session(self.payload)
        return replace(self, thread_id=thread_id, inner=inner)


def shows_on_session(payload: Payload) -> bool:
    """Say whether an event of a child thread is on the session's stream too."""
    match payload:
        case AgentToolUse(evaluated_permission=permission):
            return permission == "ask"
        case AgentCustomToolUse() | ThreadStatus() | SessionError() | Recovery():
            return True
    return payload.type in CLIENT_TYPES


@dataclass(frozen=True, kw_only=True)
class Record:
    """An event as it was written. `position` is null while it is queued."""

    id: str
    seq: int
    position: int | None
    payload: Payload
    created_at: datetime
    processed_at: datetime | None = None
    private: Mapping[str, Any] = field(default_factory=dict)
    thread_id: str = ""
    inner: bool = False

    @property
    def type(self) -> EventType:
        return self.payload.type

    def wire(self, *, own_thread: bool = False) -> dict[str, Any]:
        """The event as the API answers it, on its own thread's stream or the session's."""
        left_out = CROSS_POSTED if own_thread else frozenset()
        said = {
            name: value
            for name, value in self.payload.to_json().items()
            if not name.startswith("agentsite_") and (self.type, name) not in left_out
        }
        return {
            "id": self.id,
            "type": self.type.value,
            "processed_at": stamp(self.processed_at),
            **said,
        }

    def as_queued(self, *, own_thread: bool = False) -> dict[str, Any]:
        """The event as it was first sent: not yet taken in."""
        return {**self.wire(own_thread=own_thread), "processed_at": None}
