"""The engine of bubblewrap sandboxes as a worker reaches it."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from sandbox.bubblewrap import messages
from sandbox.errors import EngineUnavailable
from sandbox.spec import SandboxSpec

ANSWER_SECONDS = 60.0


class RemoteBoxes:
    """Asks the engine on its socket, one connection for each request."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def ping(self) -> None:
        self._ask("ping")

    def notes(self) -> list[str]:
        return list(self._ask("notes"))

    def base_image(self) -> str:
        return str(self._ask("base_image"))

    def state(self, session_id: str) -> str | None:
        found: str | None = self._ask("state", name=session_id)
        return found

    def start(self, spec: SandboxSpec) -> None:
        self._ask("start", spec=messages.of_spec(spec))

    def last_words(self, session_id: str) -> str:
        return str(self._ask("last_words", name=session_id))

    def remove(self, session_id: str) -> None:
        self._ask("remove", name=session_id)

    def remove_files(self, session_id: str) -> None:
        self._ask("remove_files", name=session_id)

    def has_files(self, session_id: str) -> bool:
        return bool(self._ask("has_files", name=session_id))

    def sessions(self) -> frozenset[str]:
        return frozenset(self._ask("sessions"))

    def close(self) -> None:
        """No connection outlives its request."""

    def _ask(self, op: str, **fields: Any) -> Any:
        try:
            answer = self._answer({"op": op, **fields})
        except (OSError, ValueError) as error:
            raise EngineUnavailable(
                f"The engine of bubblewrap sandboxes at {self.path} does not answer:"
                f" {error}."
            ) from error
        return messages.result(answer)

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(ANSWER_SECONDS)
            line.connect(str(self.path))
            line.sendall(messages.line(request))
            with line.makefile("rb") as reader:
                return dict(json.loads(reader.readline()))
