"""The event log: the only writer of Event rows.

Every write takes its numbers from the session's counter in one short transaction, so
that the log of a session has no gap and no two writers can disagree about its order.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import (
    Count,
    Exists,
    F,
    Max,
    Min,
    OuterRef,
    Q,
    QuerySet,
    Sum,
    TextField,
)
from django.db.models.functions import Cast, Length
from django.utils import timezone

from agents.ids import new_id
from sandbox.answers import storable as storable_text
from sessions import bus
from sessions.events import (
    ERRAND_TYPES,
    QUEUED_TYPES,
    Draft,
    EventType,
    Payload,
    Record,
    Unknown,
    parse,
)
from sessions.models import Event, Session, Thread

INPUT = frozenset(
    {
        EventType.USER_MESSAGE,
        EventType.SYSTEM_MESSAGE,
        EventType.THREAD_MESSAGE_RECEIVED,
    }
)
"""What waits for a thread's next step."""

NOTES = frozenset({EventType.TOOL_MARKED_DONE})
"""What is taken in with the next input, and wakes nobody."""

STEP = INPUT | ERRAND_TYPES | NOTES
"""All that a step takes in."""


class SessionGone(Exception):
    """The session was deleted."""


class Fenced(Exception):
    """Another worker has taken this session over: nothing was written."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What a reader sees at one number: an event as it arrived, or as it was taken in."""

    number: int
    record: Record
    queued: bool

    def wire(self, *, own_thread: bool = False) -> dict[str, Any]:
        form = self.record.as_queued if self.queued else self.record.wire
        return form(own_thread=own_thread)


def append(
    session_id: str,
    drafts: Sequence[Draft],
    *,
    fence: int | None = None,
    thread_id: str | None = None,
) -> list[Record]:
    """Write events and return them in order.

    They belong to the thread each names, else to `thread_id`, else to the primary one.
    An event whose idempotency key is there already is not written again; the stored
    one is returned in its place.

    Raises:
        Fenced: a fence was given and the lease has moved on.
        SessionGone: there is no such session.
    """
    if not drafts:
        return []
    with transaction.atomic(savepoint=False):
        known = _stored_by_key(session_id, drafts, fence)
        fresh = _fresh(drafts, known)
        if not fresh and fence is None:
            return [known[str(draft.idempotency_key)] for draft in drafts]
        first = _take_numbers(session_id, len(fresh), fence)
        rows = _rows(
            session_id, _default_thread(session_id, thread_id, fresh), fresh, first
        )
        Event.objects.bulk_create(rows)
        _nudge(session_id, first + len(fresh) - 1)
    written = [record_of(row) for row in rows]
    known |= {
        draft.idempotency_key: record
        for draft, record in zip(fresh, written, strict=True)
        if draft.idempotency_key
    }
    keyless = (
        record
        for draft, record in zip(fresh, written, strict=True)
        if not draft.idempotency_key
    )
    return [known.get(draft.idempotency_key or "") or next(keyless) for draft in drafts]


def _fresh(drafts: Sequence[Draft], known: Collection[str]) -> list[Draft]:
    """The drafts to write: of those under one key the first, if none is stored yet."""
    fresh, keys = [], {*known}
    for draft in drafts:
        if draft.idempotency_key is None or draft.idempotency_key not in keys:
            fresh.append(draft)
            keys.add(draft.idempotency_key or "")
    return fresh


def placed(thread: Thread, draft: Draft) -> Draft:
    """The draft for a thread."""
    return draft.on(thread.pk, child=not thread.is_primary)


def _default_thread(
    session_id: str, thread_id: str | None, drafts: Sequence[Draft]
) -> str:
    if thread_id or all(draft.thread_id for draft in drafts):
        return thread_id or ""
    return primary_id(session_id)


def take_in(
    session_id: str,
    *,
    fence: int | None = None,
    thread_id: str | None = None,
    types: Iterable[EventType] = STEP,
) -> list[Record]:
    """Take queued input in, one thread's or all: each gets its position and its time.

    The fence is the host's; without one the caller holds the session's row.

    Raises:
        Fenced: the lease has moved on.
    """
    rows = queued(session_id, thread_id).filter(type__in=[*types])
    return _taken(session_id, rows, fence)


