"""Reads a log afterwards: no gap, one result per call, idle at the end."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

from tests.plugins.site import all_pids


class Log:
    """The log of one session of a running site."""

    def __init__(self, site, session_id):
        self.site = site
        self.session_id = session_id

    def events(self, *types):
        found = self._rows(
            "SELECT id, type, seq, position, payload, created_at FROM"
            " agent_sessions_event WHERE session_id = ? ORDER BY seq"
        )
        return [Event(*row) for row in found if not types or row[1] in types]

    def has(self, *types):
        return bool(self.events(*types))

    def owner(self):
        ((owner,),) = self._rows(
            "SELECT owner FROM agent_sessions_session WHERE id = ?"
        )
        return owner

    def status(self):
        ((said,),) = self._rows(
            "SELECT status FROM agent_sessions_session WHERE id = ?"
        )
        return said

    def wait_for(self, *types):
        self.site.wait(lambda: self.has(*types))

    def wait_until_idle(self):
        self.site.wait(lambda: self.status() == "idle")

    def check(self):
        """Whatever went wrong meanwhile, this holds at the end."""
        events = self.events()
        numbers = {n for event in events for n in (event.seq, event.position) if n}
        assert sorted(numbers) == list(range(1, len(numbers) + 1))
        calls = [event.id for event in events if event.type == "agent.tool_use"]
        answered = [
            event.payload["tool_use_id"]
            for event in events
            if event.type == "agent.tool_result"
        ]
        assert sorted(answered) == sorted(calls)
        starts = [e.id for e in events if e.type == "span.model_request_start"]
        ends = [
            e.payload["model_request_start_id"]
            for e in events
            if e.type == "span.model_request_end"
        ]
        assert sorted(ends) == sorted(starts)
        assert self.status() == "idle"

    def _rows(self, query):
        path = f"file:{self.site.home}/agentsite.sqlite3?mode=ro"
        with closing(sqlite3.connect(path, uri=True, timeout=20)) as database:
            return database.execute(query, [self.session_id]).fetchall()


class Event:
    def __init__(self, id, type, seq, position, payload, created_at):
        self.id, self.type, self.seq, self.position = id, type, seq, position
        self.payload = json.loads(payload)
        self.at = datetime.fromisoformat(f"{created_at}+00:00").timestamp()


def process_of(site, host):
    """The worker process in which a host lives."""
    name = f"{host.replace(':', '-')}.json"
    (pid,) = holders(site.runtime_dir / "hosts" / name)
    return pid


def holders(path):
    """The processes that hold a file open: a host does so with its own."""
    found = path.stat()
    wanted = (found.st_dev, found.st_ino)  # paths differ between mount namespaces
    return [pid for pid in all_pids() if wanted in _open_files(pid)]


def _open_files(pid):
    try:
        links = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return set()
    return {identity for link in links if (identity := _identity(link))}


def _identity(link):
    try:
        found = link.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
