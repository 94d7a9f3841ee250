"""Looking at processes of a site."""

from __future__ import annotations

import contextlib
from pathlib import Path

from tests.plugins.site import all_pids


def children_of(pid):
    found = []
    for other in all_pids():
        with contextlib.suppress(OSError):
            if int(_fields(other)[1]) == pid:
                found.append(other)
    return sorted(found)


def is_alive(pid):
    try:
        return _fields(pid)[0] != "Z"
    except OSError:
        return False


def _fields(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
