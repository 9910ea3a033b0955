"""What can be done to a modem that no longer answers, from outside: reset, log off and on, current off and on.

Every way ends in a `PowerResult` for a person, never in an exception. What takes something away gives it back in the
same thread: a task that is cancelled meanwhile leaves nothing off. A process that is killed does, which is why it is
written down before; `restore` mends it at the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

from hardware.transport.threads import call_in_thread
from hardware.usb import usbfs
from hardware.usb.hubs import PortPower, Switching, port_power
from hardware.usb.ports import DEV, SYSFS, is_plug
from hardware.usb.timeouts import OFF_TIME, REAUTHORISE_PAUSE, RESET_DEADLINE, SWITCH_DEADLINE

T = TypeVar("T")

ON_TRIES: Final = 3  # to give back what was taken away
GONE: Final = frozenset({errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ESHUTDOWN})
FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM})


class Outcome(StrEnum):
    DONE = "done"
    NOT_PERMITTED = "not_permitted"
    NOT_SUPPORTED = "not_supported"  # this hub, this kernel or this container cannot; trying again changes nothing
    REFUSED = "refused"  # it would harm something else just now
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PowerResult:
    """`what` happened and the `fix` for it, for a person; no fix when there is nothing to mend."""

    outcome: Outcome
    what: str
    fix: str = ""

    @property
    def ok(self) -> bool:
        return self.outcome is Outcome.DONE

    @property
    def sentence(self) -> str:
        return f"{self.what}; {self.fix}" if self.fix else self.what


@dataclass(frozen=True, slots=True)
class Autosuspend:
    """Whether the kernel may put a device to sleep; modems forget what they were told, or do not wake."""

    allowed: bool
    delay_ms: int | None
    asleep: bool


def may_cut(path: str, busy: Collection[str], power: PortPower) -> PowerResult | None:
    """None if a plug may lose its current now; else why not. `busy` are plugs of modems that must keep theirs."""
    if path in busy:
        return PowerResult(Outcome.REFUSED, f"the modem at {path} is at work")
    if at_work := [other for other in power.shared if other in busy]:
        return PowerResult(
            Outcome.REFUSED, f"{_all_of(power)} lose their current together, and the modem at {at_work[0]} is at work"
        )
    if power.harmed is not None:
        return PowerResult(
            Outcome.REFUSED,
            f"{_all_of(power)} lose their current together, and one is {power.harmed}",
            "put the modems on a hub of their own that switches each port by itself",
        )
    return None


class PowerTools:
    """What may be done to plugs; one change of current at a time. Safe to make anywhere: it only stores."""

    def __init__(
        self,
        *,
        sysfs: Path = SYSFS,
        dev: Path = DEV,
        uhubctl: str = "uhubctl",
        off_time: float = OFF_TIME,
        pause: float = REAUTHORISE_PAUSE,
        memory: Path | None = None,
        busy: Callable[[], Collection[str]] = tuple,
        ioctl: usbfs.Ioctl = fcntl.ioctl,
    ) -> None:
        """`memory` is a file that says what is off just now; it need not outlive the machine.

        `busy` tells the plugs of modems that must keep their current: those that send, or all that work.
        """
        self._sysfs = sysfs
        self._dev = dev
        self._uhubctl = uhubctl
        self._off_time = off_time
        self._pause = pause
        self._memory = _Memory(memory, sysfs)
        self._busy = busy
        self._ioctl = ioctl
        self._one_at_a_time = asyncio.Lock()

    async def reset(self, path: str) -> PowerResult:
        """Reset the plug's port (USBDEVFS_RESET). Its ttys go and come back, under the same address or a new one."""
        return await self._call(f"reset {path}", RESET_DEADLINE, lambda: self._reset(path))

    async def reauthorise(self, path: str) -> PowerResult:
        """Take the device from its drivers and give it back (`authorized` 0, then 1); its ttys go and come back."""
        deadline = self._pause + SWITCH_DEADLINE
        return await self._call(f"reauthorise {path}", deadline, lambda: self._reauthorise(path))

    async def cycle(self, path: str) -> PowerResult:
        """Take the current away for some seconds, where the hub can and nothing else is harmed (`may_cut`)."""
        deadline = self._off_time + SWITCH_DEADLINE
        try:
            async with asyncio.timeout(deadline):
                await self._one_at_a_time.acquire()
        except TimeoutError:
            return _hangs("what was switched before", deadline)
        try:
            busy = frozenset(self._busy())
            switching = call_in_thread(f"switch {path}", lambda: self._cycle(path, busy), _nothing)
        except BaseException:
            self._one_at_a_time.release()
            raise
        switching.add_done_callback(lambda _: self._one_at_a_time.release())  # not before its thread has ended
        await asyncio.wait({switching}, timeout=deadline)
        return switching.result() if switching.done() else _hangs(f"switch {path}", deadline)

    async def can_cycle(self, path: str) -> PowerResult:
        """Whether the plug's current can be switched at all, and what with it; permissions aside."""
        power = await self.port_power(path)
        if power is None:
            return _nothing_at(path)
        if self._means(power) is None:
            return _cannot(power)
        return PowerResult(Outcome.DONE, f"the current of {_all_of(power)} can be switched off and on")

    async def port_power(self, path: str) -> PortPower | None:
        """What is known of the plug's current; None: there is no such plug, or the kernel does not answer."""
        look = call_in_thread(f"hub of {path}", lambda: self._port_power(path), _nothing)
        try:
            async with asyncio.timeout(SWITCH_DEADLINE):
                return await look
        except TimeoutError:
            return None

    async def autosuspend(self, path: str) -> Autosuspend | None:
        """None: there is no such device, or the kernel has no power management."""
        return await call_in_thread(f"autosuspend of {path}", lambda: self._autosuspend(path), _nothing)

    async def keep_awake(self, path: str) -> PowerResult:
        """Forbid autosuspend for one device (`power/control` on), until it is unplugged."""
        return await self._call(f"keep {path} awake", SWITCH_DEADLINE, lambda: self._keep_awake(path))

    async def restore(self) -> list[PowerResult]:
        """Give back what a bridge that was killed had taken away. To be called at start, before anything else here."""
        look = call_in_thread("what is off", self._restore, _nothing)
        try:
            async with asyncio.timeout(SWITCH_DEADLINE):
                return await look
        except TimeoutError:
            return [_hangs("what was switched before", SWITCH_DEADLINE)]

    async def _call(self, name: str, deadline: float, function: Callable[[], PowerResult]) -> PowerResult:
        try:
            async with asyncio.timeout(deadline):
                return await call_in_thread(name, function, _nothing)
        except TimeoutError:
            return _hangs(name, deadline)

    # In a thread from here on

    def _device(self, path: str) -> Path:
        return self._sysfs / "bus" / "usb" / "devices" / path

    def _reset(self, path: str) -> PowerResult:
        try:
            bus, address = (int((self._device(path) / name).read_text()) for name in ("busnum", "devnum"))
        except (OSError, ValueError):
            return _nothing_at(path)
        node = self._dev / "bus" / "usb" / f"{bus:03d}" / f"{address:03d}"
        if not node.exists():
            return PowerResult(
                Outcome.NOT_SUPPORTED,
                f"{path} cannot be reset: {node} is not there",
                "give the container the devices: -v /dev:/dev",
            )
        try:
            usbfs.reset(node, self._ioctl)
        except OSError as error:
            if error.errno in GONE:  # it came back as something else, or not at all: the watcher tells
                return PowerResult(Outcome.DONE, f"{path} was reset and enumerates anew")
            if error.errno == errno.ENOTTY:
                return PowerResult(Outcome.NOT_SUPPORTED, f"{path} cannot be reset: {node} is no USB device")
            return _failed(f"{path} cannot be reset", error, node)
        return PowerResult(Outcome.DONE, f"{path} was reset")

    def _reauthorise(self, path: str) -> PowerResult:
        file = self._device(path) / "authorized"
        if not file.exists():
            return _nothing_at(path)
        what = f"{path} cannot be logged off and on"
        self._memory.note([(file, "1")])
        try:
            _write(file, "0")
        except OSError as error:
            self._memory.forget()
            return _failed(what, error, file)
        time.sleep(self._pause)
        try:
            _insist([file], "1")
            self._memory.forget()
        except OSError as error:
            if error.errno in GONE:
                return PowerResult(Outcome.DONE, f"{path} was logged off and enumerates anew")
            return _failed(f"{path} is logged off and does not log on", error, file, "unplug it and plug it in again")
        return PowerResult(Outcome.DONE, f"{path} was logged off and on")

    def _cycle(self, path: str, busy: Collection[str]) -> PowerResult:
        power = self._port_power(path)
        if power is None:
            return _nothing_at(path)
        means = self._means(power)
        if means is None:
            return _cannot(power)
        if (refusal := may_cut(path, busy, power)) is not None:
            return refusal
        if means == "uhubctl":
            return self._by_uhubctl(power)
        return self._by_sysfs(power)

    def _by_sysfs(self, power: PortPower) -> PowerResult:
        what = f"the current of {_all_of(power)} cannot be switched"
        off: list[Path] = []
        failure: OSError | None = None
        self._memory.note([(file, "0") for file in reversed(power.files)])
        try:
            for file in power.files:
                off.append(file)
                _write(file, "1")
            time.sleep(self._off_time)
        except OSError as error:
            failure, failed = error, off[-1]
        try:
            _insist(reversed(off), "0")  # of a USB 3 port the other half first, as it is sorted behind
            self._memory.forget()
        except OSError as error:
            if failure is None:
                return _failed(f"the current of {_all_of(power)} is off and does not come back", error, off[0], _REPLUG)
        if failure is not None:
            return _failed(what, failure, failed)
        return PowerResult(Outcome.DONE, f"the current of {_all_of(power)} was off for {self._off_time:g} s")

    def _by_uhubctl(self, power: PortPower) -> PowerResult:
        what = f"the current of {power.path} cannot be switched"
        place = power.hub.removeprefix("usb")
        command = [self._uhubctl, "-l", place, "-p", str(power.port), "-a", "cycle", "-d", f"{self._off_time:g}", "-N"]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self._off_time + SWITCH_DEADLINE,
                check=False,
                start_new_session=True,  # a Ctrl-C at the bridge must not leave the port off
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return PowerResult(Outcome.FAILED, f"{what}: uhubctl {_reason(error)}")
        said = (done.stdout + done.stderr).lower()
        if "permission" in said:
            return PowerResult(Outcome.NOT_PERMITTED, f"{what}: uhubctl may not", _UDEV)
        if done.returncode != 0 or f"new status for hub {place}" not in said:
            return PowerResult(Outcome.FAILED, f"{what}: uhubctl does not find the hub or the hub does not obey")
        return PowerResult(Outcome.DONE, f"the current of {power.path} was off for {self._off_time:g} s")

    def _means(self, power: PortPower) -> str | None:
        if power.switching is Switching.NONE:
            return None
        if power.files:
            return "sysfs"
        if power.switching is Switching.INDIVIDUAL and shutil.which(self._uhubctl) is not None:
            return "uhubctl"
        return None

    def _port_power(self, path: str) -> PortPower | None:
        return port_power(path, self._sysfs, self._dev, self._ioctl)

    def _autosuspend(self, path: str) -> Autosuspend | None:
        folder = self._device(path) / "power"
        try:
            control = (folder / "control").read_text().strip()
        except OSError:
            return None
        delay: int | None = None
        status = ""
        with contextlib.suppress(OSError, ValueError):
            delay = int((folder / "autosuspend_delay_ms").read_text())
        with contextlib.suppress(OSError):
            status = (folder / "runtime_status").read_text().strip()
        return Autosuspend(control == "auto" and (delay is None or delay >= 0), delay, status == "suspended")

    def _keep_awake(self, path: str) -> PowerResult:
        file = self._device(path) / "power" / "control"
        try:
            _write(file, "on")
        except OSError as error:
            if error.errno in GONE:
                return _nothing_at(path)
            return _failed(f"{path} cannot be kept awake", error, file)
        return PowerResult(Outcome.DONE, f"{path} is kept awake")

    def _restore(self) -> list[PowerResult]:
        results = []
        for file, value in self._memory.recall():
            try:
                _insist([file], value)
            except OSError as error:
                if error.errno not in GONE:
                    results.append(_failed(f"{file.parent.name} was left switched off", error, file, _REPLUG))
            else:
                results.append(PowerResult(Outcome.DONE, f"{file.parent.name} was left switched off and is on again"))
        self._memory.forget()
        return results


