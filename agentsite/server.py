"""daphne, with back-pressure: who sends waits for who reads, and not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from daphne import http_protocol, server, ws_protocol
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer  # type: ignore[import-untyped]

from agents.http.body import upload_limit

STALL = 30.0
"""Seconds without reading after which a client is cut off."""


LARGEST_BODY = upload_limit()


@implementer(IPushProducer)
class Flow:
    """The state of one connection's outlet, as the transport reports it."""

    def __init__(self, abort: Callable[[], None], stall: float) -> None:
        self._abort = abort
        self._stall = stall
        self._open = asyncio.Event()
        self._open.set()
        self._timer: asyncio.TimerHandle | None = None

    async def ready(self) -> None:
        """Wait until the client has taken what was sent before."""
        await self._open.wait()

    def pauseProducing(self) -> None:  # noqa: N802 - the interface's name
        self._open.clear()
        if self._timer is None:
            loop = asyncio.get_event_loop()
            self._timer = loop.call_later(self._stall, self._abort)

    def resumeProducing(self) -> None:  # noqa: N802
        self._open.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def stopProducing(self) -> None:  # noqa: N802
        self.resumeProducing()


class Request(http_protocol.WebRequest):  # type: ignore[misc]
    """A request whose streamed answer can be paused and cut."""

    flow: Flow | None = None
    received = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Forms are Django's: read here, an upload would stand in memory as a whole.
        self._parsePOSTFormSubmission = False

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802 - twisted's name
        """Keep a part of the body; cut off who sends more than any address takes."""
        self.received += len(data)
        if self.received > LARGEST_BODY and self.channel:
            self.channel.forceAbortClient()
        else:
            super().handleContentChunk(data)

    def handle_reply(self, message: dict[str, Any]) -> None:
        if message.get("more_body") and self.flow is None and self.channel:
            self.flow = Flow(self.channel.forceAbortClient, self.server.stall)
            self.registerProducer(self.flow, True)
            # Else each small frame waits 40 ms for the acknowledgement of the last.
            self.channel.transport.setTcpNoDelay(True)
        super().handle_reply(message)

    def finish(self) -> None:
        self._let_go()
        super().finish()

    def connectionLost(self, reason: Any) -> None:  # noqa: N802 - twisted's name
        if self.flow is not None:
            self.flow.stopProducing()
        super().connectionLost(reason)

    def _let_go(self) -> None:
        if self.flow is not None:
            self.flow.stopProducing()
            if self.channel:
                self.unregisterProducer()


class Socket(ws_protocol.WebSocketProtocol):  # type: ignore[misc]
    """A websocket that can be paused and cut."""

    flow: Flow | None = None

    def onOpen(self) -> None:  # noqa: N802 - autobahn's name
        super().onOpen()
        self.flow = Flow(self.transport.abortConnection, self.server.stall)
        # Until now the transport reported to the HTTP channel it was upgraded from.
        self.transport.unregisterProducer()
        self.transport.registerProducer(self.flow, True)

    def onClose(self, *args: Any) -> None:  # noqa: N802
        if self.flow is not None:
            self.flow.stopProducing()
        super().onClose(*args)


class HTTPFactory(http_protocol.HTTPFactory):  # type: ignore[misc]
    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802 - twisted's name
        protocol = super().buildProtocol(addr)
        protocol.requestFactory = Request
        return protocol


class Server(server.Server):  # type: ignore[misc]
    """daphne's server with the connections above."""

    def __init__(self, *args: Any, stall: float = STALL, **kwargs: Any) -> None:
        self.stall = stall
        super().__init__(*args, **kwargs)

    # `run` makes its factories itself, so they are exchanged where it keeps them.
    @property
    def http_factory(self) -> HTTPFactory:
        return self._http_factory

    @http_factory.setter
    def http_factory(self, _: Any) -> None:
        self._http_factory = HTTPFactory(self)

    @property
    def ws_factory(self) -> Any:
        return self._ws_factory

    @ws_factory.setter
    def ws_factory(self, factory: Any) -> None:
        factory.protocol = Socket
        self._ws_factory = factory

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        """Pass a message on once the client has taken the ones before."""
        flow = getattr(protocol, "flow", None)
        if flow is not None:
            await flow.ready()
        await super().handle_reply(protocol, message)
