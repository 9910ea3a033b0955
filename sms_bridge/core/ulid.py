"""ULIDs: 48 bits of milliseconds and 80 random bits, sortable, in Crockford's base 32."""

from __future__ import annotations

import os

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)  # ten bits at a time
_SHIFTS = tuple(range(120, -1, -10))
_RANDOM_BITS = 80


def new(now_ms: int) -> str:
    """A fresh ULID of 26 characters for the time `now_ms`."""
    value = ((now_ms & 0xFFFF_FFFF_FFFF) << _RANDOM_BITS) | int.from_bytes(os.urandom(10), "big")
    pairs = _PAIRS
    return "".join([pairs[(value >> shift) & 1023] for shift in _SHIFTS])