class _Memory:
    """What must be written where to give back what is taken away just now."""

    def __init__(self, file: Path | None, sysfs: Path) -> None:
        self._file = file
        self._sysfs = sysfs

    def note(self, debts: list[tuple[Path, str]]) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # a full disk must not keep a modem from being mended
                self._file.write_text("".join(f"{value} {file}\n" for file, value in debts))

    def forget(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.unlink(missing_ok=True)

    def recall(self) -> list[tuple[Path, str]]:
        """Only what can have been written here: nothing else of the machine is touched, whatever the file says."""
        if self._file is None:
            return []
        try:
            lines = self._file.read_text(errors="replace").splitlines()
        except OSError:
            return []
        found = [(Path(name), value) for value, _, name in (line.partition(" ") for line in lines)]
        allowed = {("disable", "0"), ("authorized", "1")}
        return [
            (file, value)
            for file, value in found
            if (file.name, value) in allowed and ".." not in file.parts and file.is_relative_to(self._sysfs)
        ]


_REPLUG: Final = "unplug the hub and plug it in again"
_UDEV: Final = "copy hardware/udev/60-sms-bridge.rules to /etc/udev/rules.d and restart, or run the bridge as root"


def _all_of(power: PortPower) -> str:
    return " and ".join((power.path, *power.shared))


def _cannot(power: PortPower) -> PowerResult:
    if power.switching is Switching.NONE:
        sentence = f"the hub {power.hub} cannot switch the current of {power.path}"
        return PowerResult(
            Outcome.NOT_SUPPORTED, sentence, "use a hub that switches each port by itself, or a smart plug"
        )
    if power.switching is Switching.INDIVIDUAL:
        return PowerResult(
            Outcome.NOT_SUPPORTED,
            f"the hub {power.hub} can switch the current of {power.path}, but this kernel cannot tell it to",
            "sudo apt install uhubctl, or use Linux 6.0 or newer",
        )
    return PowerResult(
        Outcome.NOT_SUPPORTED,
        f"the ports of {power.hub} are switched together or in an unknown way, and this kernel cannot switch them",
        "use Linux 6.0 or newer, or a hub that switches each port by itself",
    )


def _nothing_at(path: str) -> PowerResult:
    if not is_plug(path):
        return PowerResult(Outcome.NOT_SUPPORTED, f"{path} is not a USB plug")
    return PowerResult(Outcome.FAILED, f"nothing is plugged in at {path}")


def _hangs(what: str, seconds: float) -> PowerResult:
    return PowerResult(
        Outcome.FAILED,
        f"{what}: the kernel has not answered for {seconds:g} s, its hub or driver hangs",
        "unplug the hub and plug it in again, or restart the machine",
    )


def _failed(what: str, error: OSError, file: Path, fix: str = "") -> PowerResult:
    if error.errno in FORBIDDEN:
        return PowerResult(Outcome.NOT_PERMITTED, f"{what}: the bridge may not write to {file}", _UDEV)
    if error.errno == errno.EROFS:
        return PowerResult(
            Outcome.NOT_PERMITTED,
            f"{what}: {file} is read-only here",
            "in a container mount it writable: -v /sys/bus/usb:/sys/bus/usb -v /sys/devices:/sys/devices",
        )
    return PowerResult(Outcome.FAILED, f"{what}: {_reason(error)}", fix)


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        return "does not end"
    number = getattr(error, "errno", None)
    return os.strerror(number) if isinstance(number, int) else str(error)


def _write(file: Path, text: str) -> None:
    """Into a file that is there; a write to sysfs does at once what it says, and may block while it is done."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _insist(files: Iterable[Path], text: str) -> None:
    """Write to each, several times if it must be; raises the last error, after all were tried."""
    failure: OSError | None = None
    for file in files:
        for attempt in range(ON_TRIES):
            try:
                _write(file, text)
                break
            except OSError as error:
                if attempt == ON_TRIES - 1:
                    failure = error
                elif error.errno not in FORBIDDEN | GONE:
                    time.sleep(0.2)
    if failure is not None:
        raise failure


def _nothing(_result: object) -> None:
    return