def take_step(
    session_id: str,
    *,
    fence: int,
    thread_id: str,
    types: Iterable[EventType] = STEP,
) -> list[Record]:
    """Take in what a thread's next step is to read.

    Nothing from behind a stop that waits: the turn would have it that the stop is about
    to end, and what somebody said after their stop would never be answered.

    Raises:
        Fenced: the lease has moved on.
    """
    waiting = queued(session_id, thread_id)
    stops = waiting.filter(type=EventType.USER_INTERRUPT, seq__lt=OuterRef("seq"))
    return _taken(session_id, waiting.filter(~Exists(stops), type__in=[*types]), fence)


def take_in_interrupts(
    session_id: str, *, fence: int, thread_id: str | None = None
) -> list[Record]:
    """Take in what asks for a stop, and the messages whose turn it stops.

    A message that set the session running and that no step has taken in yet is part
    of what is stopped. One that came later opens the next turn.

    Raises:
        Fenced: the lease has moved on.
    """
    waiting = queued(session_id, thread_id)
    stops = waiting.filter(type=EventType.USER_INTERRUPT)
    if not stops.exists():
        return []
    began = _turn_began(session_id, thread_id)
    answers = waiting.filter(type=EventType.USER_TOOL_CONFIRMATION)
    opening = waiting.filter(type__in=STEP, seq__lt=began)
    return _taken(session_id, stops | answers | opening, fence)


def _turn_began(session_id: str, thread_id: str | None) -> int:
    """When the thread was set running; later ones are the ends of retries' waits."""
    rows = _of_thread(Event.objects.filter(session_id=session_id), thread_id)
    idle = rows.filter(type=EventType.THREAD_STATUS_IDLE).aggregate(seq=Max("seq"))
    running = rows.filter(
        type=EventType.THREAD_STATUS_RUNNING, seq__gt=idle["seq"] or 0
    )
    return running.aggregate(seq=Min("seq"))["seq"] or 0


def _taken(session_id: str, rows: QuerySet[Event], fence: int | None) -> list[Record]:
    waiting = list(rows)  # only one at a time takes in: no lock for the look
    if not waiting:
        return []
    with transaction.atomic(savepoint=False):
        first = _take_numbers(session_id, len(waiting), fence)
        moment = timezone.now()
        for number, row in enumerate(waiting, start=first):
            row.position, row.processed_at = number, moment
        Event.objects.bulk_update(waiting, ["position", "processed_at"])
        _nudge(session_id, first + len(waiting) - 1)
    return [record_of(row) for row in waiting]


def queued(session_id: str, thread_id: str | None = None) -> QuerySet[Event]:
    """What no turn has taken in yet, in order of arrival."""
    rows = Event.objects.filter(session_id=session_id, position=None).order_by("seq")
    return _of_thread(rows, thread_id)


def waiting_input(session_id: str) -> tuple[int, int]:
    """How many messages no turn has taken in yet, and how long they are as stored."""
    letters = Sum(Length(Cast("payload", TextField())), default=0)
    rows = queued(session_id).filter(type__in=[*INPUT]).order_by()
    found = rows.aggregate(count=Count("pk"), letters=letters)
    return found["count"], found["letters"]


def _of_thread(rows: QuerySet[Event], thread_id: str | None) -> QuerySet[Event]:
    return rows.filter(thread_id=thread_id) if thread_id else rows


def since_reply(session_id: str, thread_id: str) -> QuerySet[Event]:
    """What followed a thread's last whole reply, and what is queued; in order."""
    rows = Event.objects.filter(session_id=session_id, thread_id=thread_id)
    replies = rows.filter(type=EventType.MODEL_REQUEST_END, payload__is_error=False)
    last = replies.order_by("-position").values_list("position", flat=True).first()
    return rows.filter(Q(position=None) | Q(position__gt=last or 0)).order_by("seq")


def records(
    session_id: str, *, thread_id: str | None = None, after: int = 0
) -> list[Record]:
    """What was taken in after a position, in order: a transcript is folded from it."""
    rows = Event.objects.filter(session_id=session_id, position__gt=after)
    found = _of_thread(rows, thread_id).order_by("position")
    return [record_of(row) for row in found]


