"""Tells which USB devices come, change and go. A second after the fact at most, and at once where netlink is heard.

Names in sysfs are looked at by one thread; what a device says of itself is read by another, one for each device, since
the kernel makes its reader wait while a driver hangs: one bad stick hides no other.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

from hardware.transport.threads import call_in_thread
from hardware.usb.lookout import Lookout, Mark
from hardware.usb.ports import DEV, SYSFS, UsbDevice, is_hub, path_order, read_device
from hardware.usb.timeouts import POLL, READ_WARNING, SETTLE, SETTLE_CAP, STOP_DEADLINE
from hardware.usb.uevents import open_socket

log = logging.getLogger(__name__)

Told = Callable[[UsbDevice], None]

# Interfaces that get a tty from a driver, as a rule: vendor specific, and communications (USB class codes).
SERIAL_CLASSES: Final = frozenset({0xFF, 0x02})


class Watcher:
    """What is plugged in, as three callbacks on the loop. Constructing it only stores; `run` does the work."""

    def __init__(
        self,
        *,
        sysfs: Path = SYSFS,
        dev: Path = DEV,
        poll: float = POLL,
        settle: float = SETTLE,
        settle_cap: float = SETTLE_CAP,
        uevents: Callable[[], socket.socket] | None = open_socket,
    ) -> None:
        """`settle` seconds without a change make a device whole, `settle_cap` at the latest; `uevents` None: poll."""
        self._sysfs = sysfs
        self._dev = dev
        self._times = _Times(poll, settle, max(settle, settle_cap))
        self._uevents = uevents

    async def run(self, arrived: Told, changed: Told, left: Told) -> NoReturn:
        """Tell `arrived` once a device has settled, `changed` when interfaces or ports went or came, `left` at once.

        Runs until it is cancelled. A device in the plug of one that left is `left`, then `arrived`; one that was never
        told of leaves in silence. After a reset `changed` may come with all as it was: the ports are new ones, of the
        same names. A callback that raises is logged and does not end this.
        """
        loop = asyncio.get_running_loop()
        plugs = _Plugs(self._read, self._times, _Tell(arrived, changed, left))
        lookout = Lookout(self._sysfs, poll=self._times.poll, open_socket=self._uevents)

        def report(marks: Mapping[str, Mark]) -> None:
            try:
                loop.call_soon_threadsafe(plugs.seen, marks)
            except RuntimeError:  # the loop has closed under us
                lookout.stop()

        watching = call_in_thread("usb watcher", lambda: lookout.run(report), _nothing)
        try:
            await asyncio.wait({watching})
            watching.result()
            raise AssertionError("the watcher's thread ended by itself")
        finally:
            lookout.stop()
            plugs.end()
            await asyncio.wait({watching}, timeout=STOP_DEADLINE)
            if watching.done():
                watching.exception()  # raised above, or of no more interest

    def _read(self, path: str) -> UsbDevice | _Hub | None:
        folder = self._sysfs / "bus" / "usb" / "devices" / path
        return _Hub() if is_hub(folder) else read_device(folder, self._dev)


class _Times(NamedTuple):
    poll: float
    settle: float
    cap: float


@dataclass(frozen=True, slots=True)
class _Hub:
    """Nobody's business; its ports are plugs of their own."""


Read = Callable[[str], UsbDevice | _Hub | None]  # blocking


class _Plugs:
    """All plugs that have something in them, on the loop."""

    def __init__(self, read: Read, times: _Times, tell: _Tell) -> None:
        self._read = read
        self._times = times
        self._tell = tell
        self._plugs: dict[str, _Plug] = {}
        self._ended = False

    def seen(self, marks: Mapping[str, Mark]) -> None:
        """The names are others: end what left before anything begins, since a tty's name may have moved on."""
        if self._ended:
            return
        for path, plug in list(self._plugs.items()):
            mark = marks.get(path)
            if mark is None or mark.stay != plug.mark.stay:
                del self._plugs[path]
                plug.end()
                if plug.device is not None:
                    self._tell.left(plug.device)
        for path, mark in sorted(marks.items(), key=lambda item: path_order(item[0])):
            known = self._plugs.get(path)
            if known is None:
                self._plugs[path] = _Plug(path, mark, self._read, self._times, self._tell)
            elif known.mark != mark:
                known.alter(mark)

    def end(self) -> None:
        self._ended = True
        for plug in self._plugs.values():
            plug.end()
        self._plugs.clear()


class _Stage(StrEnum):
    SETTLING = "settling"  # not told of, or changing
    READING = "reading"
    SETTLED = "settled"
    ENDED = "ended"


_MOVES: Final[dict[_Stage, set[_Stage]]] = {
    _Stage.SETTLING: {_Stage.READING, _Stage.ENDED},
    _Stage.READING: {_Stage.SETTLING, _Stage.SETTLED, _Stage.ENDED},
    _Stage.SETTLED: {_Stage.SETTLING, _Stage.ENDED},
    _Stage.ENDED: set(),
}


