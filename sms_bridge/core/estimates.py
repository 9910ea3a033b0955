"""What a text costs, why, and what it would cost in other words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hardware.pdu import Estimate, estimate
from sms_bridge.core.translit import transliterate

MOST_POSITIONS = 100  # of one character


def describe(
    text: str, encoding: str = "auto", national: Sequence[str] = (), language: str | None = None
) -> dict[str, Any]:
    """Alphabet, parts, room, what forces UCS2 and where, and the replacement that would be cheaper. PduError.

    `national`: tables that may be used, by their languages; `language`: ISO 639, of the reader.
    """
    found = estimate(text, encoding=encoding, national=national)
    return {
        **_figures(found),
        "ucs2_characters": list(found.ucs2_characters),
        "foreign": [_foreign(text, character, language) for character in found.ucs2_characters],
        "replacement": _replacement(text, found, language) if found.encoding == "ucs2" and encoding == "auto" else None,
    }


def _figures(found: Estimate) -> dict[str, Any]:
    return {
        "encoding": found.encoding,
        "parts": found.segments,
        "units": found.units,
        "per_part": found.per_segment,
        "left": found.per_segment - found.last_units,
    }


def _foreign(text: str, character: str, language: str | None) -> dict[str, Any]:
    positions = [index for index, other in enumerate(text) if other == character]
    kin = transliterate(character, language)
    return {
        "character": character,
        "code": f"U+{ord(character):04X}",
        "count": len(positions),
        "positions": positions[:MOST_POSITIONS],
        "replacement": kin if kin != character else None,
    }


def _replacement(text: str, found: Estimate, language: str | None) -> dict[str, Any] | None:
    """The likeness, pictures by name only where nothing else helps; None where it would save nothing."""
    for emoji in (False, True):
        other = transliterate(text, language, emoji=emoji)
        counted = estimate(other)
        if counted.encoding == "gsm7" and counted.segments <= found.segments:
            return {"text": other, **_figures(counted), "emoji_named": emoji}
    return None
