"""One-time codes by the clock (RFC 6238, with HMAC-SHA-1, six digits and 30 seconds, as all telephones make them)."""

from __future__ import annotations

import hashlib
import hmac

STEP = 30  # s
DIGITS = 6
DRIFT = 1  # steps that the telephone's clock may be off, and the message under way


def code_at(secret: bytes, step: int) -> str:
    """The code of one step (RFC 4226 5.3)."""
    digest = hmac.new(secret, step.to_bytes(8, "big"), hashlib.sha1).digest()
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return str(number % 10**DIGITS).zfill(DIGITS)


def step_of(secret: bytes, code: str, now: int) -> int | None:
    """The step that `code` is of, at `now` (UTC ms); None: of none that counts. Takes as long for any code."""
    current = now // 1000 // STEP
    found = None
    for step in range(max(0, current - DRIFT), current + DRIFT + 1):
        if hmac.compare_digest(code_at(secret, step).encode(), code.encode("utf-8", "replace")):
            found = step
    return found


def name_of(secret: bytes) -> str:
    """Stands for the secret where it is noted which of its codes were used."""
    return hashlib.sha256(b"sms-bridge totp\0" + secret).hexdigest()[:16]
