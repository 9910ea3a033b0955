"""The time of day and the time that passes, in one place so that tests can own both.

The time of day is not what the machine's clock says at each moment: a Raspberry Pi without a clock of its own learns
the time from the network, minutes after its start, by a jump of hours or decades (domain A11). `now` runs evenly, and
follows a jump when `core.timekeeping` has moved what waits for a time, in the same step (docs/adr/0004).
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Protocol

JUMP = 60_000  # ms; less is what an NTP client corrects now and then, and delays no message noticeably
STEP = 1_000  # ms; less is the drift between two looks
SET_AFTER = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000)  # a clock that says less was never set
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    def now(self) -> int:
        """UTC milliseconds since 1970; jumps with `adopt` only."""

    def monotonic(self) -> float:
        """Seconds since the machine was started, asleep or not; never jumps, the same in all its processes."""

    def boot(self) -> str:
        """Names this run of the machine: within it, `monotonic` of two processes can be compared."""

    def astray(self) -> int:
        """By how many milliseconds the machine's clock has left `now`."""

    def adopt(self, by: int) -> None:
        """Move `now` by so many milliseconds."""


class SystemClock:
    """The machine's clocks."""

    def __init__(self) -> None:
        self._offset = _offset()  # ns between the machine's start and 1970
        self._boot = ""

    def now(self) -> int:
        return (self._offset + time.clock_gettime_ns(time.CLOCK_BOOTTIME)) // 1_000_000

    def monotonic(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def boot(self) -> str:
        if not self._boot:
            try:
                self._boot = _BOOT_ID.read_text(encoding="ascii").strip()
            except OSError:
                self._boot = os.urandom(8).hex()  # nothing can be compared with other processes
        return self._boot

    def astray(self) -> int:
        return round((_offset() - self._offset) / 1_000_000)

    def adopt(self, by: int) -> None:
        self._offset += by * 1_000_000


def to_ms(moment: datetime) -> int:
    """An aware datetime as UTC milliseconds since 1970."""
    return round(moment.timestamp() * 1000)


def from_ms(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


@lru_cache(maxsize=32)  # a batch has one time
def rfc3339(ms: int) -> str:
    """`2026-11-22T19:00:07.250+00:00`."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


def _offset() -> int:
    return time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
