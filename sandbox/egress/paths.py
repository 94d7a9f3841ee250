"""Where the egress proxy keeps its sockets and policies."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

SOCKET_PATH_BYTES = 107  # of the kernel
FOLDER_MODE = 0o2770


@dataclass(frozen=True, kw_only=True)
class EgressPaths:
    """Folders below the runtime directory, shared by group with the sandboxes."""

    runtime_dir: Path

    @property
    def control(self) -> Path:
        return self.runtime_dir / "egress.sock"

    @property
    def policies(self) -> Path:
        return self.runtime_dir / "policies"

    def socket(self, session_id: str) -> Path:
        path = self.runtime_dir / "egress" / session_id / "egress.sock"
        if len(bytes(path)) > SOCKET_PATH_BYTES:
            raise ValueError(f"{path} is too long for a socket: shorten the folder")
        return path

    def make(self) -> None:
        self.share(self.runtime_dir / "egress")
        self.policies.mkdir(parents=True, exist_ok=True)

    def share(self, folder: Path) -> None:
        """Make a folder; its group is that of the folder above."""
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(FOLDER_MODE)

    def store(self, session_id: str, kept: Mapping[str, Any]) -> None:
        path = self.policies / f"{session_id}.json"
        part = path.with_suffix(".part")
        part.write_text(json.dumps(kept))
        part.chmod(0o600)
        part.replace(path)

    def forget(self, session_id: str) -> None:
        (self.policies / f"{session_id}.json").unlink(missing_ok=True)
        self.socket(session_id).unlink(missing_ok=True)

    def stored(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for path in sorted(self.policies.glob("*.json")):
            try:
                yield path.stem, dict(json.loads(path.read_text()))
            except (OSError, TypeError, ValueError) as error:
                log.error("The policy %s cannot be read: %s.", path, error)  # noqa: TRY400
