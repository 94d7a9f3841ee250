"""What clients send: each event finds its thread, and wakes it where it should.

The session's row is locked by the caller, and everything here is one transaction: an
event that is refused takes the whole request with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from django.db import transaction

from agents.errors import InvalidRequest
from sessions import asks, bus, lifecycle, log
from sessions.events import (
    AgentCustomToolUse,
    AgentToolUse,
    Draft,
    Record,
    SystemMessage,
    UserCustomToolResult,
    UserInterrupt,
    UserToolConfirmation,
)
from sessions.harness.request import takes_system_turns
from sessions.models import Session, Status, Thread
from sessions.models.session import WORKING

MOST_QUEUED = 1_000
"""Messages that may wait in a session: an agent reads them all at once."""

MOST_LETTERS = 32 << 20
"""And how long all of them may be, as they are stored: as long as one request."""

Answer = UserToolConfirmation | UserCustomToolResult


def receive(session: Session, drafts: Sequence[Draft]) -> list[Record]:
    """Write client events down and wake whom they concern; return them as stored.

    An answer that was given before, in the same words, is returned and changes nothing.

    Raises:
        InvalidRequest: an event has no place in this session as it stands.
    """
    _refuse_flood(session, drafts)
    mail = _Mail.of(session)
    _refuse_unanswering_system_text(mail.primary, drafts)
    sorted_in = [mail.sort(draft) for draft in drafts]
    begun = _begin(mail.threads.values(), sorted_in)
    written = log.append(session.pk, [*sorted_in, *begun])[: len(sorted_in)]
    _refuse_second_thoughts(sorted_in, written)
    _wake([*mail.threads.values()], written)
    transaction.on_commit(lambda: bus.wake_hosts(session.pk))
    return written


def _refuse_flood(session: Session, drafts: Sequence[Draft]) -> None:
    """Stops and answers are never too many: they are what makes room."""
    more = [draft.payload for draft in drafts if draft.payload.type in log.INPUT]
    if not more:
        return
    count, letters = log.waiting_input(session.pk)
    letters += sum(len(json.dumps(each.to_json())) for each in more) if count else 0
    if count + len(more) <= MOST_QUEUED and letters <= MOST_LETTERS:
        return
    raise InvalidRequest(
        f"session {session.pk} has {count} messages waiting, and {MOST_QUEUED} of"
        f" {MOST_LETTERS >> 20} MB together may: send more when the agent has taken"
        " them in"
    )


def _refuse_unanswering_system_text(primary: Thread, drafts: Sequence[Draft]) -> None:
    """Beside calls that wait it may only accompany a result: no turn begins before."""
    *others, last = drafts
    if not isinstance(last.payload, SystemMessage):
        return
    if not lifecycle.waits_for_answers(primary):
        return
    if not others or not isinstance(others[-1].payload, UserCustomToolResult):
        raise InvalidRequest(
            f"session {primary.session_id} waits for answers: until it has them a"
            " system.message may only follow a result in the same request"
        )


def _refuse_second_thoughts(sent: Sequence[Draft], stored: Sequence[Record]) -> None:
    """A call is answered once: the same again is harmless, anything else is refused."""
    for draft, record in zip(sent, stored, strict=True):
        if draft.idempotency_key and _said(draft.payload) != _said(record.payload):
            raise InvalidRequest(f"{_call_of(draft.payload)} was answered before")


def _said(payload: object) -> object:
    assert isinstance(payload, Answer)
    words = log.storable(payload.to_json())
    return {name: value for name, value in words.items() if name != "agentsite_sender"}


def _call_of(payload: object) -> str:
    if isinstance(payload, UserToolConfirmation):
        return payload.tool_use_id
    assert isinstance(payload, UserCustomToolResult)
    return payload.custom_tool_use_id


@dataclass(frozen=True, kw_only=True)
class _Mail:
    """One request's events, and the threads they are for."""

    session: Session
    primary: Thread
    threads: Mapping[str, Thread]

    @classmethod
    def of(cls, session: Session) -> _Mail:
        threads = {
            thread.pk: thread for thread in session.threads.order_by("created_at")
        }
        (primary,) = (each for each in threads.values() if each.is_primary)
        return cls(session=session, primary=primary, threads=threads)

    def sort(self, draft: Draft) -> Draft:
        """The event with its thread. Raises InvalidRequest."""
        match draft.payload:
            case UserInterrupt(session_thread_id=thread_id):
                return self._stop(draft, thread_id)
            case UserToolConfirmation() | UserCustomToolResult() as answer:
                return self._answer(draft, answer)
            case SystemMessage():
                self._refuse_system_message()
        return replace(draft, thread_id=self.primary.pk)

    def _stop(self, draft: Draft, thread_id: str | None) -> Draft:
        """A stop that finds nothing to stop is taken in at once."""
        if thread_id is None:
            works = any(each.status in WORKING for each in self.threads.values())
            return replace(draft, thread_id=self.primary.pk, queued=works)
        thread = self.threads.get(thread_id)
        if thread is None:
            raise InvalidRequest(f"session {self.session.pk} has no thread {thread_id}")
        if thread.status == Status.TERMINATED:
            raise InvalidRequest(f"thread {thread_id} has ended")
        return replace(draft, thread_id=thread_id, queued=thread.status in WORKING)

    def _answer(self, draft: Draft, answer: Answer) -> Draft:
        call_id = _call_of(answer)
        call = asks.find_call(self.session.pk, call_id)
        if call is None or not _may_answer(call, answer):
            raise InvalidRequest(
                f"session {self.session.pk} has no call {call_id} that waits for a"
                f" {answer.type.value}"
            )
        key = f"answer:{call_id}"
        known = log.find_by_key(self.session.pk, key)
        if not known and asks.is_answered(self.session.pk, call_id):
            raise InvalidRequest(f"{call_id} was settled before: it has its result")
        thread = self.threads[call.thread_id]
        routed = None if thread.is_primary else thread.pk
        return replace(
            draft,
            payload=replace(answer, session_thread_id=routed),
            thread_id=thread.pk,
            queued=isinstance(answer, UserToolConfirmation),
            idempotency_key=key,
        )

    def _refuse_system_message(self) -> None:
        model = self.primary.agent_snapshot["model"]["id"]
        if not takes_system_turns(model):
            raise InvalidRequest(
                f"model_does_not_support_mid_conversation_system: {model} takes no"
                " system.message"
            )


