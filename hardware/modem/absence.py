"""What is due about a network that does not have a modem: rarely anything (domain A10). Pure.

Health says what a person should know of it; this says when the modem is helped to look again.
"""

from __future__ import annotations

from enum import StrEnum

from hardware.modem import timeouts
from hardware.modem.ladder import NETWORK, Ladder, Step, Verdict
from hardware.types import Registration

__all__ = ["Absence", "Due"]

_REGISTERED = frozenset({Registration.HOME, Registration.ROAMING, Registration.SMS_ONLY})


class Due(StrEnum):
    """What a modem without a network needs now."""

    NOTHING = "nothing"
    RADIO = "radio"  # off the air and back: it looks for a network anew
    RESTART = "restart"


class Absence:
    """One modem's, over all its connections. Times are of one monotonic clock."""

    def __init__(self) -> None:
        self.ladder = Ladder(NETWORK)
        self._since: float | None = None
        self._refused_at: float | None = None

    def look(self, registration: Registration, now: float, served_until: float | None) -> Due:
        """To be asked every few seconds while there is no network; `served_until`: when it last could send."""
        if registration in _REGISTERED:
            return Due.NOTHING
        if self._since is None or (served_until is not None and served_until > self._since):
            before, self._since = self._since, now if served_until is None else served_until
            self._refused_at = None
            self.ladder.failed(self._since - before if before is not None else 0.0)
        if registration is Registration.DENIED:
            self._refused_at = now
        if self._refused_at is not None and now - self._refused_at <= timeouts.REFUSED_GAP:
            return Due.NOTHING  # the SIM is the fault: no radio and no restart of the modem helps
        if now - self._since < timeouts.LOST_NETWORK:
            return Due.NOTHING
        advice = self.ladder.advise(now)
        if advice.verdict is not Verdict.STEP:
            return Due.NOTHING
        return Due.RADIO if advice.step is Step.RADIO else Due.RESTART
