"""The engine of bubblewrap sandboxes as a worker reaches it."""

from __future__ import annotations

import json
import socket
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sandbox import archive
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

    def used(self, session_id: str) -> int:
        return int(self._ask("used", name=session_id))

    def host_folder(self) -> Path:
        return Path(self._ask("host_folder"))

    def pack(self, session_id: str) -> Iterator[archive.Source]:
        with self._connected() as file:
            file.write(messages.line({"op": "pack", "name": session_id}))
            file.flush()
            stream = messages.receive(file)
            yield "", stream
            deque(stream, maxlen=0)  # an archive ends before its last bytes
            messages.result(json.loads(file.readline()))

    def unpack(self, spec: SandboxSpec, pieces: Iterable[bytes]) -> None:
        with self._connected() as file:
            file.write(messages.line({"op": "unpack", "spec": messages.of_spec(spec)}))
            messages.send(file, pieces)
            file.flush()
            messages.result(json.loads(file.readline()))

    def running(self) -> frozenset[str]:
        return frozenset(self._ask("running"))

    def sandboxes(self) -> frozenset[str]:
        return frozenset(self._ask("sandboxes"))

    def close(self) -> None:
        """No connection outlives its request."""

    def _ask(self, op: str, **fields: Any) -> Any:
        with self._connected() as file:
            file.write(messages.line({"op": op, **fields}))
            file.flush()
            return messages.result(json.loads(file.readline()))

    @contextmanager
    def _connected(self) -> Iterator[messages.Channel]:
        try:
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(ANSWER_SECONDS)
                line.connect(str(self.path))
                with line.makefile("rwb") as file:
                    yield file
        except (OSError, ValueError) as error:
            raise EngineUnavailable(
                f"The engine of bubblewrap sandboxes at {self.path} does not answer:"
                f" {error}."
            ) from error
