"""What is kept of bubblewrap sandboxes: three folders each, owned by its user."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path

from sandbox.bubblewrap.command import WRITABLE
from sandbox.bubblewrap.machine import FIRST_UID, UIDS, is_root
from sandbox.errors import ProvisionFailed


class KeptFiles:
    """The folders of a site's sandboxes, by their names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._turn = threading.Lock()

    def path(self, name: str) -> Path:
        return self.folder / name

    def has(self, name: str) -> bool:
        return self.path(name).is_dir()

    def names(self) -> list[str]:
        return [path.name for path in self.folder.glob("[!.]*")]

    def parts(self, name: str) -> dict[str, str]:
        return {kept: str(self.path(name) / kept) for kept in WRITABLE}

    def make(self, name: str) -> None:
        """Make a sandbox's folders where it has none, for a user of its own."""
        with self._turn:  # or two sandboxes would get the same free user
            if not self.has(name):
                self._make(name)

    def _make(self, name: str) -> None:
        part = self.folder / f".{name}.part"
        shutil.rmtree(part, ignore_errors=True)
        uid = self._free_uid()
        for kept in WRITABLE:
            (part / kept).mkdir(parents=True)
            os.chown(part / kept, uid, uid)
        part.chmod(0o700)
        part.rename(self.path(name))

    def uid(self, name: str) -> int:
        """The user of a sandbox; it is written nowhere but on its folders."""
        try:
            return (self.path(name) / "workspace").stat().st_uid
        except OSError:
            return -1

    def _free_uid(self) -> int:
        if not is_root():
            return os.geteuid()
        taken = {self.uid(name) for name in self.names()}
        free = set(range(FIRST_UID, FIRST_UID + len(taken) + 1)) - taken
        if min(free) >= FIRST_UID + UIDS:
            raise ProvisionFailed(f"There are {UIDS} sandboxes here, and no more.")
        return min(free)

    def remove(self, name: str) -> None:
        folder = self.path(name)
        if not is_root():  # who needs nobody's leave
            subprocess.run(["chmod", "-R", "u+rwX", folder], check=False)  # noqa: S603, S607
        # Not in Python: folders may be nested deeper than it can recurse.
        subprocess.run(["rm", "-rf", "--one-file-system", folder], check=False)  # noqa: S603, S607
