"""Who holds a port, in words: read from /proc, blocking for some milliseconds.

What may be seen without root: which process has a lock (flock) on any file, and every process's name; which files a
process has open only of our own user's. From within a container nobody outside of it is seen.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from hardware.transport.grabbers import KNOWN, Grabber
from hardware.transport.paths import real_path

PROC: Final = Path("/proc")
INTERPRETERS: Final = re.compile(r"(python[\d.]*|node|nodejs|java|perl|ruby|bash|sh|dash|MainThread)")
FIRST_PID_NAMESPACE: Final = "pid:[4026531836]"  # PROC_PID_INIT_INO (linux/proc_ns.h)
NAME_LENGTH: Final = 40  # characters of a name that a process gave itself


class Holder(NamedTuple):
    """A process; `unit` as systemd has it, `container` when it runs in one."""

    pid: int
    program: str
    unit: str | None = None
    container: bool = False

    def __str__(self) -> str:
        return f"{self.program} (pid {self.pid})"


@dataclass(frozen=True, slots=True)
class Holding:
    """What is known of who has a port open."""

    holders: tuple[Holder, ...]
    suspects: tuple[Holder, ...]  # programs that take modems, running, whose open files we may not see
    unseen: str | None  # why `holders` may not be all


def who_holds(device: str, proc: Path = PROC) -> Holding:
    """Who has `device` open, whom else to suspect, and what could not be seen."""
    target = real_path(device)
    holders: dict[int, Holder] = {}
    suspects: list[Holder] = []
    hidden = 0
    for pid in _pids(proc):
        files = _open_files(proc / str(pid) / "fd")
        if files is None:
            hidden += 1
            holder = describe(pid, proc)
            if (grabber := grabber_of(holder)) is not None and grabber.unasked:
                suspects.append(holder)
        elif target in files:
            holders[pid] = describe(pid, proc)
    for pid in _lock_owners(target, proc) - holders.keys():
        if (proc / str(pid)).exists():
            holders[pid] = describe(pid, proc)
    found = tuple(holder for _, holder in sorted(holders.items()))
    left = tuple(holder for holder in suspects if holder.pid not in holders)
    return Holding(found, left, _unseen(hidden, proc))


def holders_of(device: str, proc: Path = PROC) -> list[Holder]:
    """The processes that have `device` open, the owner of its lock alone if there is one; only those we may look at."""
    target = real_path(device)
    lockers = {pid for pid in _lock_owners(target, proc) if (proc / str(pid)).exists()}
    pids = sorted(lockers) or [pid for pid in _pids(proc) if target in (_open_files(proc / str(pid) / "fd") or ())]
    return [describe(pid, proc) for pid in pids]


def rivals_of(device: str, proc: Path = PROC) -> list[Holder]:
    """Other processes that have `device` open, locked or not, as far as they may be seen.

    Two programs on one modem take each other's answers. Behind a pty the process that plays the modem is none.
    """
    target = real_path(device)
    number = target.removeprefix("/dev/pts/")
    rivals = []
    for pid in _pids(proc):
        if pid != os.getpid() and target in (files := _open_files(proc / str(pid) / "fd") or {}):
            if number != target and _plays_modem(proc / str(pid), files, number):
                continue
            rivals.append(describe(pid, proc))
    return rivals


def has_open(pid: int, device: str, proc: Path = PROC) -> bool | None:
    """Whether a process has `device` open; None: we may not see."""
    files = _open_files(proc / str(pid) / "fd")
    return None if files is None else real_path(device) in files


def is_tty(device: str, proc: Path = PROC) -> bool:
    """Whether a path leads to a terminal device of any driver (proc(5), /proc/tty/drivers); it is not opened."""
    try:
        status = os.stat(device)
        lines = (proc / "tty" / "drivers").read_text().splitlines()
    except (OSError, ValueError):
        return False
    words = (line.split() for line in lines)  # usbserial /dev/ttyUSB 188 0-511 serial
    majors = {int(word[-3]) for word in words if len(word) > 3 and word[-3].isdecimal()}
    return stat.S_ISCHR(status.st_mode) and os.major(status.st_rdev) in majors


def describe(pid: int, proc: Path = PROC) -> Holder:
    """A process by the name a person knows it by."""
    name = _text(proc / str(pid) / "comm")
    words = _text(proc / str(pid) / "cmdline").split("\0")
    unit, container = _unit(_text(proc / str(pid) / "cgroup"))
    if INTERPRETERS.fullmatch(name):
        name = _script(words, unit) or name
    elif len(name) == 15 and os.path.basename(words[0]).startswith(name):  # the kernel keeps 15 characters
        name = os.path.basename(words[0])
    return Holder(pid, _printable(name) or "unknown", unit, container)


def grabber_of(holder: Holder) -> Grabber | None:
    """What is known of this program, if it is one that is known to take serial ports."""
    service = (holder.unit or "").removesuffix(".service").partition("@")[0]
    return KNOWN.get(holder.program.lower()) or KNOWN.get(service.lower())


def fix_for(holder: Holder, *, vid_pid: str | None = None, port: str | None = None) -> str:
    """What a person does about it; `vid_pid` such as `2c7c:0125` gives ModemManager's rule."""
    known = grabber_of(holder)
    if holder.container:
        stop = "it runs in a container (docker ps shows which): stop that, or take the device away from it"
    elif holder.unit is not None:
        stop = f"stop it with: sudo systemctl disable --now {holder.unit.removesuffix('.service')}"
    elif known is not None and known.unit is not None:
        name = os.path.basename(port) if port else "…"
        stop = f"stop it with: sudo systemctl disable --now {known.unit.format(tty=name)}"
    else:
        stop = f"stop {holder.program}, or give it another port"
    if known is None:
        return stop
    rule = None
    if vid_pid is not None:
        vid, _, pid = vid_pid.partition(":")
        rule = f'ATTRS{{idVendor}}=="{vid}", ATTRS{{idProduct}}=="{pid}", ENV{{ID_MM_DEVICE_IGNORE}}="1"'
    return known.fix(stop, rule)


