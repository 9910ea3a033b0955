"""Which modem is this: by its IMEI, else by what else stays the same; and what it is called. Pure."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from hardware.usb.ports import UsbDevice

__all__ = ["How", "Identity", "free_name", "identify", "is_real_imei", "is_real_serial", "slug"]

LONGEST_SLUG: Final = 26  # with `-` and a number it fits into a name of 32
SHORTEST_SERIAL: Final = 6

# What makers leave in: no identity (domain A1: a USB serial may be "0000").
_NO_SERIALS: Final = frozenset({"0123456789abcdef", "1234567890abcdef", "123456789abcdef", "1234567890abcde"})
_NO_IMEIS: Final = frozenset({"012345678901234", "123456789012345", "004999010640000", "135790246811220"})


class How(StrEnum):
    """What a modem is known by."""

    IMEI = "imei"
    SERIAL = "usb_serial"
    PLUG = "usb_path"


@dataclass(frozen=True, slots=True)
class Identity:
    """`key` stays the same for as long as the modem lives; with `PLUG`, for as long as it stays in its plug."""

    key: str
    imei: str | None
    how: How


def identify(imei: str | None, device: UsbDevice, others: Iterable[UsbDevice]) -> Identity:
    """`others`: what else is plugged in. A USB serial counts only if no other of that kind has the same."""
    if is_real_imei(imei):
        assert imei is not None
        return Identity(imei, imei, How.IMEI)
    serial = device.serial
    if is_real_serial(serial) and not any(
        other.vid_pid == device.vid_pid and other.serial == serial for other in others
    ):
        return Identity(f"serial:{device.vid_pid}:{serial}", None, How.SERIAL)
    return Identity(f"plug:{device.path}", None, How.PLUG)


def is_real_imei(imei: str | None) -> bool:
    """Fifteen digits that are not just there to fill the place."""
    return imei is not None and len(set(imei)) > 2 and imei not in _NO_IMEIS


def is_real_serial(serial: str | None) -> bool:
    """A USB serial that tells one stick from another."""
    if serial is None or len(serial) < SHORTEST_SERIAL or serial.lower() in _NO_SERIALS:
        return False
    return len(set(serial)) > 2 and any(letter.isdigit() for letter in serial)


def slug(family: str | None) -> str:
    """`Quectel EC25` as it may stand in a topic: `quectel-ec25`."""
    plain = re.sub(r"[^a-z0-9]+", "-", (family or "").lower()).strip("-")
    return plain[:LONGEST_SLUG].strip("-") or "modem"


def free_name(family: str | None, taken: Container[str]) -> str:
    """`<family>-<n>` with the lowest n that is free."""
    base, number = slug(family), 1
    while f"{base}-{number}" in taken:
        number += 1
    return f"{base}-{number}"
