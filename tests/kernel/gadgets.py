"""A stick in a socket of `dummy_hcd`, and QEMU's serial adapter on xHCI: each is the line of an emulated phone.

configfs: Documentation/usb/gadget_configfs.rst. A socket is a bus of its own with one port; a stick in another socket
has another path. All of it runs on the emulator's event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import termios
import tty
from collections.abc import Callable
from pathlib import Path

from tests.kernel.functionfs import VendorFunction
from tests.kernel.host import Host
from tests.kernel.sticks import Stick

CONFIGFS = Path("/sys/kernel/config/usb_gadget")
CONTROLLERS = Path("/sys/class/udc")
FUNCTIONFS = Path("/run/functionfs")
READ_SIZE = 4096
WRITE_LIMIT = 1 << 20  # octets kept for a host that does not read

OnData = Callable[[bytes], None]


class GadgetLine:
    """A stick that goes into socket `socket` when it is opened; None: it stays in the bag."""

    def __init__(self, name: str, stick: Stick, on_data: OnData, link: Path = Path("/none")) -> None:
        self.link = link
        self.slave_name = ""
        self.lost_bytes = 0
        self.socket: int | None = None
        self.heard = [b""] * (len(stick.functions) + len(stick.triplets))
        """What came on each port; on one with no phone behind it, nothing should."""
        self._stick = stick
        self._on_data = on_data
        self._gadget = CONFIGFS / name
        self._folder = FUNCTIONFS / name
        self._ttys: list[_Tty] = []
        self._vendor: VendorFunction | None = None
        self._plugged = False

    @property
    def is_open(self) -> bool:
        return self._plugged

    @property
    def opened(self) -> list[int]:
        """How often each vendor port was opened by a program of the host."""
        return self._vendor.opened if self._vendor is not None else []

    def make(self) -> None:
        """Build the gadget, not yet plugged in."""
        stick, gadget = self._stick, self._gadget
        gadget.mkdir()
        _write(gadget / "idVendor", hex(stick.vid))
        _write(gadget / "idProduct", hex(stick.pid))
        _write(gadget / "bcdDevice", hex(stick.release))
        strings = gadget / "strings" / "0x409"
        strings.mkdir()
        _write(strings / "manufacturer", stick.manufacturer)
        _write(strings / "product", stick.product)
        if stick.serial:
            _write(strings / "serialnumber", stick.serial)
        (gadget / "configs" / "c.1").mkdir()
        for index, kind in enumerate(stick.functions):
            folder = self._function(f"{kind}.{gadget.name}{index}")
            if kind == "mass_storage":
                _write(folder / "lun.0" / "cdrom", "1")
            if (folder / "port_num").exists():
                self._ttys.append(_Tty(f"/dev/ttyGS{int((folder / 'port_num').read_text())}", self._hears(index)))
        if stick.triplets:
            self._function(f"ffs.{gadget.name}")
            first = len(stick.functions)
            self._vendor = VendorFunction(
                self._folder,
                gadget.name,
                stick.triplets,
                lambda index, data: self._hears(first + index)(data),
                stick.status,
            )

    def open(self) -> None:
        if self._plugged or self.socket is None:
            return
        _write(self._gadget / "UDC", f"dummy_udc.{self.socket}")
        self._plugged = True
        for line in self._ttys:
            line.open()

    def close(self) -> None:
        if not self._plugged:
            return
        self._plugged = False
        _write(self._gadget / "UDC", "")
        for line in self._ttys:
            line.close()
        if self._vendor is not None:
            self._vendor.unplugged()

    def write(self, data: bytes) -> None:
        if not self._plugged or not self._say(data):
            self.lost_bytes += len(data)

    def stop_reading(self) -> None:
        """From now on nothing that the host writes is taken: a wedged stick. Until it is plugged in again."""
        for line in self._ttys:
            line.stop_reading()

    def remove(self) -> None:
        """Take the gadget apart, as configfs wants it: from the links to the folders."""
        self.close()
        if self._vendor is not None:
            self._vendor.close()
        configuration = self._gadget / "configs" / "c.1"
        for link in [entry for entry in configuration.iterdir() if entry.is_symlink()]:
            link.unlink()
        for folder in (*(self._gadget / "functions").iterdir(), configuration, self._gadget / "strings" / "0x409"):
            folder.rmdir()
        self._gadget.rmdir()

    def _function(self, name: str) -> Path:
        folder = self._gadget / "functions" / name
        folder.mkdir()
        (self._gadget / "configs" / "c.1" / name).symlink_to(folder)
        return folder

    def _hears(self, index: int) -> OnData:
        def hear(data: bytes) -> None:
            self.heard[index] += data
            if index == self._stick.at and self._plugged:
                self._on_data(data)

        return hear

    def _say(self, data: bytes) -> bool:
        at = self._stick.at
        assert at is not None
        if at < len(self._ttys):
            return self._ttys[at].write(data)
        return self._vendor is not None and self._vendor.write(at - len(self._stick.functions), data)


class AdapterLine:
    """QEMU's serial adapter: plugged in and out by the host, its far end is a line of ours."""

    def __init__(self, host: Host, line: int, on_data: OnData, link: Path = Path("/none")) -> None:
        self.link = link
        self.slave_name = ""
        self.lost_bytes = 0
        self.socket: int | str | None = None
        self.opened: list[int] = []  # it does not say
        self._host = host
        self._line = line
        self._tty = _Tty(host.device(f"line{line}"), on_data, raw=False)
        self._plugged = False

    @property
    def is_open(self) -> bool:
        return self._plugged

    def open(self) -> None:
        if self._plugged or self.socket is None:
            return
        self._tty.open()
        self._host.ask("plug", line=self._line, socket=self.socket)
        self._plugged = True

    def close(self) -> None:
        if not self._plugged:
            return
        self._plugged = False
        self._host.ask("unplug", line=self._line)
        self._tty.close()

    def write(self, data: bytes) -> None:
        if not self._plugged or not self._tty.write(data):
            self.lost_bytes += len(data)


