"""Replaces characters that the GSM alphabet lacks with their nearest kin, when an order or its recipient allows it."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from hardware.pdu import repertoire
from sms_bridge.core.kin import KIN, OF_LANGUAGE, SEQUENCES

_EMOJI = ("So", "Sk")  # general categories of pictures, and of what colours them


def transliterate(text: str, language: str | None = None, *, emoji: bool = False) -> str:
    """`text` with likenesses for what makes it expensive; what has none stays. Never changes what GSM 7-bit can carry.

    `language`: ISO 639, of the reader; `emoji`: pictures become their names, as `(thumbs up sign)`.
    """
    text = unicodedata.normalize("NFC", text)
    for sequence, plain in SEQUENCES.items():
        if sequence in text:
            text = text.replace(sequence, plain)
    table: dict[int, str] = {}
    for character in set(text) - repertoire():
        kin = _kin(character, language)
        if kin is None and emoji and unicodedata.category(character) in _EMOJI:
            kin = _named(character)
        if kin is not None:
            table[ord(character)] = kin
    return text.translate(table) if table else text


@lru_cache(maxsize=4096)
def _kin(character: str, language: str | None) -> str | None:
    """The likeness of one character, all of it in the GSM alphabet; None: there is none."""
    own = OF_LANGUAGE.get(language or "", {}).get(character)
    kin = own if own is not None else KIN.get(character)
    if kin is None:
        base = "".join(c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c))
        kin = "".join(KIN.get(c, c) for c in base)
        if not base or kin == character:
            return "" if unicodedata.combining(character) else None
    return kin if set(kin) <= repertoire() else None


def _named(character: str) -> str | None:
    name = unicodedata.name(character, "").lower()
    if not name:
        return None
    return "" if name.startswith(("emoji modifier", "variation selector")) else f"({name})"