class _Plug:
    """One stay of one device in one plug: settles, is read, is told of, and begins again when its names change."""

    def __init__(self, path: str, mark: Mark, read: Read, times: _Times, tell: _Tell) -> None:
        self.mark = mark
        self.device: UsbDevice | None = None  # as it was told of
        self._told: frozenset[tuple[str, int]] = frozenset()
        self._path = path
        self._read = read
        self._times = times
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._stage = _Stage.SETTLING
        self._timer: asyncio.TimerHandle | None = None
        self._begin()

    def alter(self, mark: Mark) -> None:
        """Its interfaces or ttys are others. While it is read, what comes back will be found to be old."""
        self.mark = mark
        if self._stage is _Stage.SETTLED:
            self._move(_Stage.SETTLING)
            self._begin()
        elif self._stage is _Stage.SETTLING:
            self._wait(self._times.settle)

    def end(self) -> None:
        """Nothing it does counts any more."""
        if self._stage is not _Stage.ENDED:
            self._move(_Stage.ENDED)
        self._cancel()

    def _begin(self) -> None:
        self._deadline = self._loop.time() + self._times.cap
        self._wait(self._times.settle)

    def _wait(self, seconds: float) -> None:
        self._cancel()
        self._timer = self._loop.call_at(min(self._loop.time() + seconds, self._deadline), self._look)

    def _look(self) -> None:
        self._move(_Stage.READING)
        self._timer = self._loop.call_later(READ_WARNING, self._hangs)
        mark = self.mark
        reading = call_in_thread(f"read {self._path}", lambda: self._read(self._path), _nothing)
        reading.add_done_callback(lambda done: self._looked(done, mark))

    def _looked(self, reading: asyncio.Future[UsbDevice | _Hub | None], mark: Mark) -> None:
        error = reading.exception()
        if self._stage is not _Stage.READING:
            return
        self._cancel()
        if error is not None and not isinstance(error, OSError):
            log.error("cannot read the USB device at %s", self._path, exc_info=error)
        device = None if error is not None else reading.result()
        overdue = self._loop.time() >= self._deadline
        if isinstance(device, _Hub):
            self._move(_Stage.SETTLED)
        elif device is None or device.address != mark.stay[1]:
            self._move(_Stage.SETTLING)
            self._retry()
        elif mark != self.mark and not overdue:
            self._move(_Stage.SETTLING)
            self._wait(self._times.settle)
        elif _awaits_driver(device) and not overdue:
            self._move(_Stage.SETTLING)
            self._wait(self._times.cap)
        else:
            self._move(_Stage.SETTLED)
            self._say(device, mark)
            if mark != self.mark:
                self.alter(self.mark)

    def _retry(self) -> None:
        """It was half built, or we lacked a descriptor: its names need not change when it is whole."""
        self._deadline = max(self._deadline, self._loop.time() + self._times.poll)
        self._wait(self._times.poll)

    def _say(self, device: UsbDevice, mark: Mark) -> None:
        before, self.device = self.device, device
        told, self._told = self._told, mark.content
        if before is None:
            self._tell.arrived(device)
        elif before != device or told != mark.content:
            self._tell.changed(device)

    def _hangs(self) -> None:
        log.warning(
            "the kernel has not answered for %g s about the USB device at %s: its driver hangs; "
            "unplug it and plug it in again",
            READ_WARNING,
            self._path,
        )

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _move(self, stage: _Stage) -> None:
        assert stage in _MOVES[self._stage], f"{self._path}: {self._stage} to {stage}"
        self._stage = stage


def _awaits_driver(device: UsbDevice) -> bool:
    """Whether it has no tty, and an interface that looks serial has no driver: udev may be loading the module.

    Once one tty is there the others are: a module that is loaded takes all of its interfaces in a moment.
    """
    return not device.ports and (
        not device.interfaces
        or any(each.driver is None and each.triplet[0] in SERIAL_CLASSES for each in device.interfaces)
    )


class _Tell:
    """The owner's callbacks: what they raise is theirs, and does not end the watch."""

    def __init__(self, arrived: Told, changed: Told, left: Told) -> None:
        self._callbacks = {"arrived": arrived, "changed": changed, "left": left}

    def arrived(self, device: UsbDevice) -> None:
        self._call("arrived", device)

    def changed(self, device: UsbDevice) -> None:
        self._call("changed", device)

    def left(self, device: UsbDevice) -> None:
        self._call("left", device)

    def _call(self, name: str, device: UsbDevice) -> None:
        log.debug("usb %s: %s %s, %d ports", name, device.path, device.vid_pid, len(device.ports))
        try:
            self._callbacks[name](device)
        except Exception:
            log.exception("telling that the USB device at %s has %s", device.path, name)


def _nothing(_result: object) -> None:
    return
