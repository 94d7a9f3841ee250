"""Entries as the page shows them: the very partials that the page is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sessions.consumers.entries import Entry, encode
from sessions.ledger import Call, call_id_of, changes_call
from sessions.log import Frame
from sessions.models import Session
from sessions.templatetags.events import (
    call_before_messages,
    render_call,
    render_event,
    session_state,
)
from sessions.usage import hour_price


@dataclass(frozen=True, kw_only=True)
class Shown:
    """How a session stands, as JSON; sent with every batch."""

    session: str


def show(session_id: str, entries: Sequence[Entry], page: str | None = None) -> Shown:
    """Render the rows that nobody has rendered yet; say how the session stands.

    A child thread's own events are inner: rows of its page, and not of the session's.
    """
    session = Session.objects.filter(pk=session_id).first()
    bare = [entry for entry in entries if entry.lacks_row(page)]
    behind = call_before_messages(session_id, [entry.frame for entry in bare])
    for entry in bare:
        if page:
            entry.own_row = _row(entry, _html(entry.frame, session, behind))
        elif entry.frame.record.inner:
            entry.row = elsewhere(entry)
        else:
            entry.row = _row(entry, _html(entry.frame, session, behind))
    return standing(session)


def standing(session: Session | None, hour: int | None = None) -> Shown:
    return Shown(session=encode(session_state(session, hour) if session else None))


def standings(session_ids: Sequence[str]) -> dict[str, Shown]:
    found, hour = Session.objects.filter(pk__in=session_ids), hour_price()
    return {session.pk: standing(session, hour) for session in found}


def elsewhere(entry: Entry) -> str:
    """What a page is told of an event that it does not show."""
    return _row(entry, "", elsewhere=True)


def _row(entry: Entry, html: str, **more: bool) -> str:
    frame = entry.frame
    said = {
        "number": entry.number,
        "id": frame.record.id,
        "event_type": entry.type.value,
        "html": html,
        "queued": frame.queued,
        **more,
    }
    return f'{encode(said)[:-1]},"json":{entry.json}}}'


def _html(frame: Frame, session: Session | None, behind: Call | None) -> str:
    if session is not None and changes_call(frame.record):
        return render_call(session, call_id_of(frame.record))
    return render_event(
        frame.record, session=session, queued=frame.queued, behind=behind
    )
