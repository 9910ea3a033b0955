"""Which step is next when a modem fails: cool-downs, caps, an order from the gentlest on. Pure: time is handed in.

A climb begins at the bottom and only goes up. A modem that then serves for `STABLE_SERVICE` seconds takes one step down
for each time that long: one which fails every quarter of an hour begins neither with its plug nor always at the bottom.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from hardware.modem import timeouts

__all__ = ["LADDER", "NETWORK", "SIM", "Advice", "Ladder", "Result", "Rung", "Step", "Tried", "Verdict"]

HOUR = 3600.0
MOST_POSTPONED = 30  # times that a step may have to wait for others before it is skipped: ten minutes


class Step(StrEnum):
    """What can be done about a modem, the gentlest first."""

    RESYNC = "resync"  # ESC, drain, a recognisable question, and the set-up once more
    REOPEN = "reopen"  # the port closed and opened
    RADIO = "radio"  # off the air and back, for a modem that finds no network
    CFUN = "cfun"  # AT+CFUN=1,1 or what the modem has for it
    USB_RESET = "usb_reset"  # USBDEVFS_RESET
    AUTHORIZE = "authorize"  # the kernel lets the device go and takes it again
    HUB_POWER = "hub_power"  # the hub takes the port's power away
    POWER_SWITCH = "power_switch"  # a plug outside does


class Result(StrEnum):
    """What came of a step."""

    DONE = "done"  # it was carried out; whether it helped, time will tell
    FAILED = "failed"
    SKIPPED = "skipped"  # not possible or not permitted here


class Verdict(StrEnum):
    STEP = "step"  # do this
    WAIT = "wait"  # nothing now: the last step needs its time, or the next one its distance
    GIVE_UP = "give_up"  # all was tried: a person


@dataclass(frozen=True, slots=True)
class Rung:
    """A step with its limits; times in seconds."""

    step: Step
    tries: int = 1  # in one climb
    cooldown: float = 0.0  # between two of these
    per_hour: int = 60
    settle: float = 0.0  # what the modem gets to come back before the next step


LADDER: tuple[Rung, ...] = (
    Rung(Step.RESYNC, cooldown=30.0, per_hour=12),
    Rung(Step.REOPEN, tries=3),
    Rung(Step.CFUN, cooldown=60.0, per_hour=6, settle=timeouts.RESTART_SETTLE),
    Rung(Step.USB_RESET, cooldown=60.0, per_hour=4, settle=timeouts.RESTART_SETTLE),
    Rung(Step.AUTHORIZE, cooldown=120.0, per_hour=3, settle=timeouts.RESTART_SETTLE),
    Rung(Step.HUB_POWER, cooldown=900.0, per_hour=4, settle=timeouts.POWER_SETTLE),  # domain A13: one in 15 minutes
    Rung(Step.POWER_SWITCH, cooldown=900.0, per_hour=4, settle=timeouts.POWER_SETTLE),
)
"""For a modem that does not answer, does not obey, or whose port hangs (domain A13)."""

NETWORK: tuple[Rung, ...] = (
    Rung(Step.RADIO, tries=2, cooldown=1800.0, per_hour=2, settle=1800.0),
    Rung(Step.CFUN, cooldown=6 * HOUR, per_hour=1, settle=6 * HOUR),
)
"""For one that works and finds no network (domain A10): rarely, it is mostly the antenna, the SIM or the operator."""

SIM: tuple[Rung, ...] = (Rung(Step.CFUN, cooldown=HOUR, per_hour=1, settle=timeouts.RESTART_SETTLE),)
"""For a SIM that does not work (domain A9, CMS 313): once, then a person."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One step of this climb and what came of it; `at` is of the clock that the ladder was told."""

    step: Step
    result: Result
    sentence: str
    at: float


@dataclass(frozen=True, slots=True)
class Advice:
    """`step` is to be done, or `seconds` are to be waited (after GIVE_UP: until the next climb)."""

    verdict: Verdict
    step: Step | None = None
    seconds: float = 0.0


@dataclass(slots=True)
class _State:
    """What is known of one rung."""

    used: int = 0  # in this climb
    skipped: bool = False
    postponed: int = 0
    not_before: float = 0.0
    history: deque[float] = field(default_factory=deque)  # of the last hour, and the last one of all


