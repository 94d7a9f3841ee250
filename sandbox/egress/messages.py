"""Reading and rewriting HTTP messages on their way through the proxy."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

import h11

from sandbox.egress.policy import Target, split_host, target_of

Headers = list[tuple[bytes, bytes]]

# Meant for one hop. Transfer-Encoding stays: h11 frames the body by it.
ONE_HOP = frozenset({b"connection", b"keep-alive", b"te", b"trailer", b"upgrade"})


class Malformed(Exception):
    """A request that a proxy cannot take; the text says why."""


def connect_target(request: h11.Request) -> Target:
    """Return where a CONNECT goes. Raises Malformed."""
    text = request.target.decode("ascii", "replace")
    try:
        host, port = split_host(text)
        if port is None:
            raise Malformed(f"CONNECT needs a port, not {text[:200]!r} alone.")
        return target_of(host, port)
    except ValueError as error:
        raise Malformed(f"CONNECT needs host:port, not {text[:200]!r}.") from error


def plain_target(request: h11.Request) -> tuple[Target, str]:
    """Return where a plain request goes, and its path. Raises Malformed."""
    text = request.target.decode("ascii", "replace")
    try:
        url = urlsplit(text)
        if url.scheme != "http" or not url.hostname:
            raise Malformed(
                f"{text[:200]!r} is not an http:// URL: a proxy takes whole URLs, and "
                "CONNECT for https."
            )
        target = target_of(url.hostname, url.port or 80)
    except ValueError as error:
        raise Malformed(f"{text[:200]!r} is not a URL.") from error
    return target, path_of(url)


def path_of(url: SplitResult) -> str:
    """Return what follows the host, as it was written."""
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


def host_agrees(request: h11.Request, target: Target, default_port: int) -> bool:
    """Tell whether the Host header, when there is one, names the target."""
    named = [value for name, value in request.headers if name == b"host"]
    try:
        found = [split_host(value.decode("ascii")) for value in named]
    except (ValueError, UnicodeDecodeError):
        return False
    ports = {target.port, None if default_port == target.port else target.port}
    return all(host == target.host and port in ports for host, port in found)


def forwarded(headers: Headers, *, upgrade: bytes | None) -> Headers:
    """Return headers without those of this hop; an upgrade is asked for again.

    Of two lengths only one goes on: a server that believes the other would read a
    request inside the body, which nobody judged.
    """
    dropped = ONE_HOP | listed(headers)
    if any(name.lower() == b"transfer-encoding" for name, _ in headers):
        dropped |= {b"content-length"}
    kept = [
        (name, value)
        for name, value in headers
        if name.lower() not in dropped and not name.lower().startswith(b"proxy-")
    ]
    if upgrade:
        kept += [(b"Connection", b"Upgrade"), (b"Upgrade", upgrade)]
    return kept


def with_host(headers: Headers, target: Target) -> Headers:
    """Return headers that name the host: HTTP/1.0 need not, and 1.1 goes on."""
    if any(name.lower() == b"host" for name, _ in headers):
        return headers
    return [(b"Host", str(target).encode()), *headers]


def listed(headers: Headers) -> frozenset[bytes]:
    """Return the headers that Connection names as its own."""
    return frozenset(
        word.strip().lower()
        for name, value in headers
        if name.lower() == b"connection"
        for word in value.split(b",")
    ) - {b"transfer-encoding", b"content-length", b"host"}


def upgrade_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    return next((value for name, value in headers if name == b"upgrade"), None)


def raw(message: h11.Request | h11.Response | h11.InformationalResponse) -> Headers:
    """Return headers spelled as they came: some servers care for their case."""
    return list(message.headers.raw_items())
