"""TP-Validity-Period (TS 23.040 9.2.3.12)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from hardware.pdu.errors import PduError
from hardware.pdu.timestamp import BCD, read_timestamp, write_timestamp

FORMATS = ("none", "enhanced", "relative", "absolute")  # TP-VPF 0 to 3


@dataclass(slots=True)
class Validity:
    """How long the network keeps trying: `seconds` from acceptance, or `until` a moment; both None: its default."""

    format: str = "none"  # one of FORMATS
    seconds: int | None = None
    until: datetime | None = None
    octet: int | None = None  # the relative octet as it came
    single_shot: bool = False  # enhanced only: one attempt


NONE = Validity()


def read_validity(vpf: int, data: bytes, at: int) -> tuple[Validity, int]:
    """The field for a TP-VPF and where the next one starts. PduError, IndexError."""
    if vpf == 0:
        return NONE, at
    if vpf == 2:
        octet = data[at]
        return Validity("relative", relative_seconds(octet), None, octet), at + 1
    if len(data) < at + 7:
        raise PduError("the validity period is cut short", len(data))
    if vpf == 3:
        return Validity("absolute", None, read_timestamp(data, at)), at + 7
    return Validity("enhanced", _enhanced_seconds(data, at), None, None, bool(data[at] & 0x40)), at + 7


def relative_seconds(octet: int) -> int:
    """5 minutes to 63 weeks."""
    if octet < 144:
        return (octet + 1) * 300
    if octet < 168:
        return 43200 + (octet - 143) * 1800
    if octet < 197:
        return (octet - 166) * 86400
    return (octet - 192) * 604800


def relative_octet(seconds: float) -> int:
    """The shortest period that is not shorter than asked, at most 63 weeks; PduError unless positive."""
    if not seconds > 0:  # nor NaN
        raise PduError("a validity period is positive")
    low, high = 0, 255
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if relative_seconds(middle) >= seconds else (middle + 1, high)
    return low


def write_absolute(until: datetime) -> bytes:
    """TP-VPF 3."""
    return write_timestamp(until)


def write_enhanced(validity: timedelta, *, single_shot: bool = False) -> bytes:
    """TP-VPF 1: whole seconds up to 255, HH:MM:SS below 100 hours, else the relative octet."""
    seconds = round(validity.total_seconds())
    first = 0x40 if single_shot else 0
    if 0 < seconds <= 255:
        return bytes((first | 2, seconds)) + bytes(5)
    if 0 < seconds < 360000:
        digits = f"{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}"
        return bytes((first | 3, *(int(digits[at + 1] + digits[at], 16) for at in (0, 2, 4)))) + bytes(3)
    return bytes((first | 1, relative_octet(seconds))) + bytes(5)


def _enhanced_seconds(data: bytes, at: int) -> int | None:
    # With the extension bit the indicators go on; the period stands after the last of them.
    start, last = at, at
    while data[last] & 0x80 and last < at + 6:
        last += 1
    form = data[start] & 7
    value = data[last + 1 : at + 7]
    if form == 1 and value:
        return relative_seconds(value[0])
    if form == 2 and value and value[0]:
        return value[0]
    if form == 3 and len(value) >= 3:
        hours, minutes, seconds = clock = value[:3].translate(BCD)
        if max(clock) > 99:
            raise PduError("the validity period has a digit that is none", last + 1)
        return hours * 3600 + minutes * 60 + seconds
    return None