class Ladder:
    """One modem's. `failed` when it goes out of service, `advise`, then `note` what came of the advised step."""

    def __init__(
        self, rungs: Iterable[Rung] = LADDER, *, stable: float = timeouts.STABLE_SERVICE, rest: float = timeouts.REST
    ) -> None:
        self.tried: list[Tried] = []
        self._rungs = tuple(rungs)
        self._stable = stable
        self._rest = rest
        self._states = {rung.step: _State() for rung in self._rungs}
        self._height = 0
        self._settled_at = 0.0
        self._given_up_until: float | None = None
        self._rests = 0  # in a row

    @property
    def given_up(self) -> bool:
        return self._given_up_until is not None

    def failed(self, served: float) -> None:
        """The modem is out of service after `served` seconds in it."""
        steps = int(served // self._stable)
        if steps <= 0:
            return
        self._height = max(0, self._height - steps)
        self._rests = 0
        self._begin_at(self._height)

    def begin_anew(self) -> None:
        """Whatever was tried was tried on something else: a person had it in hand. Distances and caps stand."""
        self._height = self._rests = 0
        self._settled_at = 0.0
        self._begin_at(0)

    def may(self, step: Step, now: float) -> bool:
        """Whether `step` could be done at `now` and this height, whatever is advised."""
        state = self._states[step]
        free = not state.skipped and state.used < self._rung(step).tries and self.due(step) <= now
        return free and self._height_of(step) >= self._height and not self.given_up and now >= self._settled_at

    def advise(self, now: float, steps: Collection[Step] | None = None) -> Advice:
        """What to do at `now`; only one of `steps`, where given."""
        if self._given_up_until is not None:
            if now < self._given_up_until:
                return Advice(Verdict.GIVE_UP, seconds=self._given_up_until - now)
            self._height = 0
            self._begin_at(0)
        if now < self._settled_at:
            return Advice(Verdict.WAIT, seconds=self._settled_at - now)
        earliest: float | None = None
        for rung in self._rungs[self._height :]:
            state = self._states[rung.step]
            if state.skipped or state.used >= rung.tries or (steps is not None and rung.step not in steps):
                continue
            due = self.due(rung.step)
            if due <= now:
                return Advice(Verdict.STEP, rung.step)
            earliest = due if earliest is None else min(earliest, due)
        if earliest is not None:
            return Advice(Verdict.WAIT, seconds=earliest - now)
        rest = min(self._rest * 2**self._rests, timeouts.LONGEST_REST)
        self._rests += 1
        self._given_up_until = now + rest
        return Advice(Verdict.GIVE_UP, seconds=rest)

    def note(self, step: Step, result: Result, sentence: str, now: float) -> None:
        """What came of `step`, by advice or because a person asked for it."""
        self.tried.append(Tried(step, result, sentence, now))
        state = self._states.get(step)
        if state is None:
            return
        if result is Result.SKIPPED:
            state.skipped = True
            return
        state.used += 1
        self._height = max(self._height, self._height_of(step))
        while state.history and state.history[0] <= now - HOUR:
            state.history.popleft()
        state.history.append(now)
        if result is Result.DONE:
            self._settled_at = now + self._rung(step).settle

    def postpone(self, step: Step, sentence: str, until: float, now: float) -> None:
        """`step` has to wait for others; after too many times it is skipped."""
        state = self._states[step]
        state.postponed += 1
        state.not_before = until
        if state.postponed >= MOST_POSTPONED:
            self.note(step, Result.SKIPPED, sentence, now)

    def due(self, step: Step) -> float:
        """When `step` may be done at the earliest, as far as its cool-down and its cap go."""
        rung, state = self._rung(step), self._states[step]
        due = state.not_before
        if state.history:
            due = max(due, state.history[-1] + rung.cooldown)
        if len(state.history) >= rung.per_hour:
            due = max(due, state.history[-rung.per_hour] + HOUR)
        return due

    def recovered(self) -> None:
        """It helped: what was tried is history. The height stays, `failed` takes it down."""
        self.tried.clear()

    def _begin_at(self, height: int) -> None:
        self._given_up_until = None
        self.tried.clear()
        for rung in self._rungs[height:]:
            state = self._states[rung.step]
            state.used = state.postponed = 0
            state.skipped = False

    def _height_of(self, step: Step) -> int:
        return next(height for height, rung in enumerate(self._rungs) if rung.step is step)

    def _rung(self, step: Step) -> Rung:
        return self._rungs[self._height_of(step)]
