"""How much may be under way, and how fast: window and rate, and what throttling does to them (domain C3). Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import random as any_random

from sms_bridge.routes.smpp.status import OnBind

SMALLER = 0.5  # of the window or the rate, when the centre complains
GROWTH = 1.1  # of the rate, each
GROW_EVERY = 30.0  # seconds
SAME_COMPLAINT = 1.0  # seconds in which more complaints are answers to what was sent before the first of them
BURST = 0.1  # seconds of the rate that may go out at once
SLOWEST = 0.2  # messages a second; slower than that nobody means
MEASURED_OVER = 1.0  # seconds
UNLIMITED = 2000.0  # messages a second from which on an account without a limit of its own has none again

FIRST_DELAY, LONGEST_DELAY = 1.0, 60.0  # seconds between two attempts to connect (domain C4)
JITTER = 0.2
STEADY = 60.0  # seconds bound after which the next attempt is a first one again
STILL_BOUND_DELAY = 60.0  # seconds: the centre has to give the old session up first
STOPPED_DELAY = 300.0  # seconds between two tries of a password that was refused: more would lock the account
UNBOUND_DELAY = 10.0  # seconds after the centre itself has ended a session


class Window:
    """How many submits may be unanswered: grows by one for each window that was answered, is halved by complaints."""

    __slots__ = ("_quiet_until", "_size", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._size = float(limit)
        self._quiet_until = 0.0

    @property
    def size(self) -> int:
        """At least one."""
        return int(self._size)

    def accepted(self, count: int) -> None:
        """So many submits were taken."""
        if self._size < self.limit:
            self._size = min(float(self.limit), self._size + count / self._size)

    def complaint(self, now: float) -> None:
        """The centre is asked too much."""
        if now >= self._quiet_until:
            self._size = max(1.0, self._size * SMALLER)
            self._quiet_until = now + SAME_COMPLAINT


class Rate:
    """Messages a second: the configured limit, less while the centre complains."""

    __slots__ = ("_at", "_grown_at", "_now_limit", "_paused_until", "_quiet_until", "_recent", "_tokens", "limit")

    def __init__(self, limit: float | None) -> None:
        self.limit = limit
        self._now_limit = limit
        self._tokens = self._burst()
        self._at = 0.0
        self._grown_at = 0.0
        self._paused_until = 0.0
        self._quiet_until = 0.0
        self._recent: deque[tuple[float, int]] = deque()  # (when, how many) of the last second

    @property
    def current(self) -> float | None:
        """Messages a second at present; None: as fast as the window lets."""
        return self._now_limit

    def room(self, now: float) -> int | None:
        """How many may go out now; None: any number."""
        if now < self._paused_until:
            return 0
        self._grow(now)
        if self._now_limit is None:
            return None
        self._fill(now)
        return int(self._tokens + 1e-6)

    def next_at(self, now: float) -> float:
        """When `room` is not 0 any more."""
        if now < self._paused_until:
            return self._paused_until
        if self._now_limit is None or self._tokens + 1e-6 >= 1:
            return now
        return now + (1 - self._tokens) / self._now_limit

    def spend(self, count: int, now: float) -> None:
        """So many went out."""
        self._tokens -= count
        self._recent.append((now, count))
        while self._recent and self._recent[0][0] <= now - MEASURED_OVER:
            self._recent.popleft()

    def complaint(self, now: float, pause: float) -> None:
        """The centre says that it was too fast: nothing for `pause` seconds, and half the rate after that."""
        self._paused_until = max(self._paused_until, now + pause)
        if now < self._quiet_until:
            return
        self._quiet_until = now + max(SAME_COMPLAINT, pause)
        seen = sum(count for at, count in self._recent if at > now - MEASURED_OVER) / MEASURED_OVER
        before = self._now_limit if self._now_limit is not None else max(seen, 2 * SLOWEST)
        self._now_limit = max(SLOWEST, before * SMALLER)
        self._grown_at = self._paused_until
        self._tokens, self._at = min(self._tokens, 1.0) if self._tokens > 0 else 0.0, self._paused_until

    def _grow(self, now: float) -> None:
        while self._now_limit is not None and self._now_limit != self.limit and now >= self._grown_at + GROW_EVERY:
            self._grown_at += GROW_EVERY
            self._now_limit *= GROWTH
            if self.limit is not None:
                self._now_limit = min(self._now_limit, self.limit)
            elif self._now_limit > UNLIMITED:
                self._now_limit = None

    def _fill(self, now: float) -> None:
        assert self._now_limit is not None
        if now > self._at:
            self._tokens = min(self._burst(), self._tokens + (now - self._at) * self._now_limit)
            self._at = now

    def _burst(self) -> float:
        return max(1.0, (self._now_limit or 0.0) * BURST)


class Backoff:
    """When to connect again: 1, 2, 4 to 60 seconds, and by what the last attempt met (domain C4)."""

    def __init__(self, random: Callable[[], float] = any_random) -> None:
        self._random = random
        self._failures = 0

    def lost(self, bound_for: float) -> float:
        """Seconds to wait after a connection that ended or never came; `bound_for`: seconds that it served."""
        if bound_for >= STEADY:
            self._failures = 0
        delay = min(FIRST_DELAY * 2.0 ** min(self._failures, 10), LONGEST_DELAY)
        self._failures += 1
        return delay * (1 + JITTER * (2 * self._random() - 1))

    def unbound(self, bound_for: float) -> float:
        """The same when the centre took its leave."""
        return max(UNBOUND_DELAY, self.lost(bound_for))

    def refused(self, what: OnBind) -> float:
        """The same when the bind was refused."""
        own = self.lost(0.0)
        least = {OnBind.BACKOFF: 0.0, OnBind.WAIT: STILL_BOUND_DELAY, OnBind.STOP: STOPPED_DELAY}[what]
        return max(own, least * (1 + JITTER * self._random()))
