"""Beginning TLS on connections that are open already, as a server and as a client."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from pathlib import Path

from sandbox.egress.resolve import READ_LIMIT
from sandbox.egress.splice import Peer

HANDSHAKE_SECONDS = 30.0
FIRST_BYTE_SECONDS = 5.0
HANDSHAKE_RECORD = b"\x16"


def client_context(extra_ca: Path | None) -> ssl.SSLContext:
    """Return what servers are verified with: the machine's authorities and extra ones."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if extra_ca:
        context.load_verify_locations(extra_ca)
    return context


async def begin(
    peer: Peer, context: ssl.SSLContext, *, server_side: bool, host: str | None = None
) -> Peer:
    """Return the connection's encrypted end.

    Not `StreamWriter.start_tls`: it leaves the reader with the transport below.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=READ_LIMIT, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport = await loop.start_tls(
        peer.writer.transport,
        protocol,
        context,
        server_side=server_side,
        server_hostname=host,
        ssl_handshake_timeout=HANDSHAKE_SECONDS,
    )
    if transport is None:
        raise ConnectionResetError("it left during the handshake")
    protocol.connection_made(transport)
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    return Peer(reader=reader, writer=writer, below=peer)


async def speaks_tls(peer: Peer) -> bool:
    """Tell whether a client begins a TLS handshake. Its words stay unread.

    Reading is paused: whoever goes on resumes it, as `begin` does by itself.
    """
    transport = peer.writer.transport
    assert isinstance(transport, asyncio.Transport)
    transport.pause_reading()
    handle: int = transport.get_extra_info("socket").fileno()
    with socket.socket(fileno=os.dup(handle)) as twin:
        return await first_byte(twin) == HANDSHAKE_RECORD


async def first_byte(twin: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(twin, readable.set)
    try:
        async with asyncio.timeout(FIRST_BYTE_SECONDS):
            await readable.wait()
        return twin.recv(1, socket.MSG_PEEK)
    except (OSError, TimeoutError):
        return b""  # a client that lets the server speak first
    finally:
        loop.remove_reader(twin)
