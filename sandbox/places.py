"""The host folders of sandboxes: sockets, uploads and the tool server's file.

Everything here is written by us only, except what a sandbox puts into its socket
folder; nothing in there is opened but the socket (see connection.py).
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sandbox import toolserver
from sandbox.errors import ProvisionFailed
from sandbox.spec import UPLOADS, FileMount, SandboxSpec

SOCKET_FOLDER_MODE = 0o2770


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

    def uploads(self, session_id: str) -> Path:
        return self.state_dir / session_id / "uploads"

    def tool_server(self, session_id: str) -> Path:
        return self.state_dir / session_id / "toolserver.py"

    def prepare(self, spec: SandboxSpec) -> None:
        """Make the folders and fill the uploads; safe to repeat."""
        readable(self.uploads(spec.session_id))
        self.share(self.runtime_dir)
        for folder in (self.tools(spec.session_id), self.egress(spec.session_id)):
            self.share(folder.parent)
            self.share(folder)
        for mount in uploaded(spec):
            self.upload(spec.session_id, mount)

    def renew(self, session_id: str) -> None:
        """Make the socket's folder empty and the tool server new, for a new sandbox."""
        shutil.rmtree(self.tools(session_id), ignore_errors=True)
        self.share(self.tools(session_id))
        place(Path(toolserver.__file__), self.tool_server(session_id))

    def share(self, folder: Path) -> None:
        """Make a folder that the group of worker, egress and sandbox may use."""
        folder.mkdir(parents=True, exist_ok=True)
        if folder.stat().st_gid != self.gid:
            os.chown(folder, -1, self.gid)
        if folder.stat().st_mode & 0o7777 != SOCKET_FOLDER_MODE:
            folder.chmod(SOCKET_FOLDER_MODE)

    def upload(self, session_id: str, mount: FileMount) -> None:
        relative = PurePosixPath(mount.path).relative_to(UPLOADS)
        target = self.uploads(session_id) / relative
        if not target.exists():
            for folder in reversed(relative.parents):
                readable(self.uploads(session_id) / folder)
            place(mount.source, target)

    def remove(self, session_id: str) -> None:
        shutil.rmtree(self.tools(session_id), ignore_errors=True)
        shutil.rmtree(self.egress(session_id), ignore_errors=True)
        shutil.rmtree(self.state_dir / session_id, ignore_errors=True)

    def placed(self, session_id: str) -> frozenset[str]:
        """Return the files that were written into the sandbox: only once each."""
        path = self.state_dir / session_id / "placed.json"
        return frozenset(json.loads(path.read_text())) if path.exists() else frozenset()

    def mark_placed(self, session_id: str, paths: frozenset[str]) -> None:
        path = self.state_dir / session_id / "placed.json"
        part = path.with_suffix(".part")
        part.write_text(json.dumps(sorted(paths)))
        part.replace(path)


def uploaded(spec: SandboxSpec) -> list[FileMount]:
    return [mount for mount in spec.files if under_uploads(mount)]


def written(spec: SandboxSpec) -> list[FileMount]:
    """Return the files that go into the sandbox through its tool server."""
    return [mount for mount in spec.files if not under_uploads(mount)]


def under_uploads(mount: FileMount) -> bool:
    path = PurePosixPath(mount.path)
    if not path.is_absolute() or ".." in path.parts or path == PurePosixPath("/"):
        raise ProvisionFailed(
            f"{mount.path!r} is no place for a file in a sandbox: name an absolute "
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
