"""TP-Service-Centre-Time-Stamp and its kin (TS 23.040 9.2.3.11)."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from hardware.pdu.address import SWAP
from hardware.pdu.errors import PduError

_QUARTER = timedelta(minutes=15)
_INVALID = 255

# Octet of two swapped decimal digits to its value.
BCD = bytes(
    (octet & 15) * 10 + (octet >> 4) if octet & 15 < 10 and octet >> 4 < 10 else _INVALID for octet in range(256)
)
_ABSENT = b"\xff" * 7


def _zones() -> tuple[timezone, ...]:
    # The zone octet counts quarters of an hour; bit 3 is the sign.
    return tuple(
        timezone((-_QUARTER if octet & 8 else _QUARTER) * ((octet & 7) * 10 + (octet >> 4))) for octet in range(256)
    )


_ZONES = _zones()
# Centuries: 70 to 89 are clocks that were never set (the Unix and GPS epochs), no SMS is that old.
_YEARS = tuple((1900 if 70 <= year < 90 else 2000) + year for year in range(100))


def read_timestamp(data: bytes, at: int, *, any_zone: bool = False) -> datetime | None:
    """The 7 octets at `at`: aware, or None for a date that does not exist; PduError for digits that are none.

    `any_zone`: a zone of ten quarters and more in one digit counts too, as service centres write it in reports (A0).
    """
    octets = data[at : at + 7]
    values = octets.translate(BCD)
    try:
        year, month, day, hour, minute, second, _ = values
        if octets[6] >> 4 < 10 or any_zone:
            return datetime(_YEARS[year], month, day, hour, minute, second, tzinfo=_ZONES[octets[6]])
    except (ValueError, IndexError):
        pass
    if len(octets) < 7:
        raise PduError("the time stamp is cut short", len(data))
    if octets == _ABSENT:
        return None
    if _INVALID in values[:6]:
        raise PduError("the time stamp has a digit that is none", at + values.index(_INVALID))
    if octets[6] >> 4 > 9 and not any_zone:
        raise PduError("the time stamp has a zone that is none", at + 6)
    return None


def write_timestamp(moment: datetime) -> bytes:
    """7 octets; PduError for a naive time, or a zone that is no whole number of quarters."""
    offset = moment.utcoffset()
    if offset is None:
        raise PduError("a time stamp needs its zone")
    quarters, rest = divmod(abs(offset), _QUARTER)
    if rest or quarters > 79:
        raise PduError("the zone is no whole number of quarters of an hour below 20 hours")
    octets = bytes.fromhex(f"{moment:%y%m%d%H%M%S}{quarters:02d}").translate(SWAP)
    return octets[:6] + bytes((octets[6] | (8 if offset < timedelta(0) else 0),))
