"""USB devices and their serial ports as the kernel shows them in sysfs; `hardware.modem.roles` knows the modems.

Reads only; nothing is ever written to a port to find out what it is. A device that comes or goes while it is looked at
is left out or lacks a port, and is whole at the next look. Blocking, for a millisecond or two.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")

SYSFS: Final = Path("/sys")
DEV: Final = Path("/dev")
HUB_CLASS: Final = 0x09  # bDeviceClass (USB 2.0 11.23.1)
# What says that we lack something, and not that a device does.
OURS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})


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
        names = sorted((name for name in os.listdir(home) if is_plug(name)), key=path_order)
        found = [read_device(home / name, dev) for name in names]
    except OSError:
        return []
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


def is_hub(folder: Path) -> bool:
    """Whether a plug's folder is a hub's. Raises OSError as `read_device` does."""
    try:
        return _hex(folder / "bDeviceClass") == HUB_CLASS
    except ValueError:
        return False
    except OSError as error:
        return absent(error, False)


def read_device(folder: Path, dev: Path = DEV) -> UsbDevice | None:
    """The device of one plug's folder; None for a hub, and for what is not there, half built or replaced meanwhile.

    Raises OSError only for our own want (of descriptors, of memory), which says nothing about the device.
    Blocks while the kernel holds the device, which a probe or a reset that hangs does for seconds.
    """
    path = folder.name
    try:
        if _hex(folder / "bDeviceClass") == HUB_CLASS:
            return None
        vid, pid = _hex(folder / "idVendor"), _hex(folder / "idProduct")
        bus, address = _decimal(folder / "busnum"), _decimal(folder / "devnum")
        names = [name for name in os.listdir(folder) if name.startswith(path + ":")]
        serial, product, manufacturer = (_text(folder / name) for name in ("serial", "product", "manufacturer"))
        configuration = _configuration(folder)
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
        if _decimal(folder / "devnum") != address:
            return None
    except ValueError:
        return None
    except OSError as error:
        return absent(error, None)
    interfaces.sort(key=lambda interface: interface.number)
    ports.sort(key=lambda port: (port.interface, path_order(port.device), port.device))
    return UsbDevice(
        path, vid, pid, bus, address, serial, product, manufacturer, configuration, tuple(interfaces), tuple(ports)
    )


def absent(error: OSError, value: T) -> T:
    """`value` for what is not there or cannot be read; our own want is raised."""
    if error.errno in OURS:
        raise error
    return value


_PLUG = re.compile(r"\d+-\d+(\.\d+)*", re.ASCII)


def _interface(folder: Path) -> UsbInterface | None:
    try:
        number = _hex(folder / "bInterfaceNumber")
        triplet = (
            _hex(folder / "bInterfaceClass"),
            _hex(folder / "bInterfaceSubClass"),
            _hex(folder / "bInterfaceProtocol"),
        )
    except ValueError:
        return None
    except OSError as error:
        return absent(error, None)
    try:
        driver: str | None = os.path.basename(os.readlink(folder / "driver"))
    except OSError as error:
        driver = absent(error, None)
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
    except OSError as error:
        return absent(error, [])


def _configuration(folder: Path) -> int | None:
    try:
        return _decimal(folder / "bConfigurationValue") or None
    except ValueError:
        return None
    except OSError as error:
        return absent(error, None)


def _hex(file: Path) -> int:
    return int(_octets(file), 16)


def _decimal(file: Path) -> int:
    return int(_octets(file))


def _text(file: Path) -> str | None:
    try:
        return _octets(file).decode(errors="replace").strip() or None
    except OSError as error:
        return absent(error, None)


def _octets(file: Path) -> bytes:
    """A sysfs attribute, which is one page at most; a third of what Path.read_text costs."""
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 4096)
    finally:
        os.close(descriptor)
