"""A sandbox reached through its tool server's socket, whatever runs the server."""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from sandbox.answers import Forged, listing_in, outcome_in, running_in
from sandbox.connection import Answer, Connection, Lost, NotSent
from sandbox.disk import LOOK_SECONDS, DiskWatch
from sandbox.errors import FileUnavailable, OutcomeUnknown, SandboxError, SandboxGone
from sandbox.network_notes import Refusals, noted
from sandbox.spec import Limits, Listing, Origin, Running, ToolOutcome

CHUNK = 1024 * 1024
FILE_BYTES = 512 * 1024 * 1024
SHORT_SECONDS = 30.0
GRACE_SECONDS = 30.0


class SocketSandbox:
    """Implements the Sandbox protocol over a unix socket."""

    def __init__(
        self,
        session_id: str,
        socket: Path,
        limits: Limits,
        origin: Origin,
        *,
        refusals: Refusals | None = None,
    ) -> None:
        self.session_id = session_id
        self.origin = origin
        self.held: IO[bytes] | None = None  # keeps others from having it alone
        self.disk: DiskWatch | None = None
        self.limits = limits
        self.refusals = refusals
        self.connection = Connection(socket)

    async def execute(
        self, call_id: str, tool: str, input: Mapping[str, Any]
    ) -> ToolOutcome:
        began = time.time()
        outcome = await self._watched(call_id, tool, input)
        if self.refusals and tool == "bash":  # no other tool has a network
            return await noted(outcome, self.refusals, self.session_id, began)
        return outcome

    async def _watched(
        self, call_id: str, tool: str, input: Mapping[str, Any]
    ) -> ToolOutcome:
        if self.disk is None:
            return await self._executed(call_id, tool, input)
        ended = asyncio.Event()
        guard = asyncio.create_task(self._guard(call_id, self.disk, ended))
        try:
            outcome = await self._executed(call_id, tool, input)
        finally:
            # Asked and cancelled: wait_for loses a cancel that comes with its answer.
            ended.set()
            guard.cancel()
            await asyncio.wait({guard})
        return await self._judged(outcome, self.disk)

    async def _guard(self, call_id: str, disk: DiskWatch, ended: asyncio.Event) -> None:
        """End a call that fills the disk."""
        while not ended.is_set():
            await asyncio.sleep(LOOK_SECONDS)
            if await disk.look():
                with suppress(SandboxError):
                    await self.cancel(call_id)

    async def _judged(self, outcome: ToolOutcome, disk: DiskWatch) -> ToolOutcome:
        """The outcome, with a word where the disk is full."""
        await disk.look()
        if not disk.is_over:
            return outcome
        told = {"type": "text", "text": f"[{disk.sentence()}]"}
        return replace(outcome, content=(*outcome.content, told), is_error=True)

    async def _executed(
        self, call_id: str, tool: str, input: Mapping[str, Any]
    ) -> ToolOutcome:
        call = {"call_id": call_id, "tool": tool, "input": dict(input)}
        try:
            answer = await self._send("execute", **call)
        except Lost as error:
            raise self._unknown(call_id, str(error)) from error
        try:
            return await self._awaited(call_id, answer, self._patience(input))
        except Lost:
            return await self._collected(call)

    async def outcome(self, call_id: str) -> ToolOutcome | Running | None:
        try:
            answer = await self._asked("outcome", call_id=call_id)
            if "outcome" in answer:
                return outcome_in(answer)
            return running_in(answer) if "running" in answer else None
        except Forged as error:
            raise self._unknown(call_id, str(error)) from error

    async def cancel(self, call_id: str) -> None:
        await self._asked("cancel", call_id=call_id)

    async def set_variables(self, variables: Mapping[str, str]) -> None:
        """Have commands run with these; before the first one."""
        await self._asked("variables", variables=dict(variables))

    async def ping(self, seconds: float) -> None:
        await self.connection.ask("ping", seconds=seconds)

    async def read(self, path: str) -> bytes:
        data = bytearray()
        async for piece in self.pieces(path):
            data += piece
            if len(data) > FILE_BYTES:
                raise self._unreadable(path, f"is larger than {FILE_BYTES} bytes")
        return bytes(data)

    async def pieces(self, path: str) -> AsyncIterator[bytes]:
        offset, last = 0, False
        while not last:
            piece, last = await self._piece(path, offset)
            offset += len(piece)
            yield piece

    async def files_below(self, path: str, most: int) -> Listing:
        answer = await self._asked("list", path=path, most=most)
        self._refuse_error(path, answer)
        try:
            return listing_in(answer, most)
        except Forged as error:
            raise self._unreadable(path, f"cannot be listed: {error}") from error

    async def _piece(self, path: str, offset: int) -> tuple[bytes, bool]:
        answer = await self._asked("read", path=path, offset=offset, length=CHUNK)
        self._refuse_error(path, answer)
        try:
            piece = base64.b64decode(answer["data"], validate=True)
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise self._unreadable(path, "came back as no file does") from error
        return piece, answer.get("last") is not False or not piece

    async def write(self, path: str, data: bytes, *, executable: bool = False) -> None:
        mode = 0o755 if executable else 0o644
        for offset in range(0, max(len(data), 1), CHUNK):
            piece = base64.b64encode(data[offset : offset + CHUNK]).decode()
            last = offset + CHUNK >= len(data)
            answer = await self._asked(
                "write", path=path, offset=offset, data=piece, last=last, mode=mode
            )
            self._refuse_error(path, answer)

    async def remove(self, path: str) -> None:
        self._refuse_error(path, await self._asked("remove", path=path))

    async def close(self) -> None:
        await self.connection.close()
        if self.held:
            self.held.close()

    async def _send(self, op: str, **fields: Any) -> asyncio.Future[Answer]:
        try:
            return await self.connection.send(op, **fields)
        except NotSent as error:
            raise self._gone() from error

    async def _asked(self, op: str, **fields: Any) -> Answer:
        """Ask what takes a moment. Asking it twice does no harm."""
        try:
            return await self.connection.ask(op, seconds=SHORT_SECONDS, **fields)
        except (NotSent, Lost, TimeoutError) as error:
            raise self._gone() from error

    async def _awaited(
        self, call_id: str, answer: asyncio.Future[Answer], seconds: float
    ) -> ToolOutcome:
        """Wait for as long as the sandbox says that the call runs."""
        while True:
            await asyncio.wait({answer}, timeout=seconds)
            if answer.done():
                return self._believed(call_id, answer.result())
            known = await self._state(call_id)
            if isinstance(known, ToolOutcome):
                return known
            if known is None:
                raise self._unknown(call_id, "it has no memory of the call")
            seconds = SHORT_SECONDS

    async def _collected(self, call: Mapping[str, Any]) -> ToolOutcome:
        """The connection ended, the sandbox may live: ask what became of the call."""
        call_id: str = call["call_id"]
        known = await self._state(call_id)
        if isinstance(known, ToolOutcome):
            return known
        if known is None:
            raise self._unknown(call_id, "it has no memory of the call")
        try:
            joined = await self._send("execute", **call)
            return await self._awaited(call_id, joined, SHORT_SECONDS)
        except (Lost, SandboxGone) as error:
            raise self._unknown(call_id, str(error)) from error

    async def _state(self, call_id: str) -> ToolOutcome | Running | None:
        try:
            return await self.outcome(call_id)
        except SandboxGone as error:
            raise self._unknown(call_id, "it does not answer any more") from error

    def _believed(self, call_id: str, answer: Answer) -> ToolOutcome:
        try:
            return outcome_in(answer)
        except Forged as error:
            raise self._unknown(call_id, f"its answer is refused: {error}") from error

    def _patience(self, input: Mapping[str, Any]) -> float:
        asked = input.get("timeout_ms")
        if isinstance(asked, int) and asked > 0:
            return asked / 1000 + GRACE_SECONDS
        return self.limits.command_seconds + GRACE_SECONDS

    def _refuse_error(self, path: str, answer: Answer) -> None:
        if "error" in answer:
            raise self._unreadable(path, f"is refused: {str(answer['error'])[:500]}")

    def _unreadable(self, path: str, why: str) -> FileUnavailable:
        return FileUnavailable(f"{path} in sandbox {self.session_id} {why}.")

    def _gone(self) -> SandboxError:
        return SandboxGone(f"The sandbox of session {self.session_id} does not answer.")

    def _unknown(self, call_id: str, why: str) -> OutcomeUnknown:
        return OutcomeUnknown(
            f"The outcome of call {call_id} is unknown: the sandbox of session "
            f"{self.session_id} was lost while it ran ({why})."
        )
