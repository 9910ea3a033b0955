"""Which hub and port a plug is, whether the hub can take its current away, and what would lose it too (domain A13).

Reads sysfs and asks hubs for their descriptor. Blocking.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from hardware.usb import usbfs
from hardware.usb.ports import DEV, SYSFS, is_hub, is_plug, path_order

MODEL: Final = Path("firmware") / "devicetree" / "base" / "model"
BOARD: Final = "Raspberry Pi"
# Hubs and network chips that are soldered to a Raspberry Pi, and where; its sockets have one switch for all of them.
BOARD_CHIPS: Final = frozenset(
    {
        ("0424:9512", "1-1"),  # B
        ("0424:9514", "1-1"),  # B+, 2B, 3B
        ("0424:ec00", "1-1.1"),
        ("2109:3431", "1-1"),  # 4B; the 5 has its sockets on root hubs alone
    }
)
BOARD_CHIPS_3B_PLUS: Final = frozenset(  # the same hub chip is in many hubs that people plug in
    {("0424:2514", "1-1"), ("0424:2514", "1-1.1"), ("0424:7800", "1-1.1.1")}
)
STORAGE_CLASS: Final = "08"
SUPERSPEED: Final = 5000.0  # Mbit/s
UNUSED_NETWORK: Final = frozenset({"down", "notpresent", ""})


class Switching(StrEnum):
    """How a hub switches the current of its ports (wHubCharacteristics, USB 2.0 11.23.2.1)."""

    INDIVIDUAL = "individual"
    GANGED = "ganged"
    NONE = "none"
    UNKNOWN = "unknown"  # it switches, but will not tell us whether each port or all at once


@dataclass(frozen=True, slots=True)
class PortPower:
    """What can be done to the current of one plug; `files` switch it in sysfs, all of them together."""

    path: str
    hub: str  # "1-1", or "usb1" for the machine's own sockets
    port: int
    switching: Switching
    files: tuple[Path, ...]
    shared: tuple[str, ...]  # plugs with something in them that lose their current too
    harmed: str | None  # why the others must not lose it: "a disk at 1-1.2"


def parent_of(path: str) -> tuple[str, int]:
    """Hub and port of a plug: 1-1.3 is port 3 of 1-1, 1-2 is port 2 of usb1."""
    head, dot, port = path.rpartition(".")
    if dot:
        return head, int(port)
    bus, _, port = path.partition("-")
    return f"usb{bus}", int(port)


def characteristics(descriptor: bytes) -> Switching:
    """The logical power switching mode that a hub descriptor claims."""
    if len(descriptor) < 5 or descriptor[1] not in (usbfs.HUB_DESCRIPTOR, usbfs.SUPERSPEED_HUB_DESCRIPTOR):
        return Switching.UNKNOWN
    mode = descriptor[3] & 0b11
    return {0: Switching.GANGED, 1: Switching.INDIVIDUAL}.get(mode, Switching.NONE)


def port_power(path: str, sysfs: Path = SYSFS, dev: Path = DEV, ioctl: usbfs.Ioctl = fcntl.ioctl) -> PortPower | None:
    """What is known of a plug, with a device in it or without; None: there is no such plug."""
    if not is_plug(path):
        return None
    hubs = _Hubs(sysfs, dev, ioctl)
    hub, port = parent_of(path)
    if not hubs.exists(hub):
        return None
    switching = hubs.switching(hub, port)
    own = hubs.switches(hub, port)
    if switching in (Switching.INDIVIDUAL, Switching.NONE):
        return PortPower(path, hub, port, switching, own, (), None)
    gang = hubs.board() if hubs.on_board(hub) else hubs.twins(hub)
    files = sorted({file for member in gang for file in hubs.gang_switches(member)} | set(own))
    shared = sorted({below for member in gang for below in hubs.below(member)} - {path}, key=path_order)
    harmed = next((reason for other in shared if (reason := hubs.harm(other)) is not None), None)
    return PortPower(path, hub, port, switching, tuple(files), tuple(shared), harmed)


class _Hubs:
    """One look at the hubs of a machine."""

    def __init__(self, sysfs: Path, dev: Path, ioctl: usbfs.Ioctl) -> None:
        self._home = sysfs / "bus" / "usb" / "devices"
        self._dev = dev
        self._ioctl = ioctl
        model = _text(sysfs / MODEL)
        self._is_pi = model.startswith(BOARD)
        self._chips = BOARD_CHIPS_3B_PLUS if "3 Model B Plus" in model else BOARD_CHIPS

    def exists(self, hub: str) -> bool:
        return (self._home / hub).exists()

    def all(self) -> list[str]:
        names = [name for name in _listed(self._home) if name.startswith("usb") or is_plug(name)]
        return sorted((name for name in names if is_hub(self._home / name)), key=lambda name: (path_order(name), name))

    def on_board(self, hub: str) -> bool:
        """Whether a Raspberry Pi's own switch feeds this hub's sockets, whatever the hub says of itself."""
        return self._is_pi and (hub.startswith("usb") or self._soldered(hub))

    def board(self) -> list[str]:
        return [hub for hub in self.all() if self.on_board(hub)]

    def twins(self, hub: str) -> list[str]:
        """A hub and its other half: USB 3 hubs are two, and the current stops when both have switched it off."""
        found = {hub}
        for port in self._ports(hub):
            peer = os.path.realpath(port / "peer")
            if (port / "peer").exists():
                found.add(os.path.basename(os.path.dirname(os.path.dirname(peer))))
        return sorted(found)

    def switching(self, hub: str, port: int) -> Switching:
        if self.on_board(hub):
            return Switching.GANGED
        folder = self._home / hub
        try:
            bus, address = int(_text(folder / "busnum")), int(_text(folder / "devnum"))
            node = self._dev / "bus" / "usb" / f"{bus:03d}" / f"{address:03d}"
            superspeed = float(_text(folder / "speed") or "0") >= SUPERSPEED
            return characteristics(usbfs.hub_descriptor(node, superspeed=superspeed, ioctl=self._ioctl))
        except (OSError, ValueError):
            pass
        # The kernel offers this file where the hub switches at all, and only with power management built in.
        place = self._port(hub, port)
        if place is None or (place / "power" / "pm_qos_no_power_off").exists():
            return Switching.UNKNOWN
        return Switching.NONE if (place / "power" / "runtime_status").exists() else Switching.UNKNOWN

    def switches(self, hub: str, port: int) -> tuple[Path, ...]:
        """The files that switch one port: its own, and the one of its other half."""
        place = self._port(hub, port)
        if place is None:
            return ()
        return tuple(
            sorted(
                Path(os.path.realpath(folder)) / "disable"
                for folder in (place, place / "peer")
                if (folder / "disable").exists()
            )
        )

    def gang_switches(self, hub: str) -> list[Path]:
        """Those of all ports of a hub, but not of ports that something is soldered to."""
        found: list[Path] = []
        for port in self._ports(hub):
            device = os.path.basename(os.path.realpath(port / "device"))
            if (port / "device").exists() and self._fixed(device):
                continue
            number = int(port.name.rpartition("port")[2])
            found += self.switches(hub, number)
        return found

    def below(self, hub: str) -> list[str]:
        """All plugs at any depth below a hub that have something in them, hubs aside, soldered chips too."""
        prefix = f"{hub.removeprefix('usb')}-" if hub.startswith("usb") else f"{hub}."
        names = [name for name in _listed(self._home) if name.startswith(prefix) and is_plug(name)]
        return [name for name in names if not is_hub(self._home / name) and not self._fixed(name)]

    def harm(self, path: str) -> str | None:
        """What else than a modem it is that must not lose its current."""
        interfaces = [self._home / path / name for name in _listed(self._home / path) if name.startswith(f"{path}:")]
        has_tty = any(name.startswith("tty") for interface in interfaces for name in _listed(interface))
        for interface in interfaces:
            if _text(interface / "bInterfaceClass") == STORAGE_CLASS and not has_tty:
                return f"a disk at {path}"
            for network in _listed(interface / "net"):
                if _text(interface / "net" / network / "operstate") not in UNUSED_NETWORK:
                    return f"the network adapter {network} at {path}"
        return None

    def _soldered(self, path: str) -> bool:
        folder = self._home / path
        chip = f"{_text(folder / 'idVendor')}:{_text(folder / 'idProduct')}"
        return self._is_pi and (chip, path) in self._chips

    def _fixed(self, path: str) -> bool:
        """Whether nobody could pull it: then the switch of the sockets is not its own."""
        return _text(self._home / path / "removable") == "fixed" or self._soldered(path)

    def _ports(self, hub: str) -> list[Path]:
        folder = self._home / hub
        return [
            port
            for interface in _listed(folder)
            if ":" in interface
            for name in sorted(_listed(folder / interface))
            if re.fullmatch(rf"{re.escape(hub)}-port\d+", name)
            for port in (folder / interface / name,)
        ]

    def _port(self, hub: str, number: int) -> Path | None:
        return next((port for port in self._ports(hub) if port.name == f"{hub}-port{number}"), None)


def _listed(folder: Path) -> Iterable[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _text(file: Path) -> str:
    try:
        return file.read_bytes()[:256].decode(errors="replace").strip("\0\n ")
    except OSError:
        return ""
