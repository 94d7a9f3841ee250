"""Names of hosts, and the patterns that an allow-list is made of."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

MOST_CHARACTERS = 253
LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
NAME = re.compile(rf"{LABEL}(?:\.{LABEL})*")
NUMERIC = re.compile(r"(?:\d+|0x[0-9a-f]*)")
"""A last label that makes resolvers read a name as an IPv4 address."""

WILDCARD = "*."


def plain_host(host: str) -> str:
    return host.lower().removesuffix(".")


def checked_host(text: str) -> str:
    """Return a host as it is compared: a name, an IPv4 or an IPv6 address.

    Raises ValueError for what resolvers and servers could read in two ways.
    """
    host = plain_host(text)
    if ":" in host:
        return _checked_address(host)
    if len(host) > MOST_CHARACTERS or not NAME.fullmatch(host):
        raise ValueError(f"{text[:80]!r} is no name of a host")
    return host


def _checked_address(host: str) -> str:
    if "%" in host:
        raise ValueError(
            f"{host[:80]!r} is an address with a zone, of one machine only"
        )
    return str(IPv6Address(host))


def checked_pattern(text: str) -> str:
    """Return one entry of an allow-list in its plain form.

    Raises ValueError with a sentence on what to write in its place.
    """
    pattern = plain_host(text.strip())
    _refuse_more_than_a_host(pattern)
    host = pattern.removeprefix(WILDCARD)
    if "*" in host:
        raise ValueError(
            f"{text!r}: a wildcard stands in front and for whole labels, as in"
            " *.example.com"
        )
    if len(host) > MOST_CHARACTERS or not NAME.fullmatch(host):
        raise ValueError(f"{text[:80]!r} is no name of a host")
    if NUMERIC.fullmatch(host.rpartition(".")[2]):
        _refuse_odd_address(text, pattern)
    return pattern


def _refuse_more_than_a_host(pattern: str) -> None:
    if not pattern:
        raise ValueError("a host is empty")
    if pattern == "*":
        raise ValueError("'*' is every host: choose the network unrestricted instead")
    if "://" in pattern:
        raise ValueError(f"{pattern!r}: name the host alone, without a scheme")
    if "/" in pattern:
        raise ValueError(f"{pattern!r}: name the host alone, without a path")
    if pattern.count(":") > 1 or "[" in pattern:
        raise ValueError(f"{pattern!r}: an IPv6 address cannot be allowed: use a name")
    if ":" in pattern:
        raise ValueError(f"{pattern!r}: name the host alone, without a port")
    if not pattern.isascii():
        raise ValueError(f"{pattern!r}: write it in its ASCII form, which begins xn--")


def _refuse_odd_address(text: str, pattern: str) -> None:
    try:
        IPv4Address(pattern)
    except AddressValueError:
        raise ValueError(f"{text!r} is no IPv4 address") from None


def matches(pattern: str, host: str) -> bool:
    """Tell whether a host is named by a pattern; `*.` never stands for the apex."""
    if pattern.startswith(WILDCARD):
        return host.endswith(pattern[1:]) and len(host) >= len(pattern)
    return host == pattern