def path_of(socket: int) -> str:
    """The USB path of what is in a socket of `dummy_hcd`, such as `3-1`."""
    bus = next((CONTROLLERS / f"dummy_udc.{socket}" / "device" / "..").resolve().glob(f"dummy_hcd.{socket}/usb*"))
    return f"{bus.name.removeprefix('usb')}-1"


class _Tty:
    """A terminal device that never blocks the loop."""

    def __init__(self, path: str, on_data: OnData, *, raw: bool = True) -> None:
        self._path = path
        self._on_data = on_data
        self._raw = raw
        self._fd = -1
        self._buffer = bytearray()

    def open(self) -> None:
        self._fd = os.open(self._path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        if self._raw:
            tty.setraw(self._fd, termios.TCSANOW)  # and not once all is said: nobody may be listening
            termios.tcflush(self._fd, termios.TCIOFLUSH)
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def close(self) -> None:
        if self._fd < 0:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._fd)
        loop.remove_writer(self._fd)
        os.close(self._fd)
        self._fd = -1
        self._buffer.clear()

    def stop_reading(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)

    def write(self, data: bytes) -> bool:
        if self._fd < 0 or len(self._buffer) + len(data) > WRITE_LIMIT:
            return False
        self._buffer += data
        self._flush()
        return True

    def _flush(self) -> None:
        with contextlib.suppress(BlockingIOError):
            del self._buffer[: os.write(self._fd, self._buffer)]
        loop = asyncio.get_running_loop()
        if self._buffer:
            loop.add_writer(self._fd, self._flush)
        else:
            loop.remove_writer(self._fd)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._on_data(data)
        else:  # hung up: unplugged, or the host has reset it
            self.close()
            self.open()


def _write(file: Path, text: str) -> None:
    file.write_text(text + "\n")
