"""Lock files of serial ports as UUCP left them to us: /run/lock/LCK..ttyUSB0 with the owner's pid (FHS 5.9, HDB form).

minicom, pppd and Gammu (with `use_locking = yes`) go by them; flock and TIOCEXCL, which others go by, come on top.
Whoever may write into the folder may keep us from a port, so a lock counts only while its owner may be using it.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import threading
import time
from pathlib import Path
from typing import Final

from hardware.transport.holders import PROC, Holder, describe, has_open
from hardware.transport.paths import real_path

FOLDER: Final = Path("/run/lock")  # /var/lock is a link to it
GRACE: Final = 1.0  # s between a lock file and the opening of its port, and for a lock file to get its content
LARGEST: Final = 64  # octets; ten digits and a newline, Gammu adds its name
HIGHEST_PID: Final = 1 << 22  # PID_MAX_LIMIT
KERNEL_THREAD: Final = 0x00200000  # PF_KTHREAD, of the flags in /proc/PID/stat


class Locked(Exception):
    """Another program has the port by a lock file."""

    def __init__(self, file: Path, holder: Holder) -> None:
        super().__init__(f"{holder} has it by {file}")
        self.file = file
        self.holder = holder


class PortLock:
    """The lock files of one port that are ours. Made by `acquire`; `release` is idempotent. Blocking."""

    def __init__(self, files: tuple[Path, ...]) -> None:
        self._files = files

    @property
    def files(self) -> tuple[Path, ...]:
        """Empty where the folder may not be written, or is not there."""
        return self._files

    def release(self) -> None:
        """Remove those that are still ours."""
        with _guard:
            files, self._files = self._files, ()
            for file in files:
                _ours.discard(file)
                if _owner(file) == os.getpid():
                    with contextlib.suppress(OSError):
                        file.unlink()


def acquire(device: str, folder: Path = FOLDER, proc: Path = PROC) -> PortLock:
    """Lock `device` by all names that others may lock it by; raises Locked. May take a second, for a doubtful lock."""
    held: list[Path] = []
    try:
        for file in (folder / f"LCK..{name}" for name in _names(device)):
            if _lock(file, device, proc):
                held.append(file)  # noqa: PERF401 (what is locked must be known when the next one raises)
    except BaseException:
        PortLock(tuple(held)).release()
        raise
    return PortLock(tuple(held))


_guard = threading.Lock()
_ours: set[Path] = set()  # files that this process has now: one with our pid besides is a predecessor's


def _names(device: str) -> list[str]:
    """The node's own name, and the name it was opened by if that is one of the system's (/dev/serial/by-id/…)."""
    names = [os.path.basename(real_path(device))]
    if device.startswith("/dev/") and (other := os.path.basename(device)) not in names:
        names.append(other)
    return names


def _lock(file: Path, device: str, proc: Path) -> bool:
    """True: made. False: locks cannot be made here, and nobody else's stands."""
    for _ in range(3):  # a stale one is removed, and somebody may be quicker than we
        with _guard:
            _refuse_ours(file, proc)
            if _create(file):
                _ours.add(file)
                return True
        holder = _live_owner(file, device, proc)
        if holder is not None:
            raise Locked(file, holder)
        with _guard:
            _refuse_ours(file, proc)
            try:
                file.unlink(missing_ok=True)
            except OSError:  # not ours to remove, and nobody's any more
                return False
    return False


def _refuse_ours(file: Path, proc: Path) -> None:
    if file in _ours:
        raise Locked(file, describe(os.getpid(), proc))


def _create(file: Path) -> bool:
    """Make it with its content at once, so that nobody ever reads half of it."""
    draft = file.with_name(f"LTMP.{os.getpid()}.{threading.get_ident()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileExistsError:  # of a predecessor with our pid
        with contextlib.suppress(OSError):
            draft.unlink()
        return False
    except OSError:
        return False
    try:
        os.fchmod(descriptor, 0o644)  # whatever the umask: others must be able to read it
        os.write(descriptor, f"{os.getpid():>10}\n".encode())
        os.link(draft, file)
    except OSError:
        return False
    finally:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            draft.unlink()
    return True


def _live_owner(file: Path, device: str, proc: Path) -> Holder | None:
    """Whom a lock file keeps the port for; None: nobody, it is stale, foreign to the matter, or gone."""
    pid = _owner(file)
    if pid is None:
        if not file.exists():
            return None
        time.sleep(GRACE)  # somebody writes it this moment, or never will
        pid = _owner(file)
    if pid is None or pid == os.getpid() or not _runs(pid, proc):
        return None
    if has_open(pid, device, proc) is False:
        time.sleep(GRACE)  # the lock comes before the port; or the number is another program's by now
        if has_open(pid, device, proc) is False and _owner(file) == pid:
            return None
    return describe(pid, proc)


def _owner(file: Path) -> int | None:
    """The pid in a lock file; None: there is none, or nothing that can be one. Never blocks on what stands there."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        content = os.read(descriptor, LARGEST)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    if len(content) == 4 and not content.strip().isdigit():  # the old binary form
        pid = int.from_bytes(content, "little")
    elif found := re.match(rb"\s*(\d{1,10})(?=\s|\0|$)", content):
        pid = int(found[1])
    else:
        return None
    return pid if 0 < pid <= HIGHEST_PID else None


def _runs(pid: int, proc: Path) -> bool:
    """Whether a program has this pid: neither nobody, nor one that has ended, nor a thread of the kernel."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        pass
    try:
        words = (proc / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        return words[0] != "Z" and not int(words[6]) & KERNEL_THREAD
    except (OSError, ValueError, IndexError):  # hidden from us
        return True