def _may_answer(call: Record, answer: Answer) -> bool:
    match call.payload:
        case AgentToolUse(evaluated_permission="ask"):
            return isinstance(answer, UserToolConfirmation)
        case AgentCustomToolUse():
            return isinstance(answer, UserCustomToolResult)
    return False


# Waking.


def _begin(threads: Iterable[Thread], sent: Sequence[Draft]) -> list[Draft]:
    """Start what rests and gets input, with the same append as that."""
    awaited = {draft.thread_id for draft in sent if draft.payload.type in log.INPUT}
    return [
        told
        for thread in threads
        if thread.pk in awaited and _is_free(thread)
        for told in lifecycle.start(thread)
    ]


def _is_free(thread: Thread) -> bool:
    return thread.status == Status.IDLE and not lifecycle.waits_for_answers(thread)


def _wake(threads: Sequence[Thread], written: Sequence[Record]) -> None:
    stops = [each.payload for each in written]
    stopped = {s.session_thread_id for s in stops if isinstance(s, UserInterrupt)}
    for thread_id in stopped:
        _cancel_asks(threads, thread_id)
    for thread in threads:
        if thread.status == Status.IDLE:
            _wake_thread(thread)


def _cancel_asks(threads: Sequence[Thread], thread_id: str | None) -> None:
    """A stop of threads that wait for somebody: nobody needs to answer any more."""
    for thread in threads:
        if thread.status == Status.IDLE and thread_id in {None, thread.pk}:
            lifecycle.cancel_asks(thread)


def _wake_thread(thread: Thread) -> None:
    """Start an idle thread that has something to do, or say what it still waits for."""
    session_id = thread.session_id
    if lifecycle.waits_for_answers(thread):
        if calls := asks.waiting(session_id, thread.pk):
            lifecycle.remind(thread, calls)
            return
    elif log.INPUT.isdisjoint(log.queued_types(session_id, thread.pk)):
        return
    log.append(session_id, lifecycle.start(thread))
