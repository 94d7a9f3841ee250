"""Ids in the look of the field: a prefix, `01`, and 22 characters that sort by time."""

from __future__ import annotations

import secrets
import time

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_RANDOM_BITS = 80
_LENGTH = 22


def new_id(prefix: str) -> str:
    """Return a fresh id such as `sesn_01…`: 48 bits of milliseconds, 80 random ones."""
    number = (time.time_ns() // 1_000_000 << _RANDOM_BITS) | secrets.randbits(
        _RANDOM_BITS
    )
    return f"{prefix}_01{_base58(number)}"


def _base58(number: int) -> str:
    digits = []
    for _ in range(_LENGTH):
        number, rest = divmod(number, 58)
        digits.append(BASE58[rest])
    return "".join(reversed(digits))