def _pids(proc: Path) -> Iterator[int]:
    return (int(entry) for entry in _entries(proc) if entry.isdecimal())


def _entries(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:  # ended meanwhile, or not ours to look at
        return []


def _open_files(folder: Path) -> dict[str, str] | None:
    """File → its descriptor; None where we may not look."""
    try:
        descriptors = os.listdir(folder)
    except PermissionError:
        return None
    except OSError:  # ended meanwhile
        return {}
    files = {}
    for descriptor in descriptors:
        try:
            files[os.readlink(f"{folder}/{descriptor}")] = descriptor
        except PermissionError:
            return None
        except OSError:  # closed meanwhile
            continue
    return files


def _plays_modem(process: Path, files: dict[str, str], number: str) -> bool:
    """Whether it has the pty's other side (proc(5), fdinfo of /dev/ptmx: `tty-index: 5`)."""
    for descriptor in _entries(process / "fd"):
        try:
            if not os.readlink(process / "fd" / descriptor).endswith("/ptmx"):
                continue
        except OSError:
            continue
        if re.search(rf"^tty-index:\s*{number}$", _text(process / "fdinfo" / descriptor), re.MULTILINE):
            return True
    return False


def _unseen(hidden: int, proc: Path) -> str | None:
    try:
        namespace = os.readlink(proc / "self" / "ns" / "pid")
    except OSError:
        namespace = FIRST_PID_NAMESPACE
    if namespace != FIRST_PID_NAMESPACE:
        return "programs outside this container cannot be seen from here"
    if hidden:
        return f"{hidden} programs of other users cannot be looked into without root"
    return None


def _lock_owners(target: str, proc: Path) -> set[int]:
    """Processes with a flock on `target` (proc(5), /proc/locks: `1: FLOCK ADVISORY WRITE 123 00:18:5 0 EOF`)."""
    try:
        status = os.stat(target)
        lines = (proc / "locks").read_text().splitlines()
    except (OSError, ValueError):
        return set()
    inode = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    words = (line.split() for line in lines)
    return {
        int(word[4])
        for word in words
        if len(word) > 5 and word[1] == "FLOCK" and word[5] == inode and word[4].isdecimal() and word[4] != "0"
    }


def _unit(cgroup: str) -> tuple[str | None, bool]:
    """systemd's unit and whether it is a container's, of /proc/PID/cgroup (`0::/system.slice/gammu-smsd.service`)."""
    container = bool(re.search(r"docker|libpod|containerd|kubepods|/lxc", cgroup))
    found = re.search(r"/([A-Za-z0-9_.:@\\-]+\.service)$", cgroup, re.MULTILINE)
    if found is None or container or found[1].startswith("user@"):
        return None, container
    return found[1], container


def _script(words: list[str], unit: str | None) -> str | None:
    """What an interpreter runs, if that is a name that says something."""
    if unit is not None and (service := unit.removesuffix(".service")).lower() in KNOWN:
        return service
    for word in words[1:4]:
        for part in reversed(word.split("/")):
            stem = re.sub(r"\.(js|py|sh|jar|pl)$", "", part)
            if stem.lower() in KNOWN:
                return stem
    if len(words) > 2 and words[1] == "-m":
        return words[2]
    if len(words) > 1 and words[1] and not words[1].startswith("-"):
        return os.path.basename(words[1])
    return None


def _text(file: Path) -> str:
    try:
        return file.read_bytes()[:4096].decode(errors="replace").rstrip("\n")
    except OSError:
        return ""


def _printable(name: str) -> str:
    """A process may call itself anything."""
    return "".join(letter if letter.isprintable() else "?" for letter in name[:NAME_LENGTH]).strip()
