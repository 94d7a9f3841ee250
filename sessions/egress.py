"""Takes egress records into the database, and tells the session what was refused.

The proxy spools them in files (`sandbox.egress.records`). A file is removed once its
records are in: after a crash it is taken in again, which changes nothing.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from django.conf import settings
from django.db import DataError, close_old_connections
from django.db import Error as DatabaseError
from django.db.models import Count
from django.db.models.fields.json import KT

from sandbox.egress.records import Record, closed_files, read
from sessions import log, queue
from sessions.events import Draft, EgressRefused, EventType
from sessions.models import EgressRecord, Event, Session

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.25
OUTAGE_SECONDS = 2.0
FILES_AT_ONCE = 20

TOLD = 50
"""How many refused hosts a timeline shows; the list of requests has them all."""

KEPT = 20_000
"""How many requests of one session are kept: the newest."""

LONGEST_CALL = timedelta(hours=1)

CHANGES = (
    *("verdict", "rule", "reason", "credentials"),
    *("bytes_up", "bytes_down", "seconds"),
)


class Reader(threading.Thread):
    """Takes records in for as long as its process lives."""

    def __init__(self, folder: Path) -> None:
        super().__init__(name="egress-records", daemon=True)
        self.folder = folder

    def run(self) -> None:
        while True:
            time.sleep(self._look())

    def _look(self) -> float:
        """Take in what is there; return how long to wait before the next look."""
        try:
            return 0.0 if take_in(self.folder) else LOOK_SECONDS
        except DatabaseError:
            logger.warning("Egress records wait for the database", exc_info=True)
            close_old_connections()
            return OUTAGE_SECONDS
        except Exception:
            logger.exception("Egress records could not be taken in; trying again")
            return OUTAGE_SECONDS


@dataclass(kw_only=True)
class Call:
    """When a tool call ran."""

    id: str
    started_at: datetime
    ended_at: datetime | None = None

    def ran_at(self, moment: datetime) -> bool:
        ended = self.ended_at is not None and self.ended_at < moment
        return self.started_at <= moment and not ended


def take_in_workers() -> None:
    """Have worker processes of this cluster take in what the egress proxy records."""
    folder = settings.AGENTSITE.egress_records
    queue.on_worker_start(lambda: Reader(folder).start())


def take_in(folder: Path) -> int:
    """Take in the oldest files of a folder; return how many. One process at a time."""
    if not folder.is_dir():
        return 0
    with only_one(folder) as mine:
        files = [*islice(closed_files(folder), FILES_AT_ONCE)] if mine else []
        if files:
            store([record for path in files for record in read(path)])
        for path in files:
            path.unlink()
    return len(files)


@contextmanager
def only_one(folder: Path) -> Iterator[bool]:
    """Say whether no other process takes in from this folder now."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o660)
    try:
        yield _locks(lock)
    finally:
        os.close(lock)


def _locks(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def store(records: Iterable[Record]) -> None:
    """Write records, each once, and tell their sessions what was refused."""
    by_session: defaultdict[str, dict[str, Record]] = defaultdict(dict)
    for record in records:  # a later one of the same request says more
        by_session[record.session_id][record.id] = record
    known = Session.objects.filter(pk__in=by_session).values_list("pk", flat=True)
    for session_id in [*known]:
        try:
            _store(session_id, [*by_session[session_id].values()])
        except DataError:  # it never fits, and the others must not wait for it
            logger.exception("Egress records of %s are lost", session_id)


def _store(session_id: str, records: Sequence[Record]) -> None:
    calls = _calls_around(session_id, records)
    rows = [_row(record, calls) for record in records]
    EgressRecord.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["id"], update_fields=CHANGES
    )
    refused = [row for row in rows if row.verdict == "refused"]
    if refused:
        _tell(session_id, refused)


def _row(record: Record, calls: Sequence[Call]) -> EgressRecord:
    began = datetime.fromisoformat(record.began_at)
    return EgressRecord(
        id=record.id,
        session_id=record.session_id,
        created_at=began,
        host=record.host,
        port=record.port,
        method=record.method[:32],
        path=log.storable(record.path),
        verdict=record.verdict,
        rule=record.rule,
        reason=log.storable(record.reason),
        credentials=[*record.credentials],
        bytes_up=record.bytes_up,
        bytes_down=record.bytes_down,
        seconds=record.seconds,
        tool_use_ids=[call.id for call in calls if call.ran_at(began)],
    )


def _calls_around(session_id: str, records: Sequence[Record]) -> list[Call]:
    """The calls that may have run when these requests began."""
    moments = [datetime.fromisoformat(record.began_at) for record in records]
    rows = Event.objects.filter(
        session=session_id,
        type__in=(EventType.TOOL_STARTED, EventType.AGENT_TOOL_RESULT),
        created_at__range=(min(moments) - LONGEST_CALL, max(moments)),
    )
    calls: dict[str, Call] = {}
    # Of each event only its call: results are long, and this runs at every look.
    found = rows.order_by("seq").values_list(
        "type", "created_at", KT("payload__tool_use_id")
    )
    for kind, moment, call_id in found:
        if kind == EventType.TOOL_STARTED:
            calls[call_id] = Call(id=call_id, started_at=moment)
        elif call_id in calls:
            calls[call_id].ended_at = moment
    return [*calls.values()]


def _tell(session_id: str, rows: Sequence[EgressRecord]) -> None:
    """Put each refused host into the session's log once."""
    events = Event.objects.filter(session=session_id, type=EventType.EGRESS_REFUSED)
    told = set(events.values_list("idempotency_key", flat=True))
    news: dict[str, EgressRecord] = {}
    for row in rows:
        if _key(row) not in told:
            news.setdefault(_key(row), row)
    drafts = [_refusal(row) for row in news.values()]
    try:
        log.append(session_id, drafts[: max(0, TOLD - len(told))])
    except log.SessionGone:
        pass  # it was deleted just now, and its records with it


def _key(row: EgressRecord) -> str:
    return log.key_of("egress", row.rule, row.host, row.port)


def _refusal(row: EgressRecord) -> Draft:
    told = EgressRefused(
        host=row.host,
        port=row.port,
        rule=row.rule,
        reason=row.reason,
        tool_use_ids=row.tool_use_ids,
    )
    return Draft(payload=told, idempotency_key=_key(row))


def delete_surplus() -> None:
    """Keep the newest requests of each session."""
    counted = EgressRecord.objects.values("session").annotate(count=Count("pk"))
    for session_id in counted.filter(count__gt=KEPT).values_list("session", flat=True):
        rows = EgressRecord.objects.filter(session=session_id).order_by("-created_at")
        last = rows[KEPT - 1]
        rows.filter(created_at__lt=last.created_at).delete()
