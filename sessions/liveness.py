"""Which hosts live: each holds a lock that its death sets free within a second.

One machine: a record lock on a file in the runtime directory. With PostgreSQL an
advisory lock besides, on the host's own connection, so that other machines see it too.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

FRESH_SECONDS = 5.0

RELOCK_SECONDS = 5.0
"""How long each host may take to hold its advisory lock again once the database,
which drops all of them, is back."""


def hosts_dir() -> Path:
    folder: Path = settings.AGENTSITE.runtime_dir / "hosts"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def place() -> str:
    """Which site on which machine a host of this process belongs to."""
    return f"{os.uname().nodename}-{settings.AGENTSITE.runtime_dir.name}"


class Liveness:
    """One host's sign of life, and its look at the others'."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._path = _path(host)
        self._handle: int | None = None
        self._locked_on: object = None
        self._locked_since = 0.0

    def begin(self) -> None:
        self._lock_file()
        self.beat(0)

    def _lock_file(self) -> None:
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o660)
        fcntl.flock(self._handle, fcntl.LOCK_EX)  # who looks holds it for a moment

    def beat(self, sessions: int) -> None:
        """Write what the health page shows: when this host last lived, and its load."""
        assert self._handle is not None
        if not os.fstat(self._handle).st_nlink:  # somebody tidied up
            os.close(self._handle)
            self._lock_file()
        self._hold_advisory_lock()
        text = json.dumps({"host": self.host, "at": _now(), "sessions": sessions})
        os.pwrite(self._handle, text.encode().ljust(240), 0)

    def _hold_advisory_lock(self) -> None:
        """Take the lock anew where the connection was lost and made again."""
        if connection.vendor != "postgresql":
            return
        connection.ensure_connection()
        if self._locked_on is not connection.connection:
            _advisory("pg_try_advisory_lock", self.host)
            self._locked_on = connection.connection
            self._locked_since = _now()

    def end(self) -> None:
        self._path.unlink(missing_ok=True)
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def count(self) -> int:
        return len(alive())

    def is_dead(self, host: str) -> bool:
        """Say whether a host is known to be dead; unknown is not dead."""
        path = _path(host)
        if path.exists():
            if _is_locked(path):
                return False
            path.unlink(missing_ok=True)
            return True
        if f":{place()}:" in host:
            return True
        return self._knows_locks() and _was_free(host)

    def _knows_locks(self) -> bool:
        """Whether a lock that is free says that its host is dead."""
        if connection.vendor != "postgresql":
            return False
        return _now() - self._locked_since > RELOCK_SECONDS


def forget_dead() -> int:
    """Remove the files of hosts of this machine that died; return how many."""
    dead = [path for path in hosts_dir().glob("*.json") if not _is_locked(path)]
    for path in dead:
        path.unlink(missing_ok=True)
    return len(dead)


def alive() -> list[dict[str, Any]]:
    """The hosts of this machine that live and have moved lately."""
    return [
        said
        for path in hosts_dir().glob("*.json")
        if _is_locked(path)
        and (said := _read(path))
        and _now() - said["at"] < FRESH_SECONDS
    ]


def workers_alive() -> bool:
    """Say whether any host works on this machine."""
    return bool(alive())


def _now() -> float:
    """Seconds on a clock that nobody sets."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _path(host: str) -> Path:
    return hosts_dir() / f"{host.replace(':', '-')}.json"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        said: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return said


def _is_locked(path: Path) -> bool:
    """Whether a living process holds the lock; the kernel drops a dead one's."""
    try:
        handle = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    except OSError:  # it cannot be looked at: nobody is dead for that
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _advisory(function: str, host: str) -> bool:
    key = int.from_bytes(hashlib.sha256(host.encode()).digest()[:8], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s)", [key])
        return bool(cursor.fetchone()[0])


def _was_free(host: str) -> bool:
    if not _advisory("pg_try_advisory_lock", host):
        return False
    _advisory("pg_advisory_unlock", host)
    return True
