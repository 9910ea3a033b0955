"""Address fields and semi-octets (TS 23.040 9.1.2.3, 9.1.2.5)."""

from __future__ import annotations

import re

from hardware.pdu import gsm7
from hardware.pdu.errors import PduError

NUMBER_TYPES = (
    "unknown",
    "international",
    "national",
    "network",
    "subscriber",
    "alphanumeric",
    "abbreviated",
    "reserved",
)
_INTERNATIONAL = 1
_ALPHANUMERIC = 5
_LONGEST = 20  # semi-octets: ten octets of address value

SWAP = bytes((octet & 15) << 4 | octet >> 4 for octet in range(256))
_DIGITS = str.maketrans("abcde", "*#abc")
_NIBBLES = str.maketrans("*#abc", "abcde")
_NUMBER = re.compile(r"\+[0-9*#abc]{1,20}|[0-9*#]{1,20}")


def read_address(data: bytes, at: int, *, any_filler: bool = False) -> tuple[str, str, int]:
    """Number, its type and where the next field starts; an alphanumeric one is decoded. PduError, IndexError.

    `any_filler`: what stands after an odd number of digits does not matter, as phones leave there what they like.
    """
    length = data[at]
    kind = data[at + 1] >> 4 & 7
    at += 2
    if length > _LONGEST:
        raise PduError("an address has more than 20 digits", at - 2)
    end = at + (length + 1 >> 1)
    value = data[at:end]
    if len(value) < length + 1 >> 1:
        raise PduError("the address is cut short", len(data))
    if kind == _ALPHANUMERIC:
        return alphanumeric(value, length), "alphanumeric", end
    digits = value.translate(SWAP).hex()
    if length & 1:
        if digits[-1] == "f" or any_filler:
            digits = digits[:-1]
        elif length > 1:
            raise PduError("an odd number of digits lacks its filler", end - 1)
        # else: a network that counted octets, as for the voice mail "50"
    return number(digits, kind), NUMBER_TYPES[kind], end


def read_smsc(data: bytes) -> tuple[str | None, int]:
    """The service centre in front of a TPDU, its length in octets, and where the TPDU starts (TS 27.005 3.1)."""
    length = data[0]
    if length > 12 or length >= len(data):
        raise PduError("the service centre address is longer than the PDU", 0)
    if length < 2:
        return None, 1 + length
    kind = data[1] >> 4 & 7
    value = data[2 : 1 + length]
    if kind == _ALPHANUMERIC:
        return alphanumeric(value, 2 * len(value)), 1 + length
    return number(value.translate(SWAP).hex(), kind) or None, 1 + length


def number(digits: str, kind: int) -> str:
    """Hex semi-octets to a number: A to E are `*#abc`, an F ends it, type 1 has a `+`."""
    if not digits.isdigit():
        digits = digits.partition("f")[0].translate(_DIGITS)
    return "+" + digits if kind == _INTERNATIONAL and digits else digits


def alphanumeric(value: bytes, semi_octets: int) -> str:
    """GSM 7-bit text; a last zero septet that fills its octet is padding, not `@` (seven characters in 14 digits)."""
    count = semi_octets * 4 // 7
    septets = gsm7.unpack_exact(value, count)
    if count and count % 8 == 0 and septets[-1] == 0:
        septets = septets[:-1]
    return gsm7.decode(septets)


def write_address(text: str, *, alphanumeric: bool = False) -> bytes:
    """A number, or if allowed up to 11 characters of text, as an address field; "" is the empty one."""
    if not text:
        return b"\x00\x80"
    if _NUMBER.fullmatch(text):
        kind, value = _write_number(text)
        return bytes((len(text) - (kind == 0x91), kind)) + value
    if not alphanumeric:
        raise PduError("the number is not + and up to 20 of 0-9 * #")
    septets = gsm7.encode(text)
    if len(septets) > 11:
        raise PduError("an alphanumeric address has at most 11 characters", 11)
    return bytes(((len(septets) * 7 + 3) // 4, 0xD0)) + gsm7.pack(septets)


def write_smsc(text: str | None) -> bytes:
    """The service centre octets in front of a TPDU; None or "": the one on the SIM."""
    if not text:
        return b"\0"
    if not _NUMBER.fullmatch(text):
        raise PduError("the service centre is not + and up to 20 of 0-9 * #")
    kind, value = _write_number(text)
    return bytes((len(value) + 1, kind)) + value


def _write_number(text: str) -> tuple[int, bytes]:
    kind, digits = (0x91, text[1:]) if text[0] == "+" else (0x81, text)
    if not digits.isdigit():
        digits = digits.translate(_NIBBLES)
    if len(digits) & 1:
        digits += "f"
    return kind, bytes.fromhex(digits).translate(SWAP)
