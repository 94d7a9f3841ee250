"""Secrets that a sandbox uses and never holds: it has placeholders in their place."""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
import secrets
import string
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote

from sandbox.egress.hosts import checked_pattern, matches
from sandbox.spec import BoundCredential

LEAST_CHARACTERS = 24
PREFIX = re.compile(r"^(?:[A-Za-z]{2,12}[_-]){1,3}")
LETTERS = string.ascii_letters + string.digits
BASIC = b"basic "

Headers = list[tuple[bytes, bytes]]


def new_placeholder(value: str) -> str:
    """Return what a sandbox gets in place of a secret, of its length and shape.

    Many clients look at how a token begins (`ghp_`, `sk-`) before they send it.
    """
    found = PREFIX.match(value)
    prefix = found[0] if found else ""
    count = max(len(value), LEAST_CHARACTERS, len(prefix) + 16) - len(prefix)
    return prefix + "".join(secrets.choice(LETTERS) for _ in range(count))


def as_json(credentials: Iterable[BoundCredential]) -> list[dict[str, Any]]:
    return [asdict(credential) for credential in credentials]


def from_json(fields: Iterable[Mapping[str, Any]]) -> tuple[BoundCredential, ...]:
    """Read credentials back. Raises ValueError, in which no secret is told."""
    read = tuple(
        BoundCredential(**{**one, "hosts": tuple(map(checked_pattern, one["hosts"]))})
        for one in fields
    )
    for credential in read:
        _check(credential)
    return read


def _check(credential: BoundCredential) -> None:
    for text in (credential.value, credential.placeholder):
        if not text.isascii() or not text.isprintable():
            raise ValueError(
                f"credential {credential.name!r} has characters that no header takes"
            )
    if len(credential.placeholder) < 16 or len(credential.value) < 8:
        raise ValueError(
            f"credential {credential.name!r} is too short to be told apart"
        )


@dataclass(frozen=True, kw_only=True)
class Leak:
    """A placeholder on its way to a host that its credential is not bound to."""

    credential: BoundCredential

    def reason(self, host: str, *, encrypted: bool) -> str:
        bound = ", ".join(self.credential.hosts)
        what = f"the placeholder of credential {self.credential.name}"
        if not encrypted:
            return (
                f"{what} was about to leave for {host} unencrypted: it is bound to"
                f" {bound} and put in over https alone"
            )
        return f"{what} was about to leave for {host}, and it is bound to {bound}"


class Credentials:
    """The credentials of one session."""

    def __init__(self, bound: Sequence[BoundCredential] = ()) -> None:
        self._bound = tuple(bound)

    def __bool__(self) -> bool:
        return bool(self._bound)

    def all(self) -> tuple[BoundCredential, ...]:
        return self._bound

    def of(self, host: str) -> tuple[BoundCredential, ...]:
        """Return those that are bound to a host."""
        return tuple(
            one
            for one in self._bound
            if any(matches(pattern, host) for pattern in one.hosts)
        )

    def leak(self, host: str, data: bytes, *, encrypted: bool) -> Leak | None:
        """Find a placeholder that must not go to a host: unencrypted, to no host."""
        bound = self.of(host) if encrypted else ()
        for one in self._bound:
            if one not in bound and one.placeholder.encode() in data:
                return Leak(credential=one)
        return None

    def leak_in(self, host: str, headers: Headers, *, encrypted: bool) -> Leak | None:
        for name, value in headers:
            for text in (name, value, decoded_basic(value) or b""):
                if found := self.leak(host, text, encrypted=encrypted):
                    return found
        return None


