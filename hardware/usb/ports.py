"""USB serial ports as the kernel shows them in sysfs, and which of them is a known modem's AT port (domain A1).

Reads only; nothing is ever written to a port to find out what it is.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path


@dataclass(frozen=True, slots=True)
class UsbPort:
    """One tty of one USB interface. Numbers as USB has them; `usb_path` such as `1-1.3` is the plug, not the stick."""

    device: str  # "/dev/ttyUSB2"
    usb_path: str
    vid: int
    pid: int
    interface: int
    triplet: tuple[int, int, int]  # bInterfaceClass, SubClass, Protocol
    serial: str | None
    product: str | None
    manufacturer: str | None

    @property
    def vid_pid(self) -> str:
        return f"{self.vid:04x}:{self.pid:04x}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plugged-in modem that can be used: the port that answers AT commands, and its name in the table."""

    family: str
    port: UsbPort


def scan(sysfs: Path = Path("/sys"), dev: Path = Path("/dev")) -> list[UsbPort]:
    """All ttys that hang on USB, in the order of plug and interface. Devices that vanish meanwhile are left out."""
    try:
        ttys = sorted((sysfs / "class" / "tty").iterdir())
    except OSError:
        return []
    found = [port for tty in ttys if (port := _usb_port(tty, dev)) is not None]
    return sorted(found, key=lambda port: (port.usb_path, port.interface, port.device))


def modems(ports: Iterable[UsbPort]) -> list[Candidate]:
    """One candidate for each USB device that the table knows as a modem; serial adapters are nobody's business."""
    devices: dict[str, list[UsbPort]] = {}
    for port in ports:
        devices.setdefault(port.usb_path, []).append(port)
    return [found for group in devices.values() if (found := _at_port(group)) is not None]


def _usb_port(tty: Path, dev: Path) -> UsbPort | None:
    try:
        interface = (tty / "device").resolve(strict=True)
        # A usb-serial tty hangs on its port device, which hangs on the interface; a CDC-ACM one on the interface.
        for folder in (interface, interface.parent):
            if (folder / "bInterfaceNumber").exists():
                interface = folder
                break
        else:
            return None
        device = interface.parent
        return UsbPort(
            device=str(dev / tty.name),
            usb_path=device.name,
            vid=_hex(device / "idVendor"),
            pid=_hex(device / "idProduct"),
            interface=_hex(interface / "bInterfaceNumber"),
            triplet=(
                _hex(interface / "bInterfaceClass"),
                _hex(interface / "bInterfaceSubClass"),
                _hex(interface / "bInterfaceProtocol"),
            ),
            serial=_text(device / "serial"),
            product=_text(device / "product"),
            manufacturer=_text(device / "manufacturer"),
        )
    except (OSError, ValueError):
        return None


def _hex(file: Path) -> int:
    return int(file.read_text().strip(), 16)


def _text(file: Path) -> str | None:
    try:
        return file.read_text(errors="replace").strip() or None
    except OSError:
        return None


def _at_port(group: list[UsbPort]) -> Candidate | None:
    first = group[0]
    entry = _table().get((first.vid, first.pid)) or _table().get((first.vid, None))
    if entry is None:
        return None
    family, rule = entry
    if rule == "triplet":
        return _by_triplet(family, group)
    wanted = int(rule, 16)
    return next((Candidate(family, port) for port in group if port.interface == wanted), None)


def _by_triplet(family: str, group: list[UsbPort]) -> Candidate | None:
    """Huawei: the PCUI interface by its class triplet; on sticks that say ff/ff/ff it is the last (domain A1.2)."""
    for port in group:
        if port.triplet in ((0xFF, 0x01, 0x02), (0xFF, 0x02, 0x02)):
            return Candidate(family, port)
    if all(port.triplet == (0xFF, 0xFF, 0xFF) for port in group):
        return Candidate(family, group[-1])
    return None


@cache
def _table() -> dict[tuple[int, int | None], tuple[str, str]]:
    text = resources.files("hardware.usb").joinpath("at_ports.csv").read_text(encoding="utf-8")
    return {
        (int(row["vid"], 16), None if row["pid"] == "*" else int(row["pid"], 16)): (row["family"], row["at"])
        for row in csv.DictReader(text.splitlines())
    }
