"""The HTTP server of the scripted model."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Self

from sessions.harness.scripted_model import http
from sessions.harness.scripted_model.answers import Answers
from sessions.harness.scripted_model.errors import Refused
from sessions.harness.scripted_model.script import Step
from sessions.harness.scripted_model.sse import PING, event, pieces
from sessions.harness.scripted_model.usage import tokens

HOST = "127.0.0.1"
BACKLOG = 1024
PING_SECONDS = 10.0

MODEL = {
    "type": "model",
    "id": "scripted-demo",
    "display_name": "Scripted demonstration (no language model)",
    "created_at": "2026-01-01T00:00:00Z",
    "lifecycle": "active",
    "max_input_tokens": 200_000,
    "max_tokens": 32_000,
}


class ScriptedModelServer:
    """Serves on loopback. `requests` keeps the last bodies, for tests that ask."""

    def __init__(self, *, port: int = 0, keep: int = 0) -> None:
        self.requests: deque[Mapping[str, Any]] = deque(maxlen=keep)
        self._port = port
        self._answers = Answers()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._connected, HOST, self._port, backlog=BACKLOG, limit=http.MAX_HEAD
        )
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    @contextlib.contextmanager
    def in_thread(self) -> Iterator[Self]:
        """Serve from a thread, for callers that have no event loop."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="scripted-model")
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.__aenter__(), loop).result()
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self.__aexit__(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    async def _connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._converse(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the client left, or the server closes
        finally:
            self._connections.discard(task)
            writer.close()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while request := await http.read_request(reader):
                headers = {"request-id": f"req_scripted{secrets.token_hex(10)}"}
                await self._answer(request, writer, headers)
        except (ValueError, asyncio.LimitOverrunError) as error:
            refused = Refused(400, f"This is not a request: {error}.")
            writer.write(http.json_response(400, refused.body(""), {}))

    async def _answer(
        self,
        request: http.Request,
        writer: asyncio.StreamWriter,
        headers: dict[str, str],
    ) -> None:
        try:
            match request.method, request.path:
                case "POST", "/v1/messages":
                    await self._message(_body(request), writer, headers)
                case _:
                    answer = _small_answer(request)
                    writer.write(http.json_response(200, answer, headers))
        except Refused as error:
            if error.retry_after is not None:
                headers["retry-after"] = str(error.retry_after)
            body = error.body(headers["request-id"])
            writer.write(http.json_response(error.status, body, headers))
        await writer.drain()

    async def _message(
        self,
        body: Mapping[str, Any],
        writer: asyncio.StreamWriter,
        headers: Mapping[str, str],
    ) -> None:
        self.requests.append(body)
        if not body.get("stream"):
            raise Refused(400, "stream: the scripted model only streams")
        step = self._answers.step(body)
        writer.write(http.stream_head(headers))
        await _play(step, body, writer)
        _end(step, writer, headers["request-id"])


async def _play(
    step: Step, body: Mapping[str, Any], writer: asyncio.StreamWriter
) -> None:
    """Write the stream at the script's pace, which does not drift under load."""
    clock = asyncio.get_running_loop().time
    due = clock()
    waiting = b""
    for piece in pieces(step, body):
        if piece.pause:
            await _send(writer, waiting)
            waiting = b""
            due += piece.pause
            await _sleep_until(due, writer)
        waiting += piece.data
    await _send(writer, waiting)


async def _sleep_until(due: float, writer: asyncio.StreamWriter) -> None:
    clock = asyncio.get_running_loop().time
    while (left := due - clock()) > PING_SECONDS:
        await asyncio.sleep(PING_SECONDS)
        await _send(writer, PING)
    await asyncio.sleep(max(0.0, left))


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    if data:
        writer.write(http.chunk(data))
        await writer.drain()


def _end(step: Step, writer: asyncio.StreamWriter, request_id: str) -> None:
    if step.cut:
        writer.close()
        return
    if step.error:
        body = Refused(step.error).body(request_id)
        writer.write(http.chunk(event("error", **body)))
    writer.write(http.LAST_CHUNK)


def _body(request: http.Request) -> Mapping[str, Any]:
    try:
        body = request.json()
    except ValueError as error:
        raise Refused(400, f"The request body is not valid JSON: {error}") from error
    if not isinstance(body, dict):
        raise Refused(400, "The request body is not a JSON object")
    return body


def _small_answer(request: http.Request) -> dict[str, Any]:
    match request.method, request.path:
        case "GET", "/v1/models":
            ids = {"first_id": MODEL["id"], "last_id": MODEL["id"]}
            return {"data": [MODEL], "has_more": False, **ids}
        case "GET", path if path.startswith("/v1/models/scripted-"):
            return {**MODEL, "id": path.rsplit("/", 1)[1]}
        case "POST", "/v1/messages/count_tokens":
            return {"input_tokens": tokens(_body(request).get("messages", []))}
    raise Refused(404, f"{request.method} {request.path} does not exist here")
