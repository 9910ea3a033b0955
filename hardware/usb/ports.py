"""USB devices and their serial ports as the kernel shows them in sysfs; `hardware.modem.roles` knows the modems.

Reads only; nothing is ever written to a port to find out what it is. A device that comes or goes while it is looked at
is left out or lacks a port, and is whole at the next look. Blocking, for a millisecond or two.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SYSFS: Final = Path("/sys")
DEV: Final = Path("/dev")
HUB_CLASS: Final = 0x09  # bDeviceClass (USB 2.0 11.23.1)


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
    driver: str | None = None  # of the interface: "option", "cdc_acm", "ch341"

    @property
    def vid_pid(self) -> str:
        return f"{self.vid:04x}:{self.pid:04x}"


@dataclass(frozen=True, slots=True)
class UsbInterface:
    """One interface of the active configuration; `driver` is None while the kernel has none for it."""

    number: int
    triplet: tuple[int, int, int]
    driver: str | None


@dataclass(frozen=True, slots=True)
class UsbDevice:
    """What is in one plug. Everything it says of itself is hostile text."""

    path: str  # "1-1.3": the plug, not the stick
    vid: int
    pid: int
    bus: int
    address: int  # a replug, a reset by its own firmware and a mode switch change it
    serial: str | None
    product: str | None
    manufacturer: str | None
    configuration: int | None  # None: not configured, by its fault or for want of power
    interfaces: tuple[UsbInterface, ...]
    ports: tuple[UsbPort, ...]  # its ttys, by interface

    @property
    def key(self) -> tuple[str, int, int]:
        """One stay in one plug: never the same for two of them that follow each other."""
        return self.path, self.bus, self.address

    @property
    def vid_pid(self) -> str:
        return f"{self.vid:04x}:{self.pid:04x}"


def devices(sysfs: Path = SYSFS, dev: Path = DEV) -> list[UsbDevice]:
    """What is plugged in, all but hubs, in the order of the plugs."""
    home = sysfs / "bus" / "usb" / "devices"
    try:
        names = [name for name in os.listdir(home) if is_plug(name)]
    except OSError:
        return []
    found = (read_device(home / name, dev) for name in sorted(names, key=path_order))
    return [device for device in found if device is not None]


def scan(sysfs: Path = SYSFS, dev: Path = DEV) -> list[UsbPort]:
    """All ttys that hang on USB, in the order of plug and interface."""
    return [port for device in devices(sysfs, dev) for port in device.ports]


def is_plug(name: str) -> bool:
    """Whether an entry of /sys/bus/usb/devices is a plug: not an interface (`1-1:1.0`), not a root hub (`usb1`)."""
    return _PLUG.fullmatch(name) is not None


def path_order(path: str) -> tuple[int, ...]:
    """Sorts 1-1.10 behind 1-1.9."""
    return tuple(int(number) for number in re.findall(r"\d+", path))


def read_device(folder: Path, dev: Path = DEV) -> UsbDevice | None:
    """The device below one plug's folder; None for a hub, and for what is not there, not yet or no longer."""
    path = folder.name
    try:
        if _hex(folder / "bDeviceClass") == HUB_CLASS:
            return None
        vid, pid = _hex(folder / "idVendor"), _hex(folder / "idProduct")
        bus, address = _decimal(folder / "busnum"), _decimal(folder / "devnum")
        names = [name for name in os.listdir(folder) if name.startswith(path + ":")]
    except (OSError, ValueError):
        return None
    serial, product, manufacturer = (_text(folder / name) for name in ("serial", "product", "manufacturer"))
    interfaces: list[UsbInterface] = []
    ports: list[UsbPort] = []
    for name in names:
        interface = _interface(folder / name)
        if interface is None:
            continue
        interfaces.append(interface)
        number, triplet, driver = interface.number, interface.triplet, interface.driver
        ports += [
            UsbPort(str(dev / tty), path, vid, pid, number, triplet, serial, product, manufacturer, driver)
            for tty in _ttys(folder / name)
        ]
    interfaces.sort(key=lambda interface: interface.number)
    ports.sort(key=lambda port: (port.interface, path_order(port.device), port.device))
    configuration = _configuration(folder)
    return UsbDevice(
        path, vid, pid, bus, address, serial, product, manufacturer, configuration, tuple(interfaces), tuple(ports)
    )


_PLUG = re.compile(r"\d+-\d+(\.\d+)*", re.ASCII)


def _interface(folder: Path) -> UsbInterface | None:
    try:
        number = _hex(folder / "bInterfaceNumber")
        triplet = (
            _hex(folder / "bInterfaceClass"),
            _hex(folder / "bInterfaceSubClass"),
            _hex(folder / "bInterfaceProtocol"),
        )
    except (OSError, ValueError):
        return None
    try:
        driver: str | None = os.path.basename(os.readlink(folder / "driver"))
    except OSError:
        driver = None
    return UsbInterface(number, triplet, driver)


def _ttys(interface: Path) -> list[str]:
    """A CDC-ACM tty hangs on its interface (`tty/ttyACM0`), a usb-serial one on a port (`ttyUSB0/tty/ttyUSB0`)."""
    found: list[str] = []
    for name in _listed(interface):
        if name == "tty":
            found += _listed(interface / "tty")
        elif name.startswith("tty"):
            found += _listed(interface / name / "tty")
    return found


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _configuration(folder: Path) -> int | None:
    try:
        return _decimal(folder / "bConfigurationValue") or None
    except (OSError, ValueError):
        return None


def _hex(file: Path) -> int:
    return int(_octets(file), 16)


def _decimal(file: Path) -> int:
    return int(_octets(file))


def _text(file: Path) -> str | None:
    try:
        return _octets(file).decode(errors="replace").strip() or None
    except OSError:
        return None


def _octets(file: Path) -> bytes:
    """A sysfs attribute, which is one page at most; a third of what Path.read_text costs."""
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 4096)
    finally:
        os.close(descriptor)
