"""USSD texts as modems write them and want them written: plain, UCS2 in hex, packed septets in hex (domain A11)."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from hardware.at import commands
from hardware.at.types import Command
from hardware.pdu import PduError, cbs, gsm7

__all__ = ["Dialect"]

MOST_CHARACTERS = 1000  # of an answer; 182 fit into one, an unclosed quote may bring more

_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+\Z")
_LANGUAGE = re.compile(r"[A-Za-z]{2}[\r\n]")
_COMMON = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 \r\n.,:;!?%()/*#+-='\"&@€$")
_DIFFER = frozenset("$@[\\]^_`{|}~")  # have other places in the GSM alphabet than in ASCII
_ASCII_SETS = ("IRA", "ASCII", "8859-1", "PCCP437", "UTF-8", "UTF8")
_INVISIBLE = ("Cc", "Cn", "Co", "Cs")
_SEEN_SEPTETS = 8  # octets of a packed text that is told by its looks alone
_FEW_DIGITS = 4  # characters of a UCS2 text of digits that is told by its looks alone


@dataclass(slots=True)
class Dialect:
    """How one modem writes: its family's habit, its `+CSCS`, and whether it was seen to pack."""

    packs: bool = False
    charset: str = ""  # upper case; "" is not known
    proven: bool = False

    def write(self, text: str) -> Command:
        """The command that sends `text`. AtArgumentError for what this modem cannot be given."""
        try:
            packed = cbs.encode_packed(text)
        except PduError:
            packed = b""
        if self.packs and packed:
            return commands.ussd_hex(packed)
        if self.packs or self.charset == "UCS2":
            return commands.ussd_hex(text.encode("utf-16-be"), cbs.GSM7_ANY_LANGUAGE if packed else cbs.UCS2)
        if self.charset not in _ASCII_SETS and not _DIFFER.isdisjoint(text):
            text = ""  # no octet means these characters for sure
        return commands.ussd(text)

    def read(self, raw: str, dcs: int | None) -> str:
        """The text of an answer, total. Digits alone are digits, unless the modem was seen to write in hex."""
        raw = raw.strip()
        text = self._from_hex(raw, bytes.fromhex(raw), dcs) if _HEX.match(raw) else None
        return _tidy(self._plain(raw, dcs) if text is None else text)

    def _from_hex(self, raw: str, octets: bytes, dcs: int | None) -> str | None:
        """What the octets say; None: they are no octets but a text that looks like them."""
        alphabet = cbs.alphabet(dcs) if dcs is not None else "gsm7"
        digits = raw.isdigit()
        if alphabet == "ucs2" or self.charset == "UCS2":
            return _ucs2(octets, dcs if alphabet == "ucs2" and dcs is not None else cbs.UCS2, digits)
        if alphabet == "8bit":
            text = octets.decode("latin-1")
            return text if not digits and _is_visible(text) else None
        packed = cbs.decode_packed(octets, dcs or cbs.GSM7_ANY_LANGUAGE)
        if self.packs:
            if digits:
                return packed if self.proven else None
            if _commonness(packed) < 0.8:
                return None
            self.proven = True
            return packed
        if _looks_ucs2(octets, digits):
            return cbs.decode_ucs2(octets)
        by_its_looks = not digits and len(octets) >= _SEEN_SEPTETS and " " in packed and _commonness(packed) > 0.9
        return packed if by_its_looks else None

    def _plain(self, raw: str, dcs: int | None) -> str:
        octets = raw.encode("latin-1", "replace")
        if self.charset == "GSM" and raw.isascii():
            text = gsm7.decode(octets)
        elif self.charset == "PCCP437":
            text = octets.decode("cp437")
        elif raw.isascii():
            text = raw
        else:
            try:
                text = octets.decode("utf-8")
            except UnicodeDecodeError:
                text = raw
        return text[3:] if dcs == cbs.GSM7_WITH_LANGUAGE and _LANGUAGE.match(text) else text


def _ucs2(octets: bytes, dcs: int, digits: bool) -> str | None:
    """Hex of UTF-16, said to be that."""
    if len(octets) % 2 or (digits and _latin(octets) < 1 and not _looks_ucs2(octets, digits)):
        return None
    text = cbs.decode_ucs2(octets, dcs)
    return text if _is_visible(text) else None


def _looks_ucs2(octets: bytes, digits: bool) -> bool:
    """Hex of UTF-16 that nothing says to be that: all of it of the scripts from Latin to Arabic, some of it Latin.

    Where it could be plain digits it must be longer, and half of it Latin: no number has so many zeros so well placed.
    """
    if len(octets) % 2 or len(octets) < 4 or any(high > 6 and high != 0x20 for high in octets[::2]):
        return False
    if digits and len(octets) < 2 * _FEW_DIGITS:
        return False
    return _latin(octets) >= (0.5 if digits else 0.25) and _is_visible(cbs.decode_ucs2(octets))


def _latin(octets: bytes) -> float:
    """The share of UTF-16 units below U+0100."""
    return octets[::2].count(0) / max(1, len(octets[::2]))


def _commonness(text: str) -> float:
    """The share of characters that messages are made of; Greek capitals and such come out of what is no text."""
    accents = len(text) >= _SEEN_SEPTETS
    return sum(c in _COMMON or (accents and c.islower()) for c in text) / max(1, len(text))


def _is_visible(text: str) -> bool:
    return bool(text) and all(c in "\r\n\t\f" or unicodedata.category(c) not in _INVISIBLE for c in text)


def _tidy(text: str) -> str:
    """Lines end with LF; nothing invisible is left."""
    text = text[:MOST_CHARACTERS].replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in _INVISIBLE).strip()