def since(session_id: str, number: int, *, limit: int = 500) -> list[Frame]:
    """Return the frames after a number, in order, at most `limit` of them."""
    rows = Event.objects.filter(session_id=session_id)
    shown = Q(position=F("seq")) | Q(type__in=[*QUEUED_TYPES])
    arrived = [*rows.filter(shown, seq__gt=number).order_by("seq")[:limit]]
    taken = rows.filter(position__gt=number).exclude(position=F("seq"))
    if len(arrived) == limit:  # what comes behind these is for another time
        taken = taken.filter(position__lt=arrived[-1].seq)
    found = {row.pk: row for row in (*arrived, *taken.order_by("position")[:limit])}
    frames = [
        frame
        for row in found.values()
        for frame in frames_of(row)
        if frame.number > number
    ]
    return sorted(frames, key=lambda frame: frame.number)[:limit]


def before(
    session_id: str, number: int, *, limit: int = 200, thread_id: str | None = None
) -> list[Frame]:
    """Return the last frames before a number, in order: for a page opened late.

    Of one thread, or of the session's own stream.
    """
    rows = Event.objects.filter(session_id=session_id)
    rows = _of_thread(rows, thread_id) if thread_id else rows.filter(inner=False)
    found = {
        row.id: row
        for part in (
            rows.filter(seq__lt=number).order_by("-seq")[:limit],
            rows.filter(position__lt=number).order_by("-position")[:limit],
        )
        for row in part
    }
    frames = [
        frame
        for row in found.values()
        for frame in frames_of(row)
        if frame.number < number
    ]
    return sorted(frames, key=lambda frame: frame.number)[-limit:]


def last_number(session_id: str) -> int:
    """The highest number given out; 0 for an empty log.

    Raises:
        SessionGone: there is no such session.
    """
    following = (
        Session.objects.filter(pk=session_id).values_list("next_seq", flat=True).first()
    )
    if following is None:
        raise SessionGone(session_id)
    return following - 1


def frames_of(row: Event) -> list[Frame]:
    """One frame for what the platform wrote, two for what a client sent."""
    record = record_of(row)
    if row.position == row.seq:
        return [Frame(number=row.seq, record=record, queued=False)]
    taken = [
        Frame(number=number, record=record, queued=False)
        for number in (row.position,)
        if number is not None
    ]
    if record.type not in QUEUED_TYPES:  # between threads: seen once it is taken in
        return taken
    return [Frame(number=row.seq, record=record, queued=True), *taken]


def record_of(row: Event) -> Record:
    return Record(
        id=row.id,
        seq=row.seq,
        position=row.position,
        payload=_payload(row),
        created_at=row.created_at,
        processed_at=row.processed_at,
        private=row.private or {},
        thread_id=row.thread_id,
        inner=row.inner,
    )


def _payload(row: Event) -> Payload:
    """What the row says; an older version may meet what a newer one has written."""
    try:
        return parse(row.type, row.payload)
    except ValueError:
        return Unknown(stored_type=row.type)


def primary_id(session_id: str) -> str:
    """The id of the thread every session has.

    Raises:
        SessionGone: there is no such session.
    """
    threads = Thread.objects.filter(session_id=session_id, parent=None)
    found = threads.values_list("pk", flat=True).first()
    if found is None:
        raise SessionGone(session_id)
    return found


def listed(
    session_id: str,
    *,
    types: Sequence[str] = (),
    processed: Mapping[str, datetime] | None = None,
    include_own: bool = False,
    thread_id: str | None = None,
) -> QuerySet[Event]:
    """The events of the list endpoints, unordered: the caller pages through them.

    Without a thread those that the session's own stream shows.
    `processed` maps lookups (`gt`, `gte`, `lt`, `lte`) to moments of `processed_at`.
    """
    rows = Event.objects.filter(session_id=session_id).exclude(
        type=EventType.THREAD_MESSAGE_RECEIVED, position=None
    )
    rows = _of_thread(rows, thread_id) if thread_id else rows.filter(inner=False)
    if types:
        rows = rows.filter(type__in=types)
    if not include_own:
        rows = rows.exclude(type__startswith="agentsite.")
    for lookup, moment in (processed or {}).items():
        rows = rows.filter(**{f"processed_at__{lookup}": moment})
    return rows


