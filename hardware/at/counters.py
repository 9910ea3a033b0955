"""Small numbers that modems tell: how many PIN and PUK attempts are left, whether the radio is on. Pure."""

from __future__ import annotations

import re

from hardware.at.parsers import fields

__all__ = ["attempts_left", "functionality_level"]

MOST_ATTEMPTS = 15  # a nibble of the status word; what is more is another number

# Where the counters stand in the vendors' answers: of PIN1, of PUK1 (domain A8.1).
_PLACES = {
    "^CPIN": (3, 2),  # <code>,<times>,<puk>,<pin>,<puk2>,<pin2>
    "+QPINC": (1, 2),  # "SC",<pin>,<puk>
    "+SPIC": (0, 1),  # <pin>,<puk>,<pin2>,<puk2>
    "+UPINCNT": (0, 2),  # <pin>,<pin2>,<puk>,<puk2>
    "+CPINC": (0, 2),  # <pin>,<pin2>,<puk>,<puk2>
    "+EPINC": (0, 2),
    "#PCT": (0, 0),  # of what the SIM asks for now
    "^SPIC": (0, 0),
}
_STATUS_WORD = re.compile(r"63C([0-9A-F])|6983")  # 6983: blocked (TS 102 221 10.2.1.5)


def attempts_left(line: str, *, puk: bool = False) -> int | None:
    """PIN1 attempts left, or PUK1's, from `+CSIM` (63Cx) or the vendors' counters (domain A8.1)."""
    prefix, colon, body = line.partition(":")
    prefix = prefix.strip()
    if not colon:
        return None
    if prefix == "+CSIM":
        match = _STATUS_WORD.search(body.upper())
        return int(match[1] or "0", 16) if match else None
    if prefix not in _PLACES:
        return None
    parts = fields(body.strip())
    if prefix == "+QPINC" and (not parts or parts[0].upper() != "SC"):
        return None
    place = _PLACES[prefix][puk]
    count = _number(parts[place]) if len(parts) > place else None
    return count if count is not None and count <= MOST_ATTEMPTS else None


def functionality_level(line: str) -> int | None:
    """`+CFUN: <fun>` (TS 27.007 8.2): 0 least, 1 full, 4 off the air."""
    prefix, _, body = line.partition(":")
    return _number(body.split(",")[0].strip()) if prefix.strip() == "+CFUN" else None


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else None
