"""Cutting a message into parts: never inside an escape pair or a surrogate pair."""

from __future__ import annotations

from hardware.pdu.errors import PduError
from hardware.pdu.tables.national import ESCAPE

MAX_PARTS = 255
UD_OCTETS = 140


def septet_room(header: int) -> int:
    """Septets beside a header of so many octets, its length octet included."""
    return (UD_OCTETS - header) * 8 // 7


def ucs2_room(header: int) -> int:
    """Octets, always even."""
    return UD_OCTETS - header & ~1


def cut_septets(septets: bytes, room: int) -> list[bytes]:
    """At most `room` septets a piece; PduError for more than 255 pieces."""
    _check_room(room, 2)
    pieces = []
    start, total = 0, len(septets)
    while total - start > room:
        end = start + room
        if septets[end - 1] == ESCAPE:
            end -= 1
        pieces.append(septets[start:end])
        start = end
    pieces.append(septets[start:])
    return _checked(pieces)


def cut_ucs2(octets: bytes, room: int) -> list[bytes]:
    """At most `room` (even) octets of UTF-16BE a piece; PduError for more than 255 pieces."""
    _check_room(room, 4)
    pieces = []
    start, total = 0, len(octets)
    while total - start > room:
        end = start + room
        if octets[end - 2] & 0xFC == 0xD8:  # a high surrogate
            end -= 2
        pieces.append(octets[start:end])
        start = end
    pieces.append(octets[start:])
    return _checked(pieces)


def cut_octets(octets: bytes, room: int) -> list[bytes]:
    """At most `room` octets a piece; PduError for more than 255 pieces."""
    _check_room(room, 1)
    return _checked([octets[start : start + room] for start in range(0, len(octets), room)] or [b""])


def _check_room(room: int, least: int) -> None:
    if room < least:
        raise PduError("the user data header leaves no room for a message")


def _checked(pieces: list[bytes]) -> list[bytes]:
    if len(pieces) > MAX_PARTS:
        raise PduError("the message needs more than 255 parts")
    return pieces
