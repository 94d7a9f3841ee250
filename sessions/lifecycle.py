"""The life of sessions and their threads: the only writer of statuses.

Status and the events that tell of it change in one transaction. A session's status is
what its threads' statuses amount to: it works while one of them does. Leases, which say
who may work on a session, are in `sessions.leases`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum, auto
from typing import Any

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from sessions import asks, budgets, leases, log, usage
from sessions.events import (
    ERRAND_TYPES,
    Draft,
    EventType,
    Payload,
    Record,
    SessionError,
    SessionStatusIdle,
    SessionStatusRescheduled,
    SessionStatusRunning,
    SessionStatusTerminated,
    SessionUsage,
    ThreadStatus,
    ThreadStatusIdle,
    ThreadStatusRescheduled,
    ThreadStatusRunning,
    ThreadStatusTerminated,
)
from sessions.harness.contract import (
    BUDGET_REACHED,
    END_TURN,
    RETRIES_EXHAUSTED,
    Ending,
    requires_action,
)
from sessions.harness.reply import closings, error_result
from sessions.harness.standing import RESTS_WITHIN, failures
from sessions.models import Event, Session, Status, Thread
from sessions.models.session import WORKING

FAULTS = 5
"""How often in a row a turn may fail on our side before it is given up."""

INTERRUPTED_ASK = (
    "The call was interrupted before anybody answered it; it was not run. "
    "Retry it if it is still wanted."
)

LIMITS = frozenset({"tool_use_limit_reached_error", "compaction_limit_reached_error"})
"""Errors after which a child thread is not gone on with."""

GIVEN_UP = (
    "The turn was given up on the platform's side before this call had its result; it "
    "may have had effects. Look before you repeat it."
)

STARTS_ANEW = frozenset({"end_turn", "refusal"})
"""Endings after which waiting input opens the next turn by itself."""


class Finished(Enum):
    """What became of a turn that came to its end."""

    GOES_ON = auto()  # what came meanwhile is part of it
    NEXT_TURN = auto()  # it is over, and waiting input opened another
    THREAD_IDLE = auto()  # other threads of the session still work
    SESSION_IDLE = auto()  # the lease is released


# Starting.


def start(thread: Thread) -> list[Draft]:
    """Set an idle thread running; return what tells of it, for the caller to append.

    It belongs in the same transaction, behind what woke the thread.
    """
    if not _change(thread, [Status.IDLE], Status.RUNNING):
        return []
    return [*_settle(thread.session), _told(thread, Status.RUNNING)]


def unpause(session_id: str) -> list[Draft]:
    """Set running what rests at the budget; return what tells of it, as `start` does."""
    rows = Thread.objects.select_related("session").filter(session=session_id)
    paused = [
        thread
        for thread in rows.filter(status=Status.IDLE).order_by("created_at")
        if thread.stop_reason == BUDGET_REACHED.stop_reason
    ]
    return [draft for thread in paused for draft in start(thread)]


# The end of a turn.


def finish(
    session_id: str,
    *,
    fence: int,
    thread_id: str | None = None,
    ending: Ending = END_TURN,
    cut: bool = False,
) -> Finished:
    """End a thread's turn, and with the last one the session's work.

    Where input waits the work goes on: within the same turn, or, where the turn was
    `cut` short, in a new one after this one's idle. An interrupt that came too late to
    stop anything is taken in, and cuts it short too.

    Raises:
        log.Fenced: the lease has moved on.
    """
    with transaction.atomic():
        _hold(session_id, fence)
        thread = find_thread(session_id, thread_id)
        queued = log.queued_types(session_id, thread.pk)
        if log.NOTES & queued:  # they wake nobody, and need not wait for who comes
            log.take_in(session_id, fence=fence, thread_id=thread.pk, types=log.NOTES)
        if EventType.USER_INTERRUPT in queued:
            log.take_in_interrupts(session_id, fence=fence, thread_id=thread.pk)
            queued, cut = log.queued_types(session_id, thread.pk), True
        ends = _how_it_ends(thread, ending, cut=cut, waiting=_is_input(queued))
        if ends is None or (_has_errands(queued) and not cut):
            return Finished.GOES_ON
        if ends == RETRIES_EXHAUSTED:  # what waited shares the fate of the turn
            log.take_in(session_id, fence=fence, thread_id=thread.pk)
            queued = set()
        opens_next = _is_input(queued) or _has_errands(queued)
        return _end_turn(thread, fence, ends, opens_next=opens_next)


def _is_input(types: Iterable[str]) -> bool:
    return not log.INPUT.isdisjoint(types)


def _has_errands(types: Iterable[str]) -> bool:
    """What a host is to do before the thread rests, however its turn ends."""
    return not ERRAND_TYPES.isdisjoint(types)


def _how_it_ends(
    thread: Thread, ending: Ending, *, cut: bool, waiting: bool
) -> Ending | None:
    """The ending as the log has it by now; none where the turn goes on."""
    if ending.stop_reason["type"] == "requires_action":
        if cut:
            _append(thread, _cancelled(thread))
            return END_TURN
        calls = asks.waiting(thread.session_id, thread.pk)
        return requires_action(calls) if calls else None
    if ending == BUDGET_REACHED:
        return _how_it_pauses(thread, cut=cut)
    if waiting and ending == END_TURN and not cut:
        return None
    return ending


def _how_it_pauses(thread: Thread, *, cut: bool) -> Ending | None:
    """A stop ends the turn all the same; a raise that crossed the pause undoes it."""
    if cut:
        return END_TURN
    model = thread.agent_snapshot["model"]["id"]
    reached = budgets.is_reached(thread.session_id, model)
    return BUDGET_REACHED if reached else None


def _end_turn(
    thread: Thread, fence: int, ending: Ending, *, opens_next: bool
) -> Finished:
    told = _rest_thread(thread, ending)
    if opens_next and ending.stop_reason["type"] in STARTS_ANEW:
        _append(thread, told, fence)
        _append(thread, start(thread), fence)
        return Finished.NEXT_TURN
    _append(thread, told, fence)
    if thread.session.status != Status.IDLE:
        return Finished.THREAD_IDLE
    log.take_in_interrupts(thread.session_id, fence=fence)  # one to all, come late
    leases.let_go(thread.session_id)
    return Finished.SESSION_IDLE


def _rest_thread(thread: Thread, ending: Ending) -> list[Draft]:
    """Set a thread idle; return what tells of it and of its session."""
    _change(thread, WORKING, Status.IDLE, ending.stop_reason)
    idle = ThreadStatusIdle(**_naming(thread), **_why(ending))
    gone = _end_at_limit(thread, ending)
    told = _settle(thread.session, ending)
    if ending == BUDGET_REACHED and not told:  # others go on; what it cost is news
        told = [_on(find_thread(thread.session_id), _used(thread.session))]
    return [_on(thread, idle), *gone, *told]


def _end_at_limit(thread: Thread, ending: Ending) -> list[Draft]:
    """End a child for good that a limit stopped: nobody else writes to it."""
    if thread.is_primary or ending != RETRIES_EXHAUSTED:
        return []
    if log.last_error(thread.session_id, thread.pk) not in LIMITS:
        return []
    _change(thread, [Status.IDLE], Status.TERMINATED)
    return [_told(thread, Status.TERMINATED)]


# Calls that wait for somebody.


def waits_for_answers(thread: Thread) -> bool:
    """Say whether a thread rests until somebody has answered its calls."""
    reason = thread.stop_reason or {}
    return thread.status == Status.IDLE and reason.get("type") == "requires_action"


def remind(thread: Thread, calls: Sequence[str]) -> None:
    """Say again, of an idle thread, which calls are left, where some were answered."""
    ending = requires_action(calls)
    if thread.stop_reason == ending.stop_reason:
        return
    _append(thread, _rests_for(thread, ending))


def cancel_asks(thread: Thread) -> bool:
    """Answer, on an idle thread, every call that waits with an error, and end its turn.

    False where nothing waits. The model is not asked.
    """
    if not (results := _cancelled(thread)):
        return False
    log.take_in(
        thread.session_id, thread_id=thread.pk, types=[EventType.USER_TOOL_CONFIRMATION]
    )  # what was said of some of them is over too
    _append(thread, [*results, *_rests_for(thread, END_TURN)])
    return True


def _rests_for(thread: Thread, ending: Ending) -> list[Draft]:
    """Give an idle thread another reason to rest; return what tells of it."""
    thread.stop_reason = dict(ending.stop_reason)
    thread.save(update_fields=["stop_reason", "updated_at"])
    told = [_on(thread, ThreadStatusIdle(**_naming(thread), **_why(ending)))]
    if thread.session.status == Status.IDLE:
        told += _idle_again(thread.session)
    return told


def _cancelled(thread: Thread) -> list[Draft]:
    calls = asks.unsettled(thread.session_id, thread.pk)
    results = [error_result(each.call.id, INTERRUPTED_ASK) for each in calls]
    return [log.placed(thread, result) for result in results]


def _idle_again(session: Session) -> list[Draft]:
    threads = threads_of(session.pk)
    ending = _session_ending(threads, END_TURN)
    _set(session, stop_reason=ending.stop_reason)
    return _told_idle(session, threads[0], ending)


# What a session's threads amount to.


def _settle(session: Session, ending: Ending = END_TURN) -> list[Draft]:
    """Give a session the status its threads amount to; return what tells of it.

    The session was read while its row was locked, and knows its status afterwards.
    """
    threads = threads_of(session.pk)
    status = _amounts_to(threads)
    if status == session.status or session.status == Status.TERMINATED:
        return []
    rests = status == Status.IDLE
    ending = _session_ending(threads, ending) if rests else ending
    _set(
        session,
        status=status,
        stop_reason=ending.stop_reason if rests else None,
        **_CLOCKS[status](session),
    )
    primary = threads[0]
    if rests:
        return _told_idle(session, primary, ending)
    return [_on(primary, _SHIFTS[status][0]())]


def _set(session: Session, **values: Any) -> None:
    values["updated_at"] = timezone.now()
    Session.objects.filter(pk=session.pk).update(**values)
    for name, value in values.items():
        setattr(session, name, value)


def _amounts_to(threads: Sequence[Thread]) -> Status:
    """One that works outweighs one that waits for a retry, and that one the idle."""
    statuses = {thread.status for thread in threads}
    return next(
        (each for each in (Status.RUNNING, Status.RESCHEDULING) if each in statuses),
        Status.IDLE,
    )


def _session_ending(threads: Sequence[Thread], ending: Ending) -> Ending:
    """Why a session rests: a call that waits outweighs a budget, and both the rest."""
    resting = [each for each in threads if each.status == Status.IDLE]
    reasons = [each.stop_reason for each in resting if each.stop_reason]
    calls = [
        call
        for reason in reasons
        if reason["type"] == "requires_action"
        for call in reason["event_ids"]
    ]
    if calls:
        return requires_action(calls)
    if BUDGET_REACHED.stop_reason in reasons:
        return BUDGET_REACHED
    own = threads[0].stop_reason or ending.stop_reason
    return ending if own == ending.stop_reason else Ending(stop_reason=own)


def _told_idle(session: Session, primary: Thread, ending: Ending) -> list[Draft]:
    return [
        _on(primary, _used(session)),
        _on(primary, SessionStatusIdle(**_why(ending))),
    ]


def _used(session: Session) -> SessionUsage:
    return SessionUsage(usage=usage.usage_of(session), budget=budgets.wire(session))


def _why(ending: Ending) -> dict[str, Any]:
    return {"stop_reason": ending.stop_reason, "stop_details": ending.stop_details}


# Waits.


def reschedule(session_id: str, *, fence: int, thread_id: str | None = None) -> None:
    """A fault that passes: the thread waits, and the session keeps its host."""
    _shift(session_id, fence, thread_id, Status.RUNNING, Status.RESCHEDULING)


def go_on(session_id: str, *, fence: int, thread_id: str | None = None) -> None:
    """The wait of `reschedule` is over."""
    _shift(session_id, fence, thread_id, Status.RESCHEDULING, Status.RUNNING)


def _shift(
    session_id: str, fence: int, thread_id: str | None, before: Status, after: Status
) -> None:
    with transaction.atomic():
        _hold(session_id, fence)
        thread = find_thread(session_id, thread_id)
        if _change(thread, [before], after):
            told = [*_settle(thread.session), _told(thread, after)]
            _append(thread, told, fence)


_SHIFTS: dict[Status, tuple[type[Payload], type[ThreadStatus]]] = {
    Status.RESCHEDULING: (SessionStatusRescheduled, ThreadStatusRescheduled),
    Status.RUNNING: (SessionStatusRunning, ThreadStatusRunning),
}


def set_back(session_id: str, *, fence: int, fault: str) -> None:
    """A turn failed on our side: say so, and have any host try again a little later.

    After `FAULTS` times in a row the turns end, since nothing suggests that they will go.

    Raises:
        log.Fenced: the lease has moved on.
    """
    with transaction.atomic():
        _hold(session_id, fence)
        primary = find_thread(session_id)
        before = failures(log.records(session_id, thread_id=primary.pk))
        retry = "exhausted" if before >= FAULTS else "retrying"
        _append(primary, [_fault(session_id, fault, retry)], fence)
        for thread in working(threads_of(session_id)):
            if before >= FAULTS:
                _append(thread, _given_up(thread), fence)
            else:
                reschedule(session_id, fence=fence, thread_id=thread.pk)
        if before >= FAULTS:
            leases.let_go(session_id)
        else:
            leases.put_off(session_id, fence=fence, seconds=2.0 ** (before + 1))


def _given_up(thread: Thread) -> list[Draft]:
    """Set a thread idle, and leave nothing of it open."""
    records = log.records(thread.session_id, thread_id=thread.pk)
    closed = [log.placed(thread, draft) for draft in closings(records, GIVEN_UP)]
    return [*closed, *_rest_thread(thread, RETRIES_EXHAUSTED)]


def _fault(session_id: str, fault: str, retry: str) -> Draft:
    message = (
        f"The turn of session {session_id} failed on the platform's side ({fault}); the"
        " worker's log says where. Nothing that was done is lost."
    )
    error = {
        "type": "unknown_error",
        "message": message,
        "retry_status": {"type": retry},
    }
    return Draft(payload=SessionError(error=error))


def _hold(session_id: str, fence: int) -> None:
    """Lock the row, so that no input can arrive between the look and the idle."""
    if not Session.objects.filter(pk=session_id, fence=fence).update(fence=fence):
        raise log.Fenced(f"{session_id} is no longer held with fence {fence}")


def archive(session: Session) -> bool:
    """Make an idle session read-only; false where it is working."""
    with transaction.atomic():
        resting = Session.objects.filter(pk=session.pk, archived_at=None)
        ended = resting.filter(status=Status.TERMINATED).update(**_archived())
        if ended:
            return True
        gone = resting.filter(status=Status.IDLE).update(**_archived())
        if gone:
            _append(find_thread(session.pk), _terminated(session.pk))
    return bool(gone)


def archive_thread(thread: Thread) -> bool:
    """End an idle child thread for good; false where it works or was the primary one."""
    with transaction.atomic():
        Session.objects.select_for_update().get(pk=thread.session_id)
        thread = find_thread(thread.session_id, thread.pk)
        if thread.is_primary or thread.status in WORKING:
            return False
        why = (thread.stop_reason or {}).get("type")
        if _change(thread, [Status.IDLE], Status.TERMINATED):
            Thread.objects.filter(pk=thread.pk).update(archived_at=timezone.now())
            told = [_told(thread, Status.TERMINATED)]
            if why in RESTS_WITHIN and thread.session.status == Status.IDLE:
                told += _idle_again(thread.session)
            _append(thread, told)
    return True


def _archived() -> dict[str, Any]:
    moment = timezone.now()
    return {
        "archived_at": moment,
        "status": Status.TERMINATED,
        "updated_at": moment,
    }


def _terminated(session_id: str) -> list[Draft]:
    primary, *children = threads_of(session_id)
    ended = [
        _told(thread, Status.TERMINATED)
        for thread in (*children, primary)
        if _change(thread, [*WORKING, Status.IDLE], Status.TERMINATED)
    ]
    return [*ended, _on(primary, SessionStatusTerminated())]


def terminate(session_id: str, *, fence: int, error: Mapping[str, Any]) -> None:
    """End a session that cannot be recovered; the error says why."""
    with transaction.atomic():
        _hold(session_id, fence)
        thread = find_thread(session_id)
        session = thread.session
        told = [
            _on(thread, SessionError(error=error)),
            _on(thread, _used(session)),
            *_terminated(session_id),
        ]
        Session.objects.filter(pk=session_id).update(
            status=Status.TERMINATED, updated_at=timezone.now(), **_stopped(session)
        )
        leases.let_go(session_id)
        _append(thread, told, fence)


def append_and_count(
    session_id: str, drafts: Sequence[Draft], *, fence: int, thread_id: str
) -> list[Record]:
    """Append a turn's events; model usage among them is summed with the same commit."""
    if not any(usage.ends_request(draft) for draft in drafts):
        return log.append(session_id, drafts, fence=fence, thread_id=thread_id)
    with transaction.atomic(savepoint=False):
        written = log.append(session_id, drafts, fence=fence, thread_id=thread_id)
        usage.count(session_id, thread_id, drafts)
    return written


