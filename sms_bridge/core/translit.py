"""Replaces characters that the GSM alphabet lacks with their nearest kin, when an order allows it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

_KIN = {
    "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u201b": "'", "\u2032": "'",
    "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u2033": '"', "«": '"', "»": '"',
    "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u2212": "-",
    "\u2026": "...", "\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u2022": "*", "`": "'",
    "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ı": "i", "œ": "oe", "Œ": "OE", "ð": "d", "þ": "th",
    "\u2122": "TM", "\u00ae": "(R)", "\u00a9": "(C)", "ő": "ö", "Ő": "Ö", "ű": "ü", "Ű": "Ü",
}  # fmt: skip


def transliterate(text: str, foreign: Iterable[str]) -> str:
    """`text` with each character of `foreign` replaced where a likeness is known, otherwise left."""
    table: dict[int, str] = {}
    for character in set(foreign):
        kin = _KIN.get(character)
        if kin is None:
            base = unicodedata.normalize("NFKD", character)
            kin = "".join(c for c in base if not unicodedata.combining(c))
            if not kin.isascii() or not kin:
                continue
        table[ord(character)] = kin
    return text.translate(table) if table else text
