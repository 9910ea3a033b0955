"""Phone numbers and the like in texts that leave the bridge: the ends stay, the middle goes."""

from __future__ import annotations

import re

_DIGITS = re.compile(r"\+?\d(?:[ \-/().]?\d){6,}")


def mask(number: str) -> str:
    """`+36301234567` as `+3630…67`; what is too short to hide anything is hidden whole."""
    head = 5 if number.startswith("+") else 4
    return f"{number[:head]}…{number[-2:]}" if len(number) >= head + 4 else "…"


def mask_numbers(text: str) -> str:
    """`text` with every run of seven digits or more masked."""
    return _DIGITS.sub(lambda found: mask(found.group()), text)