def _stored_by_key(
    session_id: str, drafts: Sequence[Draft], fence: int | None
) -> dict[str, Record]:
    keys = [draft.idempotency_key for draft in drafts if draft.idempotency_key]
    if not keys:
        return {}
    if fence is None:  # who holds the fence writes alone; others may have a twin
        _take_numbers(session_id, 0, fence)
    rows = Event.objects.filter(session_id=session_id, idempotency_key__in=keys)
    return {str(row.idempotency_key): record_of(row) for row in rows}


def last_error(session_id: str, thread_id: str) -> str | None:
    """The type of the error that a thread told last."""
    rows = Event.objects.filter(session_id=session_id, type=EventType.SESSION_ERROR)
    told = _of_thread(rows, thread_id).order_by("-position").first()
    return str(told.payload["error"]["type"]) if told else None


def find(session_id: str, event_id: str, kind: EventType) -> Record | None:
    """Return an event, if it is of that type."""
    row = Event.objects.filter(session_id=session_id, pk=event_id, type=kind).first()
    return record_of(row) if row else None


def find_by_key(session_id: str, key: str) -> Record | None:
    """Return the event that was written under an idempotency key."""
    row = Event.objects.filter(session_id=session_id, idempotency_key=key).first()
    return record_of(row) if row else None


def _take_numbers(session_id: str, count: int, fence: int | None) -> int:
    """Reserve numbers; return the first. The row's lock orders all writers."""
    guard, values = ("", []) if fence is None else (" AND fence = %s", [fence])
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE agent_sessions_session SET next_seq = next_seq + %s"  # noqa: S608
            f" WHERE id = %s{guard} RETURNING next_seq",
            [count, session_id, *values],
        )
        row = cursor.fetchone()
    if row is None:
        raise _refusal(session_id, fence)
    following: int = row[0]
    return following - count


def _refusal(session_id: str, fence: int | None) -> Exception:
    if fence is not None and Session.objects.filter(pk=session_id).exists():
        return Fenced(f"{session_id} is no longer held with fence {fence}")
    return SessionGone(session_id)


def _rows(
    session_id: str, thread_id: str, drafts: Sequence[Draft], first: int
) -> list[Event]:
    moment = timezone.now()
    return [
        Event(
            id=draft.id or new_id("sevt"),
            session_id=session_id,
            thread_id=draft.thread_id or thread_id,
            inner=draft.inner,
            seq=number,
            position=None if draft.queued else number,
            type=draft.payload.type.value,
            payload=storable(draft.payload.to_json()),
            private=storable(draft.private) if draft.private else None,
            created_at=moment,
            processed_at=None if draft.queued else moment,
            idempotency_key=draft.idempotency_key,
        )
        for number, draft in enumerate(drafts, start=first)
    ]


def key_of(kind: str, *parts: object) -> str:
    """An idempotency key of parts that may be longer than a key, as hosts are."""
    return f"{kind}:{hashlib.sha256(repr(parts).encode()).hexdigest()}"


def storable(value: Any) -> Any:
    """The value as every database takes it and every reader can send it on.

    No NUL (PostgreSQL), no half of a surrogate pair (UTF-8), no NaN (JSON).
    """
    match value:
        case str():
            return value if _is_storable(value) else storable_text(value)
        case float() if not math.isfinite(value):
            return str(value)
        case Mapping():
            return {storable(str(key)): storable(item) for key, item in value.items()}
        case list() | tuple():
            return [storable(item) for item in value]
    return value


def _is_storable(text: str) -> bool:
    return text.isascii() and "\0" not in text


def _nudge(session_id: str, number: int) -> None:
    transaction.on_commit(lambda: bus.nudge(session_id, number))


def queued_types(session_id: str, thread_id: str | None = None) -> set[str]:
    """The types of events that no turn has taken in yet."""
    return set(queued(session_id, thread_id).values_list("type", flat=True))


def stopped_threads(session_id: str) -> set[str]:
    """The threads somebody asked to stop; an empty id stands for all of them."""
    rows = queued(session_id).filter(type=EventType.USER_INTERRUPT)
    return {
        payload.get("session_thread_id") or ""
        for payload in rows.values_list("payload", flat=True)
    }


def interrupted(session_ids: Sequence[str]) -> list[str]:
    """Which of these sessions somebody asked to stop."""
    if not session_ids:
        return []
    waiting = Event.objects.filter(
        session_id__in=session_ids, position=None, type=EventType.USER_INTERRUPT
    )
    return list(waiting.values_list("session_id", flat=True).distinct())
