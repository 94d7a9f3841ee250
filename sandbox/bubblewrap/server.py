"""The engine's socket: workers ask there, since they may not do this themselves."""

from __future__ import annotations

import json
import logging
import os
import socketserver
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sandbox.bubblewrap import messages
from sandbox.bubblewrap.boxes import Boxes

log = logging.getLogger(__name__)


class BoxServer(socketserver.ThreadingUnixStreamServer):
    """Answers one request on each connection, many at a time."""

    daemon_threads = True

    def __init__(self, path: Path, boxes: Boxes) -> None:
        self.boxes = boxes
        path.unlink(missing_ok=True)
        before = os.umask(0o007)
        try:
            super().__init__(str(path), BoxRequest)
        finally:
            os.umask(before)
        os.chown(path, -1, boxes.places.gid)

    def answer(self, request: dict[str, Any]) -> Any:
        """Do what is asked. Names come from the other side: only these are known."""
        boxes = self.boxes
        known: dict[str, Callable[[], Any]] = {
            "ping": boxes.ping,
            "notes": boxes.notes,
            "base_image": boxes.base_image,
            "running": lambda: sorted(boxes.running()),
            "sandboxes": lambda: sorted(boxes.sandboxes()),
            "start": lambda: boxes.start(messages.to_spec(request["spec"])),
            "state": lambda: boxes.state(request["name"]),
            "last_words": lambda: boxes.last_words(request["name"]),
            "remove": lambda: boxes.remove(request["name"]),
            "remove_files": lambda: boxes.remove_files(request["name"]),
            "used": lambda: boxes.used(request["name"]),
            "host_folder": lambda: str(boxes.host_folder()),
            "has_files": lambda: boxes.has_files(request["name"]),
        }
        return known[request["op"]]()


class BoxRequest(socketserver.StreamRequestHandler):
    server: BoxServer

    def handle(self) -> None:
        if not (line := self.rfile.readline(messages.LINE_BYTES)):
            return
        try:
            answer = {"result": self.answer(json.loads(line))}
        except Exception as error:  # noqa: BLE001 - whoever asked hears of it
            log.info("refused: %r", error)
            answer = messages.failure(error)
        self.wfile.write(messages.line(answer))

    def answer(self, request: dict[str, Any]) -> Any:
        boxes = self.server.boxes
        if request["op"] == "pack":
            for _, stream in boxes.pack(request["name"]):
                messages.send(self.wfile, stream)
            return None
        if request["op"] == "unpack":
            spec = messages.to_spec(request["spec"])
            return boxes.unpack(spec, messages.receive(self.rfile))
        return self.server.answer(request)
