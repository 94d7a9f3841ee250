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


def orphans(site):
    """Processes that know the site and that none of its supervisors has below it."""
    own = site.supervisors()
    return [pid for pid in site.processes() if not own & {pid, *_ancestors(pid)}]


def _ancestors(pid):
    with contextlib.suppress(OSError):
        while pid > 1:
            pid = int(_fields(pid)[1])
            yield pid


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


def is_alive(pid):
    try:
        return _fields(pid)[0] != "Z"
    except OSError:
        return False


def _fields(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
