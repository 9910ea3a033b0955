"""Data coding and packing of USSD and cell broadcast strings (TS 23.038 5, 6.1.2.3, 6.2.3)."""

from __future__ import annotations

from typing import Literal

from hardware.pdu import gsm7

Alphabet = Literal["gsm7", "8bit", "ucs2"]

GSM7_ANY_LANGUAGE = 15  # what a USSD code is sent with
UCS2 = 72
GSM7_WITH_LANGUAGE = 0x10  # two letters and a CR in front of the text
_UCS2_WITH_LANGUAGE = 0x11  # two letters, packed into two octets, in front of the text
_ALPHABETS: tuple[Alphabet, ...] = ("gsm7", "8bit", "ucs2", "gsm7")


def alphabet(dcs: int) -> Alphabet:
    """The alphabet that a CBS data coding scheme names; a reserved one reads as GSM 7-bit (TS 23.038 5)."""
    group = dcs >> 4
    if dcs == _UCS2_WITH_LANGUAGE:
        return "ucs2"
    if 4 <= group <= 7:  # general data coding; bit 5: compressed
        return "8bit" if dcs & 0x20 else _ALPHABETS[dcs >> 2 & 3]
    if group == 9:  # with a user data header
        return _ALPHABETS[dcs >> 2 & 3]
    if group == 15:
        return "8bit" if dcs & 4 else "gsm7"
    return "8bit" if group == 14 else "gsm7"  # 14: WAP; all others are languages or reserved


def encode_packed(text: str) -> bytes:
    """GSM 7-bit text as packed octets, padded as USSD is. PduError for a character that the alphabet lacks."""
    return gsm7.pack_ussd(gsm7.encode(text))


def decode_packed(octets: bytes, dcs: int = GSM7_ANY_LANGUAGE) -> str:
    """Packed octets as text, total; a language in front, where the scheme says so, is not text."""
    septets = gsm7.unpack_ussd(octets)
    if len(septets) % 8 == 0 and septets.endswith(b"\0"):
        septets = septets[:-1]  # seven zero bits, where a CR should be: no @
    return without_language(gsm7.decode(septets), dcs)


def decode_ucs2(octets: bytes, dcs: int = UCS2) -> str:
    """UTF-16, big end first, as text, total; a language in front, where the scheme says so, is not text."""
    if dcs == _UCS2_WITH_LANGUAGE:
        octets = octets[2:]
    return octets.decode("utf-16-be", "replace")


def without_language(text: str, dcs: int) -> str:
    """GSM 7-bit text without the two letters and the CR that some schemes put in front of it."""
    return text[3:] if dcs == GSM7_WITH_LANGUAGE and text[2:3] == "\r" else text
