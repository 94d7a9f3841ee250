"""Reads sessions out of a site's own database, beside the site: SQLite or PostgreSQL."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import psycopg

from tests.faults.checker import COUNTER, Event, Left, faults, strays
from tests.site.conftest import bash, results, script
from tests.site.processes import orphans

MARK = "counted"
READ_COUNTER = f"cat {COUNTER} 2>/dev/null | sed 's/^/{MARK} /'"


def rows(site, query, *values):
    """Ask the database of a site; a `?` stands for each value."""
    if url := site.environment.get("DATABASE_URL"):
        with psycopg.connect(url) as database:
            return database.execute(query.replace("?", "%s"), values).fetchall()
    path = f"file:{site.home}/agentsite.sqlite3?mode=ro"
    with closing(sqlite3.connect(path, uri=True, timeout=20)) as database:
        return database.execute(query, values).fetchall()


class Log:
    """The log of one session of a running site."""

    def __init__(self, site, session_id):
        self.site = site
        self.session_id = session_id

    def events(self, *types):
        found = rows(
            self.site,
            "SELECT id, type, seq, position, payload, created_at FROM"
            " agent_sessions_event WHERE session_id = ? ORDER BY seq",
            self.session_id,
        )
        return [event_of(*row) for row in found if not types or row[1] in types]

    def has(self, *types):
        return bool(self.events(*types))

    def owner(self):
        return self._session("owner")

    def fence(self):
        return self._session("fence")

    def status(self):
        return self._session("status")

    def newest(self):
        """The highest number given out."""
        return self._session("next_seq") - 1

    def wait_for(self, *types, count=1):
        self.site.wait(lambda: len(self.events(*types)) >= count)

    def wait_until_idle(self):
        self.site.wait(lambda: self.status() == "idle")

    def left(self):
        return Left(
            id=self.session_id,
            status=self.status(),
            stop_reason=_json(self._session("stop_reason")),
            next_seq=self._session("next_seq"),
            events=self.events(),
        )

    def check(self, counted=None):
        """Whatever went wrong meanwhile, this holds at the end."""
        assert faults(self.left(), counted) == []

    def _session(self, column):
        ((value,),) = rows(
            self.site,
            f"SELECT {column} FROM agent_sessions_session WHERE id = ?",
            self.session_id,
        )
        return value


def event_of(id, type, seq, position, payload, created_at):
    if isinstance(created_at, str):
        created_at = datetime.fromisoformat(created_at).replace(tzinfo=UTC)
    return Event(
        id=id,
        type=type,
        seq=seq,
        position=position,
        payload=_json(payload),
        at=created_at.timestamp(),
    )


def _json(value):
    return json.loads(value) if isinstance(value, str) else value


def wait_until_all_idle(site, patience=180.0):
    """Every session of the site at once: fifty logs are too many to ask each second."""
    busy = "SELECT count(*) FROM agent_sessions_session WHERE status NOT IN (?, ?)"
    site.wait(lambda: rows(site, busy, "idle", "terminated") == [(0,)], patience)


def counted(site, client, logs):
    """Have each session read its counter file; return the lines of each, in order.

    They are read by the sandboxes themselves, which shows that those work, too.
    """
    for log in logs:
        reading = script({"tools": [bash(READ_COUNTER)]}, {"say": "Read."})
        client.beta.sessions.events.send(log.session_id, events=[reading])
    wait_until_all_idle(site)
    return [_last_counted(client, log.session_id) for log in logs]


def _last_counted(client, session_id):
    *_, text = results(client.beta.sessions.events.list(session_id))
    return [line.split()[1] for line in text.splitlines() if line.startswith(MARK)]


def check_site(site):
    """What runs now is needed by somebody: processes and containers."""
    site.wait(lambda: orphans(site) == [])
    owners = [each.labels["agentsite.session"] for each in site.containers()]
    known = rows(
        site, "SELECT id FROM agent_sessions_session WHERE archived_at IS NULL"
    )
    assert strays(owners, {id for (id,) in known}) == []


def check_all(site, client, logs):
    """The whole checker over many sessions, their counter files included."""
    for log, lines in zip(logs, counted(site, client, logs), strict=True):
        log.check(lines)
