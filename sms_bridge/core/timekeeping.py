"""What the journal does when the machine's clock jumps: what waits for a time goes on waiting as long as it was to.

Moved are the times that were reckoned from the clock: a message's expiry, the wait for a SIM, for a second try, for
missing parts. What a person wrote as a time of day (`send_at`, `deadline`) stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from sms_bridge.core.clock import JUMP, Clock, rfc3339
from sms_bridge.core.events import event_json
from sms_bridge.core.model import ClockMark, OutboxKind, Waits
from sms_bridge.core.ports import Transaction
from sms_bridge.core.settings import CoreSettings


@dataclass(frozen=True, slots=True)
class Reading:
    """A look at the clock; plain values for the writer thread."""

    now: int  # UTC ms
    uptime: int  # ms since the machine was started
    boot: str

    @classmethod
    def of(cls, clock: Clock) -> Reading:
        return cls(clock.now(), int(clock.monotonic() * 1000), clock.boot())

    @property
    def offset(self) -> int:
        """What the clock adds to the uptime: constant until it jumps."""
        return self.now - self.uptime


@dataclass(frozen=True, slots=True)
class Followed:
    """By how many ms the clock jumped (0: it did not), and the deadlines that moved with it, by order."""

    by: int
    deadlines: dict[int, int]


def follow(tx: Transaction, reading: Reading, settings: CoreSettings) -> Followed:
    """Bring the journal to the clock as it is; right whether it jumped under this process, or between two.

    After another start of the machine nobody knows how much time has passed: no wait lasts longer than if it began
    now, and the expiry of older orders stands as it is.
    """
    mark = tx.clock_mark()
    same = mark is not None and mark.boot == reading.boot
    by = reading.offset - mark.offset if same and mark is not None else 0
    tx.set_clock_mark(ClockMark(reading.boot, reading.offset))
    if same and abs(by) <= JUMP:
        return Followed(0, {})
    tx.move_waits(by, reading.now, _longest(settings))
    tx.move_talks(by, reading.now)
    deadlines = tx.move_expiries(by, reading.boot) if by else {}
    if by:
        before = rfc3339(reading.now - by)
        tx.emit(
            OutboxKind.EVENT, event_json("clock_changed", reading.now, {"before": before, "seconds": round(by / 1000)})
        )
    return Followed(by, deadlines)


def _longest(settings: CoreSettings) -> Waits:
    bound, retry = settings.bound_wait, settings.retry_cap
    most = (bound + retry, retry, max(bound, retry), settings.reassembly_timeout)
    return Waits(*(int(seconds * 1000) for seconds in most))
