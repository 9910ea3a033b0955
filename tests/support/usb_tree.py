"""A sysfs and a /dev laid out as the kernel lays them out, with USB devices that come, go, move and change.

Read off Linux 6.1 to 6.18 (drivers/usb/core, usb-serial, cdc-acm). Ports are links to ptys, if one is given.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

Triplet = str | tuple[int, int, int]
Interface = tuple[int, Triplet, str | None, str | None]  # number, class triplet, driver, a pty or None

TTY_PREFIX = {"cdc_acm": "ttyACM"}  # all usb-serial drivers share ttyUSB
NO_TTY = {"qmi_wwan", "cdc_mbim", "cdc_ether", "cdc_ncm", "rndis_host", "huawei_cdc_ncm", "usb-storage", "usbhid"}
NO_TTY |= {"snd-usb-audio", "uas", "btusb", "hub"}
TTY_MAJOR = {"ttyUSB": 188, "ttyACM": 166}
LAST_ADDRESS = 127
QUECTEL: list[Interface] = [(number, "ff/00/00", "option", None) for number in range(4)]


@dataclass
class _Plugged:
    vid: int
    pid: int
    serial: str | None
    product: str | None
    manufacturer: str | None
    configuration: int | None
    interfaces: dict[int, Interface] = field(default_factory=dict)
    ttys: dict[int, str] = field(default_factory=dict)  # interface → "ttyUSB0"


class FakeUsb:
    """The tree is below `root`/sys and `root`/dev. Each change is told to `uevents`, a datagram socket, if given."""

    def __init__(self, root: Path, *, uevents: socket.socket | None = None) -> None:
        self.sysfs = root / "sys"
        self.dev = root / "dev"
        self.uevents = uevents
        self.held: set[str] = set()  # ttys that somebody still has open though their device is gone
        self._devices = self.sysfs / "devices" / "platform" / "usb-host"
        self._plugged: dict[str, _Plugged] = {}
        self._addresses: dict[int, int] = {}
        self._sequence = 0
        for folder in ("bus/usb/devices", "bus/usb/drivers", "bus/usb-serial/devices", "class/tty"):
            (self.sysfs / folder).mkdir(parents=True, exist_ok=True)
        self.dev.mkdir(parents=True, exist_ok=True)

    def model(self, name: str) -> None:
        """What kind of machine it is, such as `Raspberry Pi 4 Model B Rev 1.4`."""
        file = self.sysfs / "firmware" / "devicetree" / "base" / "model"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name + "\0")

    def hub(
        self,
        path: str,
        vid: int = 0x1D6B,
        pid: int = 0x0002,
        *,
        ports: int = 4,
        switches: bool = True,
        kernel6: bool = True,
        speed: int = 480,
    ) -> None:
        """A hub in a plug, or a root hub (`usb1`); `switches`: its ports' current, `kernel6`: by sysfs."""
        text = {"idVendor": f"{vid:04x}", "idProduct": f"{pid:04x}", "bDeviceClass": "09", "product": "Hub"}
        if not path.startswith("usb"):
            self._make_hubs(path)
        self._make_device(path, text | {"speed": str(speed)})
        interface = f"{_bus(path)}-0:1.0" if path.startswith("usb") else f"{path}:1.0"
        self._make_interface(self.folder(path) / interface, 0, (9, 0, 0))
        for number in range(1, ports + 1):
            port = self.folder(path) / interface / f"{path}-port{number}"
            (port / "power").mkdir(parents=True)
            (port / "power" / "runtime_status").write_text("active\n")
            if switches:
                (port / "power" / "pm_qos_no_power_off").write_text("1\n")
            if kernel6:
                (port / "disable").write_text("0\n")
        if not path.startswith("usb"):
            self._join_port(path)

    def port(self, path: str) -> Path:
        """The hub port that a plug is."""
        head, dot, number = path.rpartition(".")
        bus, _, root_number = path.partition("-")
        hub, number = (head, number) if dot else (f"usb{bus}", root_number)
        interface = f"{bus}-0:1.0" if hub.startswith("usb") else f"{hub}:1.0"
        return self.folder(hub) / interface / f"{hub}-port{number}"

    def peers(self, path: str, other: str) -> None:
        """Two plugs are the halves of one USB 3 socket."""
        _link(self.port(path) / "peer", self.port(other))
        _link(self.port(other) / "peer", self.port(path))

    def plug(
        self,
        path: str,
        vid: int,
        pid: int,
        interfaces: Iterable[Interface] = (),
        *,
        serial: str | None = None,
        product: str | None = "Modem",
        manufacturer: str | None = "Maker",
        configuration: int | None = 1,
    ) -> list[Path]:
        """Put a device into a plug; its device nodes, by interface. Hubs on the way are made."""
        assert path not in self._plugged, f"{path} is taken"
        self._make_hubs(path)
        self._plugged[path] = _Plugged(vid, pid, serial, product, manufacturer, configuration)
        text = {"idVendor": f"{vid:04x}", "idProduct": f"{pid:04x}", "bDeviceClass": "00"}
        text |= {name: value for name, value in (("serial", serial), ("product", product)) if value is not None}
        if manufacturer is not None:
            text["manufacturer"] = manufacturer
        text["bConfigurationValue"] = "" if configuration is None else str(configuration)
        self._make_device(path, text)
        self._join_port(path)
        for interface in interfaces:
            self.add_port(path, interface)
        return self.nodes(path)

    def unplug(self, path: str, *, held: Sequence[str] = ()) -> None:
        """Pull a device. The ttys in `held` are still open somewhere: their numbers stay taken until `release`."""
        device = self._plugged.pop(path)
        self.held.update(held)
        folder = self.folder(path)
        for number in list(device.ttys):
            self._drop_tty(folder / self._interface_name(path, number, device), device, number)
        for number in device.interfaces:
            self._unlink(self.sysfs / "bus/usb/devices" / self._interface_name(path, number, device))
        self._unlink(self.sysfs / "bus/usb/devices" / path)
        self._unlink(self.port(path) / "device")
        shutil.rmtree(folder)
        self._tell("remove", folder, "usb", DEVTYPE="usb_device")

    def release(self, tty: str) -> None:
        """The last one who had this lost tty open has closed it."""
        self.held.discard(tty)

    def move(self, path: str, target: str) -> list[Path]:
        """Pull a device and put it into another plug (or the same again)."""
        device = self._plugged[path]
        self.unplug(path)
        return self.plug(
            target,
            device.vid,
            device.pid,
            device.interfaces.values(),
            serial=device.serial,
            product=device.product,
            manufacturer=device.manufacturer,
            configuration=device.configuration,
        )

    def add_port(self, path: str, interface: Interface) -> Path | None:
        """One more interface, or the driver of one that is there; the device node, if it has one."""
        device = self._plugged[path]
        number, triplet, driver, target = interface
        folder = self.folder(path) / self._interface_name(path, number, device)
        if number not in device.interfaces:
            self._make_interface(folder, number, triplet)
        device.interfaces[number] = interface
        if driver is None:
            return None
        home = self.sysfs / "bus/usb/drivers" / driver
        home.mkdir(exist_ok=True)
        (folder / "driver").unlink(missing_ok=True)
        _link(folder / "driver", home)
        self._tell("bind", folder, "usb", DEVTYPE="usb_interface", DRIVER=driver)
        if driver in NO_TTY or (driver == "cdc_acm" and _octets(triplet)[0] == "0a"):  # the data half of an ACM pair
            return None
        device.ttys[number] = self._make_tty(folder, driver, target)
        return self.dev / device.ttys[number]

    def drop_port(self, path: str, number: int) -> None:
        """One interface loses its driver, and with it its tty, as when somebody unbinds it."""
        device = self._plugged[path]
        folder = self.folder(path) / self._interface_name(path, number, device)
        if number in device.ttys:
            self._drop_tty(folder, device, number)
        self._unlink(folder / "driver")
        interface = device.interfaces[number]
        device.interfaces[number] = (number, interface[1], None, None)
        self._tell("unbind", folder, "usb", DEVTYPE="usb_interface")

    def nodes(self, path: str) -> list[Path]:
        """The device nodes of a plug, by interface."""
        ttys = self._plugged[path].ttys
        return [self.dev / ttys[number] for number in sorted(ttys)]

    def folder(self, path: str) -> Path:
        """The plug's true folder, through its hubs (…/usb1/1-1/1-1.3); the root hub's for `usb1`."""
        if path.startswith("usb"):
            return self._devices / path
        folder = self._devices / f"usb{_bus(path)}"
        ports = path.partition("-")[2].split(".")
        for depth in range(len(ports)):
            folder /= f"{_bus(path)}-{'.'.join(ports[: depth + 1])}"
        return folder

    def _make_hubs(self, path: str) -> None:
        bus = _bus(path)
        ports = path.partition("-")[2].split(".")
        for name in (f"usb{bus}", *(f"{bus}-{'.'.join(ports[:depth])}" for depth in range(1, len(ports)))):
            if self.folder(name).exists():
                continue
            self.hub(name)

    def _join_port(self, path: str) -> None:
        port = self.port(path)
        if port.exists():
            _link(port / "device", self.folder(path))
            _link(self.folder(path) / "port", port)

    def _make_device(self, name: str, text: dict[str, str]) -> None:
        bus = _bus(name)
        # Addresses go round: the one that was freed is not the next to be given.
        self._addresses[bus] = self._addresses.get(bus, 0) % LAST_ADDRESS + 1
        address = self._addresses[bus]
        folder = self.folder(name)
        (folder / "power").mkdir(parents=True)
        node = self.dev / "bus" / "usb" / f"{bus:03d}" / f"{address:03d}"
        node.parent.mkdir(parents=True, exist_ok=True)
        node.touch()
        text = {"busnum": str(bus), "devnum": str(address), "bConfigurationValue": "1", "authorized": "1"} | text
        text = {"power/control": "auto", "power/autosuspend_delay_ms": "2000", "power/runtime_status": "active"} | text
        text = {"uevent": "DEVTYPE=usb_device", "removable": "removable", "speed": "480"} | text
        for file, value in text.items():
            (folder / file).write_text(value + "\n")
        _link(folder / "subsystem", self.sysfs / "bus/usb")
        _link(self.sysfs / "bus/usb/devices" / name, folder)
        self._tell("add", folder, "usb", DEVTYPE="usb_device")

    def _make_interface(self, folder: Path, number: int, triplet: Triplet) -> None:
        folder.mkdir()
        names = ("bInterfaceClass", "bInterfaceSubClass", "bInterfaceProtocol")
        text = {
            "bInterfaceNumber": f"{number:02x}",
            **dict(zip(names, _octets(triplet), strict=True)),
            "bAlternateSetting": " 0",
        }
        for file, value in text.items():
            (folder / file).write_text(value + "\n")
        _link(folder / "subsystem", self.sysfs / "bus/usb")
        _link(self.sysfs / "bus/usb/devices" / folder.name, folder)
        self._tell("add", folder, "usb", DEVTYPE="usb_interface")

    def _make_tty(self, interface: Path, driver: str, target: str | None) -> str:
        prefix = TTY_PREFIX.get(driver, "ttyUSB")
        taken = {entry.name for entry in (self.sysfs / "class/tty").iterdir()} | self.held
        minor = next(number for number in range(512) if f"{prefix}{number}" not in taken)
        name = f"{prefix}{minor}"
        home = interface
        if driver != "cdc_acm":
            home = interface / name
            home.mkdir()
            (home / "port_number").write_text("0\n")
            _link(self.sysfs / "bus/usb-serial/devices" / name, home)
        folder = home / "tty" / name
        folder.mkdir(parents=True)
        (folder / "dev").write_text(f"{TTY_MAJOR[prefix]}:{minor}\n")
        (folder / "uevent").write_text(f"MAJOR={TTY_MAJOR[prefix]}\nMINOR={minor}\nDEVNAME={name}\n")
        _link(folder / "device", home)
        node = self.dev / name
        if target is None:
            node.touch()
        else:
            node.symlink_to(target)
        _link(self.sysfs / "class/tty" / name, folder)
        self._tell("add", folder, "tty", DEVNAME=name)
        return name

    def _drop_tty(self, interface: Path, device: _Plugged, number: int) -> None:
        name = device.ttys.pop(number)
        self._unlink(self.sysfs / "class/tty" / name)
        self._unlink(self.sysfs / "bus/usb-serial/devices" / name)
        self._unlink(self.dev / name)
        shutil.rmtree(interface / name if (interface / name).exists() else interface / "tty")
        self._tell("remove", interface / "tty" / name, "tty", DEVNAME=name)

    def _interface_name(self, path: str, number: int, device: _Plugged) -> str:
        return f"{path}:{device.configuration or 1}.{number}"

    def _unlink(self, link: Path) -> None:
        with suppress(FileNotFoundError):
            link.unlink()

    def _tell(self, action: str, folder: Path, subsystem: str, **more: str) -> None:
        """As the kernel does on its netlink socket: `add@/devices/…`, NUL, `KEY=value`, NUL, …"""
        if self.uevents is None:
            return
        self._sequence += 1
        path = "/" + str(folder.relative_to(self.sysfs))
        pairs = {"ACTION": action, "DEVPATH": path, "SUBSYSTEM": subsystem, **more, "SEQNUM": str(self._sequence)}
        lines = [f"{action}@{path}", *(f"{name}={value}" for name, value in pairs.items())]
        self.uevents.send("".join(line + "\0" for line in lines).encode())


def _bus(path: str) -> int:
    return int(path.removeprefix("usb").partition("-")[0])


def _octets(triplet: Triplet) -> list[str]:
    return triplet.split("/") if isinstance(triplet, str) else [f"{octet:02x}" for octet in triplet]


def _link(link: Path, target: Path) -> None:
    """Relative, as sysfs has them."""
    link.symlink_to(os.path.relpath(target, link.parent))
