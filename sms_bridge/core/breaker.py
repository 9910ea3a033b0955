"""A circuit breaker: a route that fails again and again is left alone, then tried with one order at a time. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum


class BreakerState(StrEnum):
    CLOSED = "closed"  # it works
    OPEN = "open"  # it is left alone until its back-off is over
    HALF_OPEN = "half_open"  # one order at a time shows whether it works again


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """Times in seconds. Only what speaks of the route counts: never a number that nobody has."""

    in_a_row: int = 5  # failures after which it opens
    window: int = 20  # or, among so many outcomes,
    share: float = 0.5  # this share of failures
    back_off: float = 5.0  # until the first try; doubled with each that fails
    cap: float = 300.0
    successes: int = 2  # tries that must succeed before it closes
    patience: float = 300.0  # with an order that was taken to see, and of which nothing is heard: another one then
    calm: float = 60.0  # closed for so long, the next back-off is the first again


class Breaker:
    """Of one route. Times are of any clock that never goes back."""

    def __init__(self, settings: BreakerSettings | None = None) -> None:
        self._settings = settings or BreakerSettings()
        self._latest: deque[bool] = deque(maxlen=self._settings.window)
        self._in_a_row = 0
        self._until: float | None = None  # when the back-off ends; None: closed
        self._openings = 0  # in this bad time
        self._closed_at = 0.0
        self._successes = 0
        self._probing: float | None = None  # since when
        self.reason = ""  # of the failure that opened it

    def state(self, now: float) -> BreakerState:
        if self._until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self._until else BreakerState.HALF_OPEN

    def may_probe(self, now: float) -> bool:
        """Whether one order may be taken to see if it works again."""
        if self._probing is not None and now - self._probing < self._settings.patience:
            return False
        return self.state(now) is BreakerState.HALF_OPEN

    def probe(self, now: float) -> None:
        """That order was taken."""
        self._probing = now

    def failed(self, now: float, reason: str) -> bool:
        """The route refused or could not; True: this opened it."""
        state = self.state(now)
        if state is BreakerState.OPEN:
            return False  # the last of what was under way
        self._probing = None
        if state is BreakerState.HALF_OPEN:
            self._open(now, reason)
            return False  # it never closed
        self._in_a_row += 1
        self._latest.append(False)
        bad = self._latest.count(False)
        full = len(self._latest) == self._settings.window
        if self._in_a_row < self._settings.in_a_row and not (full and bad >= self._settings.share * len(self._latest)):
            return False
        if now - self._closed_at > self._settings.calm:
            self._openings = 0
        self._open(now, reason)
        return True

    def worked(self, now: float, count: int = 1) -> bool:
        """The route took `count` parts; True: this closed it."""
        state = self.state(now)
        if state is BreakerState.OPEN:
            return False
        self._probing = None
        if state is BreakerState.HALF_OPEN:
            self._successes += count
            if self._successes < self._settings.successes:
                return False
            self._until = None
            self._closed_at = now
            self._latest.clear()
            self._in_a_row = 0
            return True
        self._in_a_row = 0
        for _ in range(min(count, self._settings.window)):
            self._latest.append(True)
        return False

    def said_nothing(self) -> None:
        """What was taken ended in a way that says nothing of the route."""
        self._probing = None

    def _open(self, now: float, reason: str) -> None:
        back_off = min(self._settings.back_off * 2.0 ** min(self._openings, 30), self._settings.cap)
        self._until = now + back_off
        self._openings += 1
        self._successes = 0
        self.reason = reason
