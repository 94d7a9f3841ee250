"""The host folders of sandboxes: sockets, uploads and the tool server's file.

Everything here is written by us only, except what a sandbox puts into its socket
folder; nothing in there is opened but the socket (see connection.py).
"""

from __future__ import annotations

import grp
import json
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path, PurePosixPath
from typing import IO

from sandbox import toolserver
from sandbox.errors import ProvisionFailed
from sandbox.spec import UPLOADS, FileMount, SandboxSpec

SOCKET_FOLDER_MODE = 0o2770
LOST = "/tmp"  # noqa: S108 - of a sandbox: what is in there goes with it


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where the folders of this installation's sandboxes are."""

    runtime_dir: Path
    state_dir: Path
    gid: int

    def tools(self, session_id: str) -> Path:
        return self.runtime_dir / "tools" / session_id

    def socket(self, session_id: str) -> Path:
        return self.tools(session_id) / "tools.sock"

    def egress(self, session_id: str) -> Path:
        return self.runtime_dir / "egress" / session_id

    def trust(self, session_id: str) -> Path:
        return self.state_dir / session_id / "trust"

    def uploads(self, session_id: str) -> Path:
        return self.state_dir / session_id / "uploads"

    def tool_server(self, session_id: str) -> Path:
        return self.state_dir / session_id / "toolserver.py"

    def ticket(self, session_id: str) -> Path:
        """Names the sandbox that was made ahead, and is this session's since."""
        return self.state_dir / session_id / "sandbox"

    def name(self, session_id: str) -> str:
        """What the engine calls a session's sandbox and its files."""
        try:
            return self.ticket(session_id).read_text()
        except FileNotFoundError:
            return session_id

    def claimed(self) -> dict[str, str]:
        """The sessions that have a sandbox made ahead, by its name."""
        found = {}
        for ticket in self.state_dir.glob("[!.]*/sandbox"):
            with suppress(FileNotFoundError):  # its session is being removed
                found[ticket.read_text()] = ticket.parent.name
        return found

    def is_known(self, session_id: str) -> bool:
        """Whether a sandbox of this session was ever prepared here."""
        return self.uploads(session_id).exists()

    def adopt(self, name: str, session_id: str) -> None:
        """Make the folders of a sandbox made ahead the session's; safe to repeat.

        What is mounted somewhere stays so under a new name.
        """
        parts = self.uploads, self.trust, self.tool_server, self.tools, self.egress
        for folder in parts:
            if folder(name).exists():
                folder(name).rename(folder(session_id))
        shutil.rmtree(self.state_dir / name, ignore_errors=True)

    def prepare(self, spec: SandboxSpec) -> None:
        """Make the folders and have the spec's uploads there; safe to repeat."""
        readable(self.uploads(spec.session_id))
        self.share(self.runtime_dir)
        for folder in (self.tools(spec.session_id), self.egress(spec.session_id)):
            self.share(folder.parent)
            self.share(folder)
        self.fill_uploads(spec)

    def renew(self, session_id: str) -> None:
        """Make the socket's folder empty and the tool server new, for a new sandbox."""
        shutil.rmtree(self.tools(session_id), ignore_errors=True)
        self.share(self.tools(session_id))
        place(Path(toolserver.__file__), self.tool_server(session_id))
        kept = {
            path: source
            for path, source in self.mounted(session_id).items()
            if not PurePosixPath(path).is_relative_to(LOST)
        }
        self.mark_mounted(session_id, kept)

    def fill_uploads(self, spec: SandboxSpec) -> None:
        """Add and remove files where the sandbox sees them at once."""
        known = self.mounted(spec.session_id)
        wanted = sources(uploaded(spec))
        for path in [*known]:
            if under_uploads(path) and wanted.get(path) != known[path]:
                self.take_away(spec.session_id, path)
                del known[path]
        for mount in uploaded(spec):
            if mount.path not in known:
                self.upload(spec.session_id, mount)
        self.mark_mounted(spec.session_id, known | wanted)

    def share(self, folder: Path) -> None:
        """Make a folder that the group of worker, egress and sandbox may use."""
        folder.mkdir(parents=True, exist_ok=True)
        if folder.stat().st_gid != self.gid:
            os.chown(folder, -1, self.gid)
        if folder.stat().st_mode & 0o7777 != SOCKET_FOLDER_MODE:
            folder.chmod(SOCKET_FOLDER_MODE)

    def upload(self, session_id: str, mount: FileMount) -> None:
        relative = PurePosixPath(mount.path).relative_to(UPLOADS)
        for folder in reversed(relative.parents):
            readable(self.uploads(session_id) / folder)
        place(mount.source, self.uploads(session_id) / relative)

    def take_away(self, session_id: str, path: str) -> None:
        """Remove an upload, and the folders that are empty without it."""
        relative = PurePosixPath(path).relative_to(UPLOADS)
        uploads = self.uploads(session_id)
        (uploads / relative).unlink(missing_ok=True)
        for folder in [*relative.parents][:-1]:
            try:
                (uploads / folder).rmdir()
            except OSError:
                return  # there is something else in it

    def hold(self, session_id: str, *, alone: bool) -> IO[bytes] | None:
        """Take a session's place, with others or alone; None where that must wait.

        It is given back by closing the file, or by the end of the process.
        """
        folder = self.state_dir / session_id
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "in-use").open("ab")
        try:
            flock(file, (LOCK_EX if alone else LOCK_SH) | LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file

    def restoring(self, session_id: str) -> Path:
        """The archive that a session's files are being made of; gone once they are."""
        return self.state_dir / session_id / "restoring.tar"

    def remove(self, session_id: str) -> None:
        shutil.rmtree(self.tools(session_id), ignore_errors=True)
        shutil.rmtree(self.egress(session_id), ignore_errors=True)
        shutil.rmtree(self.state_dir / session_id, ignore_errors=True)

    def mounted(self, session_id: str) -> dict[str, str]:
        """Return which file was put where: the agent may have changed it since."""
        path = self.state_dir / session_id / "mounted.json"
        known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        return known

    def mark_mounted(self, session_id: str, mounts: dict[str, str]) -> None:
        path = self.state_dir / session_id / "mounted.json"
        part = path.with_suffix(".part")
        part.write_text(json.dumps(mounts, sort_keys=True))
        part.replace(path)


def sources(mounts: Iterable[FileMount]) -> dict[str, str]:
    return {mount.path: str(mount.source) for mount in mounts}


def shared_group(user: str) -> int:
    """The group of worker, egress and sandbox: our own, or that user's; never root's."""
    if os.getegid():
        return os.getegid()
    try:
        return grp.getgrnam(user).gr_gid
    except KeyError:
        return 1000


def uploaded(spec: SandboxSpec) -> list[FileMount]:
    return [mount for mount in spec.files if under_uploads(mount.path)]


def written(spec: SandboxSpec) -> list[FileMount]:
    """Return the files that go into the sandbox through its tool server."""
    return [mount for mount in spec.files if not under_uploads(mount.path)]


def under_uploads(mount_path: str) -> bool:
    path = PurePosixPath(mount_path)
    if not path.is_absolute() or ".." in path.parts or path == PurePosixPath("/"):
        raise ProvisionFailed(
            f"{mount_path!r} is no place for a file in a sandbox: name an absolute "
            "path without '..'."
        )
    return path.is_relative_to(UPLOADS)


def readable(folder: Path) -> None:
    """Make a folder that the sandbox's user may look into, whatever the umask."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)


def place(source: Path, target: Path) -> None:
    """Copy a file so that it appears whole, readable by the sandbox's user."""
    part = target.with_name(f".{target.name}.part")
    shutil.copyfile(source, part)
    part.chmod(0o644)
    part.replace(target)
