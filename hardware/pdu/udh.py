"""TP-User-Data-Header and its information elements (TS 23.040 9.2.3.24)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from hardware.pdu.dcs import MWI_KINDS, Mwi
from hardware.pdu.errors import PduError

CONCAT_8 = 0x00
SPECIAL_INDICATION = 0x01
PORTS_8 = 0x04
PORTS_16 = 0x05
CONCAT_16 = 0x08
SINGLE_SHIFT = 0x24
LOCKING_SHIFT = 0x25
# Some encoders read the standard's hexadecimal 24 and 25 as decimal. The pictures that really are 18 and 19 never
# have a single octet.
_SINGLE_SHIFTS = (SINGLE_SHIFT, 24)
_LOCKING_SHIFTS = (LOCKING_SHIFT, 25)

_LAST_LANGUAGE = 13


@dataclass(slots=True)
class Concat:
    """One part of a message: `seq` 1 to `total`; `bits` is the width of `ref`, 8 or 16."""

    ref: int
    total: int
    seq: int
    bits: int


class Ie(NamedTuple):
    """An information element as it came."""

    iei: int
    data: bytes


class Header(NamedTuple):
    """What a header says; of an element that comes twice the last one counts (TS 23.040 9.2.3.24)."""

    ies: tuple[Ie, ...] = ()
    concat: Concat | None = None
    ports: tuple[int, int] | None = None
    port_bits: int | None = None
    locking: int = 0
    single: int = 0
    mwi: Mwi | None = None


EMPTY = Header()


def parse_header(octets: bytes, offset: int = 0) -> Header:
    """The header after its length octet; PduError, counted from `offset`, when an element runs over the end."""
    ies = []
    at, end = 0, len(octets)
    concat, ports, port_bits, locking, single, mwi = None, None, None, 0, 0, None
    while at < end:
        iei = octets[at]
        stop = at + 2 + (octets[at + 1] if at + 1 < end else end)
        if stop > end:
            raise PduError("an information element runs over the end of the user data header", offset + at)
        data = octets[at + 2 : stop]
        at = stop
        ies.append(Ie(iei, data))
        size = len(data)
        # An element of another size than the standard's is kept and means nothing.
        if (iei == CONCAT_8 and size == 3) or (iei == CONCAT_16 and size == 4):
            total, seq = data[-2], data[-1]
            if 0 < seq <= total:  # else to be ignored (TS 23.040 9.2.3.24.1)
                concat = Concat(int.from_bytes(data[:-2], "big"), total, seq, 8 * (size - 2))
        elif (iei == PORTS_8 and size == 2) or (iei == PORTS_16 and size == 4):
            half = size // 2
            ports = int.from_bytes(data[:half], "big"), int.from_bytes(data[half:], "big")
            port_bits = 8 * half
        elif iei in _LOCKING_SHIFTS and size == 1:
            locking = data[0] if data[0] <= _LAST_LANGUAGE else 0
        elif iei in _SINGLE_SHIFTS and size == 1:
            single = data[0] if data[0] <= _LAST_LANGUAGE else 0
        elif iei == SPECIAL_INDICATION and size == 2:
            mwi = Mwi(MWI_KINDS[data[0] & 3], data[1] > 0, bool(data[0] & 0x80), data[1])
    return Header(tuple(ies), concat, ports, port_bits, locking, single, mwi)


def build_header(ies: Iterable[Ie]) -> bytes:
    """The octets with their length first, b"" for no elements; PduError when they do not fit."""
    body = b"".join(bytes((ie.iei, len(ie.data))) + ie.data for ie in ies if _fits(ie))
    if not body:
        return b""
    if len(body) > 138:
        raise PduError("the user data header leaves no room for a message")
    return bytes((len(body),)) + body


def concat_ie(concat: Concat) -> Ie:
    """Element 00 or 08."""
    if concat.bits == 16:
        return Ie(CONCAT_16, concat.ref.to_bytes(2, "big") + bytes((concat.total, concat.seq)))
    return Ie(CONCAT_8, bytes((concat.ref, concat.total, concat.seq)))


def ports_ie(destination: int, source: int) -> Ie:
    """Element 05: 16-bit application ports."""
    return Ie(PORTS_16, destination.to_bytes(2, "big") + source.to_bytes(2, "big"))


def _fits(ie: Ie) -> bool:
    if not 0 <= ie.iei <= 255 or len(ie.data) > 138:
        raise PduError("an information element does not fit")
    return True
