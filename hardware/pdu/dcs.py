"""TP-Data-Coding-Scheme (TS 23.038 4)."""

from __future__ import annotations

from typing import NamedTuple

MWI_KINDS = ("voicemail", "fax", "email", "other")


class Mwi(NamedTuple):
    """A message waiting indication; `store` False: the message may be dropped once the indication is shown."""

    kind: str  # one of MWI_KINDS
    active: bool
    store: bool
    waiting: int | None = None  # messages, when the user data header tells


class Dcs(NamedTuple):
    """What one octet says; a reserved coding reads as the GSM default alphabet, as the standard asks."""

    encoding: str  # "gsm7", "ucs2", "8bit"
    message_class: int | None
    mwi: Mwi | None
    compressed: bool  # TS 23.042: the text is kept as octets


def parse_dcs(octet: int) -> Dcs:
    """Total over 0 to 255."""
    group = octet >> 4
    if group < 8:  # 00xx general, 01xx automatic deletion: the same bits
        compressed = bool(octet & 0x20)
        encoding = "8bit" if compressed else ("gsm7", "8bit", "ucs2", "gsm7")[octet >> 2 & 3]
        return Dcs(encoding, octet & 3 if octet & 0x10 else None, None, compressed)
    if group == 15:
        return Dcs("8bit" if octet & 4 else "gsm7", octet & 3, None, False)
    if group < 12:  # reserved
        return Dcs("gsm7", None, None, False)
    mwi = Mwi(MWI_KINDS[octet & 3], bool(octet & 8), group != 12)
    return Dcs("ucs2" if group == 14 else "gsm7", None, mwi, False)


DCS = tuple(parse_dcs(octet) for octet in range(256))

_BASE = {"gsm7": 0x00, "8bit": 0x04, "ucs2": 0x08}


def make_dcs(encoding: str, message_class: int | None) -> int:
    """The octet for an encoding and a class 0 to 3 (0: flash), or none."""
    return _BASE[encoding] | (0 if message_class is None else 0x10 | message_class)
