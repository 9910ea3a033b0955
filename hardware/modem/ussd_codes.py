"""Which USSD codes may be sent: what diverts calls, changes a PIN or moves money is not sent unasked (domain A11)."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["DIGITS", "UssdCodes", "is_code"]

DIGITS = "{digits}"
"""Stands in an allowed code for 1 to 20 digits."""

_CODE = re.compile(r"[0-9*#+]{1,160}\Z")
_LIKE_CODE = re.compile(r"[*#].+#\Z", re.DOTALL)
_SHORT = re.compile(r"(?:\*#?|#)([0-9]{3,5})#\Z")
# Service codes of the network itself (TS 22.030 annex B) with three digits; those with two are no short code here.
_OF_THE_NETWORK = frozenset(
    (
        "002 004 042 052 300 330 331 332 333 335 350 351 353 354 360 361 362 363 591 592 593 594 750 751 752 753 754"
    ).split()
)


def is_code(text: str) -> bool:
    """Made of digits, `*`, `#` and `+` only."""
    return _CODE.match(text) is not None


class UssdCodes:
    """Short service codes without an argument, such as `*100#`, and those that `allow` names."""

    def __init__(self, allow: Iterable[str] = ()) -> None:
        self._allowed = [_pattern(code) for code in allow]

    def may_send(self, code: str) -> bool:
        """`code` is one of them."""
        if not is_code(code):
            return False
        short = _SHORT.match(code)
        if short is not None and short.group(1) not in _OF_THE_NETWORK:
            return True
        return any(pattern.match(code) for pattern in self._allowed)

    def may_reply(self, text: str) -> bool:
        """A reply that is a code itself would be obeyed as one where the network has ended the session meanwhile."""
        return _LIKE_CODE.match(text) is None or self.may_send(text)


def _pattern(code: str) -> re.Pattern[str]:
    return re.compile("[0-9]{1,20}".join(re.escape(piece) for piece in code.split(DIGITS)) + r"\Z")