class Swap:
    """Puts real values into one request, and finds them in its answer."""

    def __init__(self, bound: Sequence[BoundCredential]) -> None:
        self._bound = bound
        self._masks: dict[bytes, bytes] = {}
        self.used: list[str] = []
        for one in bound:
            for real in spellings(one.value):
                self._mask(real, one.placeholder.encode())

    @property
    def changes_bodies(self) -> bool:
        return any(one.in_body for one in self._bound)

    def headers(self, headers: Headers) -> Headers:
        return [(name, self._header(value)) for name, value in headers]

    def body(self, data: bytes) -> bytes:
        return self._put_in(data, [one for one in self._bound if one.in_body])

    def scrubber(self) -> Scrubber:
        return Scrubber(self._masks)

    def placeholders(self) -> dict[bytes, bytes]:
        """Return what stands in a body, and what it becomes."""
        return {
            one.placeholder.encode(): one.value.encode()
            for one in self._bound
            if one.in_body
        }

    def _header(self, value: bytes) -> bytes:
        inner = decoded_basic(value)
        if inner is None:
            return self._put_in(value, self._in_headers())
        real = self._put_in(inner, self._in_headers())
        if real == inner:
            return value
        encoded = base64.b64encode(real)
        self._mask(encoded, base64.b64encode(inner))
        return value[: len(BASIC)] + encoded

    def _in_headers(self) -> list[BoundCredential]:
        return [one for one in self._bound if one.in_headers]

    def _put_in(self, data: bytes, credentials: Sequence[BoundCredential]) -> bytes:
        for one in credentials:
            placeholder = one.placeholder.encode()
            if placeholder in data:
                data = data.replace(placeholder, one.value.encode())
                self.note({placeholder})
        return data

    def note(self, placeholders: Collection[bytes]) -> None:
        """Take down which credentials were put in."""
        for one in self._bound:
            if one.placeholder.encode() in placeholders and one.name not in self.used:
                self.used.append(one.name)

    def _mask(self, real: bytes, placeholder: bytes) -> None:
        """Stand the placeholder for it, in just its length: framing stays true."""
        self._masks[real] = placeholder[: len(real)].ljust(len(real), b"*")


def spellings(value: str) -> set[bytes]:
    """Return a secret in the ways in which servers repeat what they were sent."""
    plain = {
        value,
        quote(value, safe=""),
        quote(value),
        json.dumps(value)[1:-1],
        html.escape(value),
    }
    encoded = {base64.b64encode(value.encode()).rstrip(b"=")}
    return {text.encode() for text in plain} | encoded


def decoded_basic(value: bytes) -> bytes | None:
    """Return `user:password` of a Basic header; None for every other."""
    if value[: len(BASIC)].lower() != BASIC:
        return None
    try:
        return base64.b64decode(value[len(BASIC) :].strip(), validate=True)
    except binascii.Error:
        return None


class Scrubber:
    """Replaces strings in a stream, wherever it is cut into pieces."""

    def __init__(self, masks: Mapping[bytes, bytes]) -> None:
        # Longest first: a short secret may be part of a long one.
        self._masks = dict(sorted(masks.items(), key=lambda one: -len(one[0])))
        self._held = b""
        self.found: set[bytes] = set()

    @property
    def is_idle(self) -> bool:
        return not self._masks

    def whole(self, data: bytes) -> bytes:
        for real, mask in self._masks.items():
            if real in data:
                self.found.add(real)
                data = data.replace(real, mask)
        return data

    def feed(self, data: bytes) -> bytes:
        """Return what can be passed on; what may be a beginning waits for more."""
        data = self.whole(self._held + data)
        keep = max((overlap(data, real) for real in self._masks), default=0)
        self._held = data[len(data) - keep :]
        return data[: len(data) - keep]

    def flush(self) -> bytes:
        held, self._held = self._held, b""
        return held


def overlap(data: bytes, needle: bytes) -> int:
    """Return how much of the end of `data` could be the beginning of `needle`."""
    at = max(0, len(data) - len(needle) + 1)
    while (at := data.find(needle[:1], at)) >= 0:
        if needle.startswith(data[at:]):
            return len(data) - at
        at += 1
    return 0
