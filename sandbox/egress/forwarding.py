"""Passes one request and its response, both at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import h11

from sandbox.egress import messages
from sandbox.egress.serving import Exchange, HttpEnd, Refused
from sandbox.egress.splice import CHUNK, IDLE_SECONDS, splice

Head = h11.Response | h11.InformationalResponse


class Passage:
    """What happens to a message on its way: nothing, unless a subclass says so."""

    def up(self, data: bytes) -> bytes:
        """Return what goes on of a piece of the request's body. Raises Refused."""
        return data

    def up_ended(self) -> bytes:
        return b""

    def head(self, response: Head) -> Head:
        """Return the response's head as the sandbox sees it. Raises Refused."""
        return response

    def down(self, data: bytes) -> Iterable[bytes]:
        yield data

    def down_ended(self) -> bytes:
        return b""


class Forwarding:
    def __init__(
        self, near: HttpEnd, far: HttpEnd, exchange: Exchange, passage: Passage
    ) -> None:
        self.near = near
        self.far = far
        self.traffic = exchange.traffic
        self.passage = passage
        self.idle = asyncio.timeout(IDLE_SECONDS)

    async def run(self, request: h11.Request, body: bytes | None = None) -> bool:
        """Pass the exchange; tell whether the sandbox's connection can go on.

        `body` is given where it was read before, whole.
        """
        async with self.idle:
            await self.far.send(request)
            sending = asyncio.create_task(self.send_body(body))
            try:
                switched = await self.receive()
            except (OSError, h11.ProtocolError, Refused):
                raise_refusal(sending)
                raise
            finally:
                await ended(sending)
        if switched:
            await self.join()
        return self.near.is_done

    async def send_body(self, body: bytes | None) -> None:
        """The response may come first, and then this is cancelled."""
        try:
            if body is None:
                await self.pass_body()
            else:
                await self.send_up(body)
                await self.far.send(h11.EndOfMessage())
            await self.notice_leaving()
        except Refused:
            self.far.peer.writer.transport.abort()
            raise

    async def pass_body(self) -> None:
        while True:
            event = await self.near.next_event()
            if isinstance(event, h11.Data):
                await self.send_up(self.passage.up(bytes(event.data)))
            elif isinstance(event, h11.EndOfMessage):
                await self.send_up(self.passage.up_ended())
                # Without trailers, which nobody looked into.
                return await self.far.send(h11.EndOfMessage())
            else:
                if isinstance(event, h11.ConnectionClosed):
                    self.far.peer.writer.transport.abort()
                return None

    async def notice_leaving(self) -> None:
        """Raise Refused where the client leaves: a server may be silent for long."""
        data = await self.near.peer.reader.read(CHUNK)
        self.near.http.receive_data(data)  # its next request, which waits
        if not data:
            reason = "the client left before the answer ended"
            raise Refused(400, reason, kind="failed", rule="broken_off")

    async def send_up(self, data: bytes) -> None:
        if data:
            self.count(up=len(data))
            await self.far.send(h11.Data(data=data))

    async def receive(self) -> bool:
        """Pass the response; tell whether both sides left HTTP."""
        while True:
            event = await self.answered()
            if isinstance(event, h11.InformationalResponse):
                await self.near.send(backward(self.passage.head(event)))
                if event.status_code == 101:
                    return True
            elif isinstance(event, h11.Response):
                await self.near.send(backward(self.passage.head(event)))
            elif isinstance(event, h11.Data):
                for piece in self.passage.down(bytes(event.data)):
                    await self.send_down(piece)
            elif isinstance(event, h11.EndOfMessage):
                await self.send_down(self.passage.down_ended())
                await self.near.send(h11.EndOfMessage())
                return False
            else:
                raise ConnectionResetError("the server left before its answer ended")

    async def answered(self) -> object:
        """Return what comes next of the answer.

        What h11 says of a malformed one repeats it, secrets included: nobody hears it.
        """
        try:
            return await self.far.next_event()
        except h11.RemoteProtocolError:
            reason = "its answer is malformed, or was cut off"
            raise Refused(502, reason, kind="failed", rule="broken_off") from None

    async def send_down(self, data: bytes) -> None:
        if data:
            self.count(down=len(data))
            await self.near.send(h11.Data(data=data))

    async def join(self) -> None:
        """After 101 they speak a protocol of their own."""
        far, near = self.far.peer, self.near.peer
        up, down = self.near.unread(), self.far.unread()
        far.writer.write(up)
        self.traffic.up += len(up)
        for piece in self.passage.down(down):
            near.writer.write(piece)
            self.traffic.down += len(piece)
        passage = self.passage
        await splice(
            near, far, self.traffic, down=passage.down, down_ended=passage.down_ended
        )

    def count(self, *, up: int = 0, down: int = 0) -> None:
        self.traffic.up += up
        self.traffic.down += down
        self.idle.reschedule(asyncio.get_running_loop().time() + IDLE_SECONDS)


def raise_refusal(task: asyncio.Task[None]) -> None:
    """Raise what the other direction was refused for: that is why this one broke."""
    if task.done() and not task.cancelled():
        error = task.exception()
        if isinstance(error, Refused):
            raise error


async def ended(task: asyncio.Task[None]) -> None:
    """Cancel a task. If it failed, the other direction knows or did not care."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()


def backward(response: Head) -> Head:
    switching = response.status_code == 101
    upgrade = messages.upgrade_of(response.headers) if switching else None
    headers = messages.forwarded(messages.raw(response), upgrade=upgrade)
    return type(response)(
        status_code=response.status_code, headers=headers, reason=response.reason
    )
