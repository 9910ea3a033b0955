"""The last lines on the wire, safe to show: no PDU, no PIN, no whole phone number."""

from __future__ import annotations

import re
import time
from collections import deque
from typing import NamedTuple

CAPACITY = 200
SHORTEST_SECRET = 6  # characters; a shorter line holds no PIN with its command, no number and no PDU
SHORTEST_HEX = 20  # digits; an ICCID is a number of 19 or 20

_HEX_OR_NUMBER = re.compile(r"[0-9A-Fa-f]{20,}|[0-9]{7,}")
_SECRETS = re.compile(r"(?i)(CPIN2?|CPWD|CLCK|EPIN|SPIC|CSIM|PINR)\s*=.*")
_QUOTED_TEXT = re.compile(r'"[^"]*"?')


class TraceLine(NamedTuple):
    at: float  # seconds since the epoch
    direction: str  # ">" written, "<" read, "-" a remark
    text: str


class WireTrace:
    """A ring of the last 200 wire lines; each is redacted before it is kept (design: texts never reach a bundle)."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._lines: deque[TraceLine] = deque(maxlen=capacity)

    def sent(self, text: str) -> None:
        self._lines.append(TraceLine(time.time(), ">", redact(text)))

    def received(self, text: str) -> None:
        self._lines.append(TraceLine(time.time(), "<", redact(text)))

    def remark(self, text: str) -> None:
        self._lines.append(TraceLine(time.time(), "-", redact(text)))

    def lines(self) -> list[TraceLine]:
        """Oldest first."""
        return list(self._lines)


def redact(line: str) -> str:
    """`line` with hex of 20 digits and more as its length, digits of 7 and more masked, PINs and USSD texts starred."""
    if len(line) < SHORTEST_SECRET:
        return line
    if "=" in line:
        line = _SECRETS.sub(r"\1=***", line)
    if line.startswith(("+CUSD:", "AT+CUSD=")):
        line = _QUOTED_TEXT.sub('"***"', line)
    return _HEX_OR_NUMBER.sub(_mask, line)


def _mask(match: re.Match[str]) -> str:
    found = match[0]
    if len(found) >= SHORTEST_HEX:
        return f"<hex {len(found)}>"
    return f"{found[:3]}{'*' * (len(found) - 5)}{found[-2:]}"
