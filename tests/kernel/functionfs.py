"""A USB function of vendor interfaces, told in user space: any class triplet, which the kernel's own gadgets lack.

Documentation/usb/functionfs.rst, include/uapi/linux/usb/functionfs.h. Only for the guest.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import queue
import struct
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

Triplet = tuple[int, int, int]
OnData = Callable[[int, bytes], None]

PACKET_FULL, PACKET_HIGH = 64, 512  # octets of a bulk packet at full and at high speed
READ_SIZE = PACKET_HIGH  # a read of one packet ends with it: a host sends no empty one after a full one
JOIN_DEADLINE = 5.0  # seconds for a thread whose endpoint is gone
PAUSE = 0.01  # seconds between two tries to read from an endpoint that is not enabled

_DESCRIPTORS_V2, _STRINGS = 3, 2
_HAS_FULL_SPEED, _HAS_HIGH_SPEED, _ALL_REQUESTS = 1, 2, 64
_ENABLE, _SETUP = 2, 4
_EVENT = struct.Struct("<8sB3x")  # the setup packet, the kind of event
_SET_CONTROL_LINE_STATE = 0x22
_BULK = 2


class VendorFunction:
    """Interfaces with a bulk endpoint each way. `on_data(interface, octets)` comes on the loop that made it.

    With `status`, each packet to the host begins with these octets, and requests to the device are accepted: an FTDI
    chip is nothing more to its driver.
    """

    def __init__(
        self, folder: Path, source: str, triplets: Sequence[Triplet], on_data: OnData, status: bytes = b""
    ) -> None:
        self.opened = [0] * len(triplets)
        """How often a program has raised DTR, by interface: nothing opens a port of `option` without."""
        self._folder = folder
        self._on_data = on_data
        self._status = status
        self._loop = asyncio.get_running_loop()
        self._count = len(triplets)
        self._queues: list[queue.SimpleQueue[bytes | None]] = []
        self._threads: list[threading.Thread] = []
        self._eps: list[int] = []
        self._over = threading.Event()
        folder.mkdir(parents=True, exist_ok=True)
        _mount(source, folder)
        self._ep0 = os.open(folder / "ep0", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        os.write(self._ep0, _descriptors(triplets, all_requests=bool(status)))
        os.write(self._ep0, struct.pack("<IIII", _STRINGS, 16, 0, 0))
        self._loop.add_reader(self._ep0, self._events)

    def write(self, interface: int, data: bytes) -> bool:
        """Say `data`; False: the host has not configured the device."""
        if not self._queues:
            return False
        room = PACKET_HIGH - len(self._status) if self._status else len(data)
        for start in range(0, len(data), room):
            self._queues[interface].put(self._status + data[start : start + room])
        return True

    def unplugged(self) -> None:
        """The gadget has lost its socket: end the threads, which the kernel has woken up."""
        self._over.set()
        for line in self._queues:
            line.put(None)
        for thread in self._threads:
            thread.join(JOIN_DEADLINE)
        for ep in self._eps:
            os.close(ep)
        self._queues, self._threads, self._eps = [], [], []

    def close(self) -> None:
        self.unplugged()
        self._loop.remove_reader(self._ep0)
        os.close(self._ep0)
        _unmount(self._folder)

    def _events(self) -> None:
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._ep0, 4 * _EVENT.size)
            for setup, kind in _EVENT.iter_unpack(data):
                if kind == _ENABLE:
                    self._enabled()
                elif kind == _SETUP:
                    self._setup(setup)

    def _enabled(self) -> None:
        """Told once or more while it is plugged in: the kernel enables the whole anew for each interface."""
        if self._threads:
            return
        over = self._over = threading.Event()
        for interface in range(self._count):
            ins, out = (
                os.open(self._folder / f"ep{2 * interface + n}", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
                for n in (1, 2)
            )
            line: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
            self._queues.append(line)
            self._eps += [ins, out]
            self._threads.append(threading.Thread(target=self._read, args=(interface, out, over), daemon=True))
            self._threads.append(threading.Thread(target=_say, args=(line, ins), daemon=True))
        for thread in self._threads:
            thread.start()

    def _setup(self, packet: bytes) -> None:
        """Accept whatever a host asks for; only whether it raises DTR is of interest."""
        kind, request, value, index, length = struct.unpack("<BBHHH", packet)
        if request == _SET_CONTROL_LINE_STATE and value & 1 and index < self._count:
            self.opened[index] += 1
        with contextlib.suppress(OSError):  # the host may be gone by now
            if kind & 0x80:
                os.write(self._ep0, (self._status + bytes(length))[:length])
            else:
                os.read(self._ep0, 0)

    def _read(self, interface: int, ep: int, over: threading.Event) -> None:
        while not over.is_set():
            try:
                data = os.read(ep, READ_SIZE)
            except OSError:  # unplugged, or just not enabled
                over.wait(PAUSE)
                continue
            self._loop.call_soon_threadsafe(self._on_data, interface, data)


def _say(line: queue.SimpleQueue[bytes | None], ep: int) -> None:
    while (data := line.get()) is not None:
        with contextlib.suppress(OSError):  # nobody is there to hear it
            os.write(ep, data)


def _descriptors(triplets: Sequence[Triplet], *, all_requests: bool) -> bytes:
    """struct usb_functionfs_descs_head_v2, then the descriptors for each speed (USB 2.0 9.6.5, 9.6.6)."""
    count = struct.pack("<I", 3 * len(triplets))
    blobs = []
    for packet in (PACKET_FULL, PACKET_HIGH):
        blob = b""
        for number, triplet in enumerate(triplets):
            blob += struct.pack("<9B", 9, 4, number, 0, 2, *triplet, 0)
            blob += struct.pack("<4BHB", 7, 5, 0x80 | (2 * number + 1), _BULK, packet, 0)
            blob += struct.pack("<4BHB", 7, 5, 2 * number + 2, _BULK, packet, 0)
        blobs.append(blob)
    body = count + count + b"".join(blobs)
    flags = _HAS_FULL_SPEED | _HAS_HIGH_SPEED | (_ALL_REQUESTS if all_requests else 0)
    return struct.pack("<III", _DESCRIPTORS_V2, 12 + len(body), flags) + body


def _mount(source: str, folder: Path) -> None:
    if _libc().mount(source.encode(), os.fsencode(folder), b"functionfs", 0, None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(folder))


def _unmount(folder: Path) -> None:
    _libc().umount(os.fsencode(folder))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
