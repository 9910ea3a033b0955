"""GSM 7-bit text: characters to septets, septets to packed octets, and back (TS 23.038 6.1.2, 6.2.1, annex A)."""

from __future__ import annotations

import re
from codecs import charmap_build, charmap_decode, charmap_encode
from functools import cache

from hardware.pdu.errors import PduError
from hardware.pdu.tables.national import BLANK, ESCAPE, locking_table, single_table

_LANES = 256  # septets that one pass spreads or gathers; TP-UDL ends at 255
_UNDEFINED = "\ufffe"  # what codecs.charmap_build takes for "no character"

# How the C encoder writes what is more than a septet. Packing drops the top bit.
_SHIFTED = re.compile(rb"[\x81-\xff]")  # an escape goes in front of these
_ZERO = 0x80  # septet 0, because charmap_build wants NUL at 0
_SHIFTED_ZERO = 0x80 | ESCAPE  # the septet 0 of the single shift table: nothing else stands at the escape's place


class Alphabet:
    """One pair of tables, ready for the C codecs."""

    __slots__ = ("characters", "escaped", "repertoire", "writer")

    def __init__(self, locking: int, single: int) -> None:
        table = locking_table(locking)
        shifted = single_table(single)
        readable = table.replace(BLANK, " ").replace("\x1b", " ")
        self.characters = readable + " " * 128
        # An unknown escape shows the character of the main table; a second escape a space (TS 23.038 6.2.1.1).
        self.escaped = [shifted.get(code, readable[code]) for code in range(128)]
        places = [_UNDEFINED] * 256
        places[0] = "\0"
        taken = {BLANK, "\x1b"}
        for code, character in enumerate(table):
            if character not in taken:
                places[code or _ZERO] = character
                taken.add(character)
        for code, character in sorted(shifted.items()):
            if character not in taken:
                places[code | 0x80 if code else _SHIFTED_ZERO] = character
                taken.add(character)
        self.writer = charmap_build("".join(places))
        self.repertoire = frozenset(taken - {BLANK, "\x1b"})


@cache
def alphabet(locking: int = 0, single: int = 0) -> Alphabet:
    """The tables of a national language identifier pair; both 0 to 13, so the cache is bounded."""
    return Alphabet(locking, single)


_DEFAULT = alphabet()
_SEPTETS = bytes(octet & 0x7F for octet in range(256))


def repertoire() -> frozenset[str]:
    """The characters that the default alphabet and its extension have (TS 23.038 6.2.1)."""
    return _DEFAULT.repertoire


def encode(text: str, locking: int = 0, single: int = 0) -> bytes:
    """Septets, one per octet; PduError with the index of the first character that the alphabet lacks."""
    return encode_marked(text, alphabet(locking, single)).translate(_SEPTETS)


def encode_marked(text: str, tables: Alphabet = _DEFAULT) -> bytes:
    """As `encode`, but some septets have their top bit set, never an escape: `pack` takes it as well, and quicker."""
    try:
        septets = charmap_encode(text, "strict", tables.writer)[0]
    except UnicodeEncodeError as error:
        raise PduError("a character is not in the GSM 7-bit alphabet", error.start) from None
    if not septets.isascii():
        septets = _SHIFTED.sub(b"\x1b\\g<0>", septets).replace(b"\x1b\x9b", b"\x1b\x80")
    if 0 in septets:
        raise PduError("a character is not in the GSM 7-bit alphabet", text.index("\0"))
    return septets


def decode(septets: bytes, locking: int = 0, single: int = 0) -> str:
    """Any septets (one per octet, below 128) to text; a dangling escape is a space."""
    tables = alphabet(locking, single) if locking or single else _DEFAULT
    if ESCAPE not in septets:
        return charmap_decode(septets, "strict", tables.characters)[0]
    pieces = []
    start, end = 0, len(septets)
    while (escape := septets.find(ESCAPE, start)) >= 0:
        pieces.append(charmap_decode(septets[start:escape], "strict", tables.characters)[0])
        pieces.append(tables.escaped[septets[escape + 1]] if escape + 1 < end else " ")
        start = escape + 2
    pieces.append(charmap_decode(septets[start:], "strict", tables.characters)[0])
    return "".join(pieces)


def pack(septets: bytes, fill_bits: int = 0) -> bytes:
    """Pack up to 255 septets, the first after `fill_bits` zero bits, none to b"" (TS 23.038 6.1.2.1.1)."""
    number = int.from_bytes(septets, "little")
    count = len(septets)
    for low, high, shift in _GATHER[count.bit_length()]:
        number = (number & low) | ((number & high) >> shift)
    return (number << fill_bits).to_bytes((count * 7 + fill_bits + 7) >> 3 if count else 0, "little")


def unpack(octets: bytes, count: int | None = None, fill_bits: int = 0) -> bytes:
    """The septets in `octets`, at most 224; `count` None: all there are, a zero one that may be padding dropped."""
    total = max(0, len(octets) * 8 - fill_bits) // 7
    septets = unpack_exact(octets, total, fill_bits)
    if count is not None:
        return septets[:count]
    return septets[:-1] if total * 7 + fill_bits == len(octets) * 8 and septets[-1:] == b"\0" else septets


def unpack_exact(octets: bytes, count: int, fill_bits: int = 0) -> bytes:
    """`count` septets (0 to 255) of `octets`, which hold at least as many."""
    number = int.from_bytes(octets, "little") >> fill_bits & _MASKS[count]
    for low, high, shift in _SPREAD[count.bit_length()]:
        number = (number & low) | ((number & high) << shift)
    return number.to_bytes(count, "little")


def pack_ussd(septets: bytes) -> bytes:
    """Pack a USSD string of any length; seven spare bits hold a CR, which is no text (TS 23.038 6.1.2.3.1)."""
    if len(septets) % 8 == 7 or (septets and len(septets) % 8 == 0 and septets[-1:] == b"\r"):
        septets += b"\r"
    return b"".join(pack(septets[at : at + 8]) for at in range(0, len(septets), 8))


def unpack_ussd(octets: bytes) -> bytes:
    """The septets of a USSD string of any length; a CR that fills the last octet is dropped (TS 23.038 6.1.2.3.1)."""
    groups = (octets[at : at + 7] for at in range(0, len(octets), 7))
    septets = b"".join(unpack_exact(group, len(group) * 8 // 7) for group in groups)
    return septets[:-1] if len(septets) % 8 == 0 and septets[-1:] == b"\r" else septets


def _steps(bits: int) -> tuple[tuple[int, int, int], ...]:
    # To spread 2**bits septets over octets: halve the lanes, again and again, and move each upper half up.
    steps = []
    for level in reversed(range(bits)):
        half = 1 << level
        low = high = 0
        for lane in range(0, 1 << bits, 2 * half):
            low |= ((1 << 7 * half) - 1) << 8 * lane
            high |= ((1 << 7 * half) - 1) << (8 * lane + 7 * half)
        steps.append((low, high, half))
    return tuple(steps)


# Indexed by the bit length of the number of septets, 0 to 255.
_SPREAD = tuple(_steps(bits) for bits in range(_LANES.bit_length()))
_GATHER = tuple(tuple((low, high << shift, shift) for low, high, shift in reversed(steps)) for steps in _SPREAD)
_MASKS = tuple((1 << 7 * count) - 1 for count in range(_LANES))
