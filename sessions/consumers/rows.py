"""Entries as the page shows them: the very partials that the page is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sessions.consumers.entries import Entry, encode
from sessions.ledger import call_id_of, changes_call
from sessions.log import Frame
from sessions.models import Session
from sessions.templatetags.events import render_call, render_event, session_state
from sessions.usage import hour_price


@dataclass(frozen=True, kw_only=True)
class Shown:
    """How a session stands, as JSON; sent with every batch."""

    session: str


def show(session_id: str, entries: Sequence[Entry]) -> Shown:
    """Render the rows that nobody has rendered yet; say how the session stands."""
    session = Session.objects.filter(pk=session_id).first()
    for entry in entries:
        if entry.row is None:
            entry.row = _row(entry, session)
    return standing(session)


def standing(session: Session | None, hour: int | None = None) -> Shown:
    return Shown(session=encode(session_state(session, hour) if session else None))


def standings(session_ids: Sequence[str]) -> dict[str, Shown]:
    found, hour = Session.objects.filter(pk__in=session_ids), hour_price()
    return {session.pk: standing(session, hour) for session in found}


def _row(entry: Entry, session: Session | None) -> str:
    frame = entry.frame
    # What only a child thread's stream shows has no row on the session's page.
    html = "" if frame.record.inner else _html(frame, session)
    said = {
        "number": entry.number,
        "id": frame.record.id,
        "event_type": entry.type.value,
        "html": html,
        "queued": frame.queued,
    }
    return f'{encode(said)[:-1]},"json":{entry.json}}}'


def _html(frame: Frame, session: Session | None) -> str:
    if session is not None and changes_call(frame.record):
        return render_call(session, call_id_of(frame.record))
    return render_event(frame.record, session=session, queued=frame.queued)
