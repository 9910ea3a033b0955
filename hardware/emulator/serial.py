"""A pseudo terminal that behaves like a modem's serial port: raw, bounded, and it can be pulled out."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import functools
import os
import select
import struct
import termios
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

READ_SIZE = 65536
WRITE_LIMIT = 1 << 20
"""Octets kept for a host that does not read; a full storage listed at once is a tenth of it."""

_IN_CLOSE, _IN_OPEN = 0x18, 0x20
_IN_NONBLOCK, _IN_CLOEXEC = 0o4000, 0o2000000
_EVENT = struct.Struct("iIII")
_TIOCGEXCL = 0x80045440  # the termios module has no name for it


class Line(Protocol):
    """What a phone is plugged in by: the host hears `write`, and its answers go to `VirtualModem.feed`."""

    link: Path
    slave_name: str  # the port that programs open
    lost_bytes: int

    @property
    def is_open(self) -> bool: ...
    def open(self) -> None:
        """Plug it in."""

    def close(self) -> None:
        """Pull it out; idempotent."""

    def write(self, data: bytes) -> None:
        """Say `data`; lost when nobody can hear it."""


class PtyLine:
    """One port: the master side is ours, the slave is what programs open through `link`.

    A slave is kept open here, or the kernel would hang up whenever a program closes the port. What is said while
    nobody has the port open is lost, as on a USB port.
    """

    def __init__(self, link: Path, on_data: Callable[[bytes], None]) -> None:
        self.link = link
        self.slave_name = ""
        self.lost_bytes = 0
        self._on_data = on_data
        self._loop: asyncio.AbstractEventLoop | None = None
        self._master = self._slave = self._watch = -1
        self._heard = False  # a program has the port open
        self._buffer = bytearray()

    @property
    def is_open(self) -> bool:
        return self._master >= 0

    @property
    def listening(self) -> bool:
        """Whether a program has the port open; unknown counts as yes."""
        return self._heard or self._watch < 0

    def open(self) -> None:
        """Make the pseudo terminal, under another name than last time, and the link to it."""
        self._loop = asyncio.get_running_loop()
        master, slave = os.openpty()
        if os.ttyname(slave) == self.slave_name:
            again = os.openpty()
            os.close(master)
            os.close(slave)
            master, slave = again
        self._master, self._slave = master, slave
        self.slave_name = os.ttyname(slave)
        tty.setraw(slave, termios.TCSANOW)
        os.set_blocking(master, False)
        self._heard = False
        self._watch = _watch_opens(self.slave_name)
        if self._watch >= 0:
            self._loop.add_reader(self._watch, self._see_who_is_there)
        self._loop.add_reader(master, self._read)
        self._point_link()

    def close(self) -> None:
        """Pull it out: programs that have it open get a hang-up, the link is gone."""
        if self._master < 0 or self._loop is None:
            return
        for fd in (self._master, self._watch):
            if fd >= 0:
                self._loop.remove_reader(fd)
        self._loop.remove_writer(self._master)
        with contextlib.suppress(OSError):
            if os.readlink(self.link) == self.slave_name:
                self.link.unlink()
        for fd in (self._watch, self._slave, self._master):
            if fd >= 0:
                os.close(fd)
        self._master = self._slave = self._watch = -1
        self._buffer.clear()

    def write(self, data: bytes) -> None:
        """Say `data`; lost when nobody listens, or when nobody reads for too long."""
        if self._master < 0:
            return
        if not self.listening:
            self._see_who_is_there()
        if not self.listening or len(self._buffer) + len(data) > WRITE_LIMIT:
            self.lost_bytes += len(data)
            return
        if not self._buffer:
            data = data[self._write_now(data) :]
        if data:
            self._buffer += data
            assert self._loop is not None
            self._loop.add_writer(self._master, self._flush)

    def _flush(self) -> None:
        del self._buffer[: self._write_now(bytes(self._buffer[:READ_SIZE]))]
        if not self._buffer and self._loop is not None:
            self._loop.remove_writer(self._master)

    def _write_now(self, data: bytes) -> int:
        try:
            return os.write(self._master, data)
        except BlockingIOError:
            return 0

    def _read(self) -> None:
        try:
            data = os.read(self._master, READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        if not self.listening:
            # Two opens at once are told as one: who writes is there, unless it has closed the port since.
            self._heard = not self._see_who_is_there()
        if data:
            self._on_data(data)

    def _see_who_is_there(self) -> bool:
        """Follow who opens and closes the port; True: the last one has closed it."""
        seen = self._events()
        if seen & _IN_OPEN:
            self._heard = True
        if not seen & _IN_CLOSE or not self._left_alone():
            return False
        self._heard = False
        self._buffer.clear()
        tty.setraw(self._slave, termios.TCSANOW)
        termios.tcflush(self._slave, termios.TCIFLUSH)
        return True

    def _left_alone(self) -> bool:
        """Whether the slave that is kept here is the only one, by letting go of it for a moment.

        Events cannot be counted: the kernel tells equal ones that follow each other as one. An exclusive lock
        (TIOCEXCL) outlives its owner as long as our slave is open: it is put back only if its owner is still there.
        """
        locked = struct.unpack("i", fcntl.ioctl(self._slave, _TIOCGEXCL, bytes(4)))[0]
        fcntl.ioctl(self._slave, termios.TIOCNXCL)
        os.close(self._slave)
        poll = select.poll()
        poll.register(self._master, select.POLLIN)
        alone = any(event & select.POLLHUP for _, event in poll.poll(0))
        try:
            self._slave = os.open(self.slave_name, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:  # somebody took the lock in this very moment: as good as pulled out and plugged in
            self._slave = -1
            self.close()
            self.open()
            return False
        if locked and not alone:
            fcntl.ioctl(self._slave, termios.TIOCEXCL)
        self._events()  # our own
        return alone

    def _events(self) -> int:
        """What has happened to the slave since last asked, as one mask."""
        try:
            events = os.read(self._watch, 16384) if self._watch >= 0 else b""
        except BlockingIOError:
            return 0
        mask = 0
        for offset in range(0, len(events), _EVENT.size):
            mask |= _EVENT.unpack_from(events, offset)[1]
        return mask

    def _point_link(self) -> None:
        temporary = self.link.with_name(f".{self.link.name}.new")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(self.slave_name)
        temporary.replace(self.link)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _watch_opens(path: str) -> int:
    """An inotify descriptor that tells of each open and close of `path`; -1: the kernel has none to give."""
    fd = int(_libc().inotify_init1(_IN_NONBLOCK | _IN_CLOEXEC))
    if fd >= 0 and _libc().inotify_add_watch(fd, os.fsencode(path), _IN_OPEN | _IN_CLOSE) < 0:
        os.close(fd)
        return -1
    return fd


def die_with_parent() -> None:
    """Have the kernel end this process when its parent ends (PR_SET_PDEATHSIG)."""
    pr_set_pdeathsig, sigterm = 1, 15
    _libc().prctl(pr_set_pdeathsig, sigterm, 0, 0, 0)