def forget(session_id: str) -> bool:
    """Delete a session and its log; false where it is working."""
    with transaction.atomic():
        resting = Session.objects.filter(pk=session_id).exclude(status__in=WORKING)
        if not resting.update(status=Status.TERMINATED):
            return False
        Event.objects.filter(session=session_id).delete()
        Session.objects.filter(pk=session_id).delete()
    return True


# What should never be, and would stay for ever.


def stale() -> list[str]:
    """The sessions whose status is not what their threads amount to."""
    working = Thread.objects.filter(session=OuterRef("pk"), status__in=WORKING)
    idle_at_work = Exists(working) & Q(status=Status.IDLE)
    working_at_rest = ~Exists(working) & Q(status__in=WORKING)
    found = Session.objects.filter(idle_at_work | working_at_rest)
    return list(found.values_list("pk", flat=True))


def settle(session_id: str) -> bool:
    """Give a session the status its threads amount to; false where it has that one.

    Nobody else would: a host looks for what works, and finds nothing to do in it.
    """
    with transaction.atomic():
        Session.objects.select_for_update().filter(pk=session_id).first()
        primary = find_thread(session_id)
        if not (told := _settle(primary.session)):
            return False
        # Whoever has it all the same can no longer write.
        Session.objects.filter(pk=session_id).update(fence=F("fence") + 1)
        leases.let_go(session_id)
        _append(primary, told)
    return True


