"""A thread that looks at the names in sysfs and says when they are others: cheap enough to do each second for years."""

from __future__ import annotations

import errno
import logging
import os
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hardware.usb import uevents
from hardware.usb.ports import absent, is_plug
from hardware.usb.timeouts import GATHER, HURRY, SETTLE_CAP

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Mark:
    """What the names alone tell of one plug. Another `stay` is another plugging-in; `content`: interfaces and ttys."""

    stay: tuple[int, int]  # inode of its link, its address on the bus
    content: frozenset[tuple[str, int]]


class Names:
    """Looks at `sysfs` and remembers which tty hangs on which plug; one user, one thread."""

    def __init__(self, sysfs: Path) -> None:
        self._devices = str(sysfs / "bus" / "usb" / "devices")
        self._ttys = str(sysfs / "class" / "tty")
        self._owners: dict[tuple[str, int], str | None] = {}

    def look(self) -> dict[str, Mark]:
        """All plugs, hubs too. Raises OSError if we could not look, which is no reason to believe anything gone."""
        plugs: dict[str, tuple[int, int]] = {}
        contents: dict[str, list[tuple[str, int]]] = {}
        for name, inode in _entries(self._devices):
            path, colon, _ = name.partition(":")
            if colon:
                contents.setdefault(path, []).append((name, inode))
            elif is_plug(name) and (address := self._address(name)) is not None:
                plugs[name] = inode, address
        owners: dict[tuple[str, int], str | None] = {}
        for entry in _entries(self._ttys):
            owner = owners[entry] = self._owners[entry] if entry in self._owners else self._owner(entry[0])
            if owner is not None:
                contents.setdefault(owner, []).append(entry)
        self._owners = owners
        return {path: Mark(stay, frozenset(contents.get(path, ()))) for path, stay in plugs.items()}

    def _address(self, path: str) -> int | None:
        """The device's number on its bus; None when it has just gone or is half there."""
        try:
            descriptor = os.open(f"{self._devices}/{path}/devnum", os.O_RDONLY | os.O_CLOEXEC)
            try:
                return int(os.read(descriptor, 16))
            finally:
                os.close(descriptor)
        except ValueError:
            return None
        except OSError as error:
            return absent(error, None)

    def _owner(self, tty: str) -> str | None:
        """The plug in a link such as `../../devices/…/1-1.3/1-1.3:1.0/ttyUSB0/tty/ttyUSB0`."""
        try:
            found = _INTERFACE.findall(os.readlink(f"{self._ttys}/{tty}"))
        except OSError as error:
            return absent(error, None)
        return found[-1] if found else None


class Lookout:
    """`run` it in a thread; it tells `report` the names whenever they are others, first at once."""

    def __init__(self, sysfs: Path, *, poll: float, open_socket: Callable[[], socket.socket] | None) -> None:
        self._names = Names(sysfs)
        self._poll = poll
        self._open_socket = open_socket
        self._netlink: socket.socket | None = None
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._lock = threading.Lock()
        self._stopped = False

    def run(self, report: Callable[[Mapping[str, Mark]], None]) -> None:
        """Look until `stop`. Blocks; raises only what `report` raises."""
        try:
            self._listen()
            self._watch(report)
        finally:
            with self._lock:
                self._stopped = True
                os.close(self._wake)
            self._deafen()

    def stop(self) -> None:
        """End `run`, from any thread."""
        with self._lock:
            if not self._stopped:
                self._stopped = True
                os.eventfd_write(self._wake, 1)

    def _watch(self, report: Callable[[Mapping[str, Mark]], None]) -> None:
        known: dict[str, Mark] | None = None
        hurry_until = 0.0
        blind = False
        while not self._stopped:
            try:
                marks = self._names.look()
            except OSError as error:
                if not blind:
                    log.warning(
                        "cannot look for USB devices: %s; those that are known stay", os.strerror(error.errno or 0)
                    )
                blind = True
            else:
                blind = False
                if marks != known:
                    hurry_until = time.monotonic() + SETTLE_CAP
                    known = marks
                    report(marks)
            self._wait(min(HURRY, self._poll) if time.monotonic() < hurry_until else self._poll)

    def _wait(self, seconds: float) -> None:
        """Until it is time, until the kernel speaks of USB, or until `stop`."""
        end = time.monotonic() + seconds
        while not self._stopped and (left := end - time.monotonic()) > 0:
            if self._ready(left) and self._heard():
                self._pause(GATHER)
                self._heard()
                return

    def _ready(self, seconds: float) -> bool:
        """Wait so long for the kernel or for `stop`; True when there is something to hear."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if self._netlink is not None:
            poll.register(self._netlink, select.POLLIN)
        events = dict(poll.poll(seconds * 1000))
        if self._netlink is None:
            return False
        found = events.get(self._netlink.fileno(), 0)
        if found & (select.POLLHUP | select.POLLNVAL):  # it would be ready for ever
            self._alone(OSError(errno.EPIPE, os.strerror(errno.EPIPE)))
            return False
        return bool(found)

    def _pause(self, seconds: float) -> None:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        poll.poll(seconds * 1000)

    def _listen(self) -> None:
        if self._open_socket is None:
            return
        try:
            self._netlink = self._open_socket()
        except OSError as error:
            self._alone(error)

    def _heard(self) -> bool:
        if self._netlink is None:
            return False
        try:
            return uevents.drain(self._netlink)
        except OSError as error:
            self._alone(error)
            return True

    def _alone(self, error: OSError) -> None:
        self._deafen()
        reason = errno.errorcode.get(error.errno or 0, str(error))
        log.info("no news of USB from the kernel (netlink: %s): looking every %g s instead", reason, self._poll)

    def _deafen(self) -> None:
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None


_INTERFACE = re.compile(r"/(\d+-\d+(?:\.\d+)*):\d+\.\d+(?=/)", re.ASCII)


def _entries(folder: str) -> list[tuple[str, int]]:
    """Names and inodes: a thing that went and came again under its old name has another inode."""
    try:
        with os.scandir(folder) as found:
            return [(entry.name, entry.inode()) for entry in found]
    except (FileNotFoundError, NotADirectoryError):  # a machine without USB
        return []
