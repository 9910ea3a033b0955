"""Who holds a port: read from /proc, blocking for some milliseconds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple


class Holder(NamedTuple):
    pid: int
    program: str


def holders_of(device: str, proc: Path = Path("/proc")) -> list[Holder]:
    """The processes that have `device` open, the owner of its lock alone if there is one; only those we may look at."""
    target = os.path.realpath(device)
    lockers = _lock_owners(target, proc)
    return [
        Holder(int(entry), _program(proc / entry))
        for entry in _entries(proc)
        if entry.isdecimal() and (not lockers or int(entry) in lockers) and _has_open(proc / entry / "fd", target)
    ]


def _entries(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:  # ended meanwhile, or not ours to look at
        return []


def _has_open(descriptors: Path, target: str) -> bool:
    for descriptor in _entries(descriptors):
        try:
            if os.readlink(descriptors / descriptor) == target:
                return True
        except OSError:  # closed meanwhile
            continue
    return False


def _program(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return "unknown"


def _lock_owners(target: str, proc: Path) -> set[int]:
    """Processes with a flock on `target` (proc(5), /proc/locks: `1: FLOCK ADVISORY WRITE 123 00:18:5 0 EOF`)."""
    try:
        status = os.stat(target)
        lines = (proc / "locks").read_text().splitlines()
    except OSError:
        return set()
    inode = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    words = (line.split() for line in lines)
    return {int(word[4]) for word in words if len(word) > 5 and word[1] == "FLOCK" and word[5] == inode}