# Threads.


def find_thread(session_id: str, thread_id: str | None = None) -> Thread:
    """A thread as it is now, and the session with it; the primary one by default.

    Raises:
        log.SessionGone: there is none.
    """
    threads = Thread.objects.select_related("session").filter(session=session_id)
    mine = threads.filter(pk=thread_id) if thread_id else threads.filter(parent=None)
    if (found := mine.first()) is None:
        raise log.SessionGone(session_id)
    return found


def threads_of(session_id: str) -> list[Thread]:
    """All threads, the primary one first."""
    return list(Thread.objects.filter(session=session_id).order_by("created_at"))


def working(threads: Sequence[Thread]) -> list[Thread]:
    """Those that have something to do, the primary one last."""
    return [thread for thread in reversed(threads) if thread.status in WORKING]


def _change(
    thread: Thread,
    before: Sequence[Status],
    after: Status,
    stop_reason: Mapping[str, Any] | None = None,
) -> bool:
    """Change a thread's status from one of these; say whether it was one of them.

    The thread was read while its session was locked, so that its clock is right.
    """
    values = {
        "status": after,
        "stop_reason": stop_reason,
        "updated_at": timezone.now(),
        **_CLOCKS[after](thread),
    }
    found = Thread.objects.filter(pk=thread.pk, status__in=before)
    if not found.update(**values):
        return False
    for name, value in values.items():
        setattr(thread, name, value)
    return True


def _running(row: Session | Thread) -> dict[str, Any]:
    return {"running_since": row.running_since or timezone.now()}


def _stopped(row: Session | Thread) -> dict[str, Any]:
    return {
        "running_since": None,
        "active_seconds": usage.active_seconds(row),
        "usage": usage.at_rest(row),
    }


_CLOCKS = {
    Status.RUNNING: _running,
    Status.RESCHEDULING: _stopped,
    Status.IDLE: _stopped,
    Status.TERMINATED: _stopped,
}
"""What changes on the clocks of a row with its status: only running is working time."""


# Drafts.


def _told(thread: Thread, status: Status) -> Draft:
    kind = _SHIFTS[status][1] if status in _SHIFTS else ThreadStatusTerminated
    return _on(thread, kind(**_naming(thread)))


def _on(thread: Thread, payload: Payload) -> Draft:
    return log.placed(thread, Draft(payload=payload))


def _append(thread: Thread, drafts: Sequence[Draft], fence: int | None = None) -> None:
    log.append(thread.session_id, drafts, fence=fence, thread_id=thread.pk)


def _naming(thread: Thread) -> dict[str, Any]:
    return {
        "session_thread_id": thread.pk,
        "agent_name": thread.agent_snapshot.get("name", ""),
    }
