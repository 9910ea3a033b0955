"""How long the network has not had a modem, and what is due about it: rarely anything (domain A10). Pure."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from hardware.modem import timeouts
from hardware.modem.ladder import NETWORK, Ladder, Step, Verdict
from hardware.types import Registration

__all__ = ["Absence", "Due"]

_REGISTERED = frozenset({Registration.HOME, Registration.ROAMING, Registration.SMS_ONLY})

REFUSED = (
    "the network refuses this SIM; is it active and paid for, does its contract allow this country,"
    " is the modem's IMEI barred?"
)
NOWHERE = (
    "no network since {since}; look at the antenna, try the SIM in a telephone here, and mind that 2G and 3G are"
    " switched off in many places"
)


class Due(StrEnum):
    """What a modem without a network needs now."""

    NOTHING = "nothing"
    RADIO = "radio"  # off the air and back: it looks for a network anew
    RESTART = "restart"
    REFUSED = "refused"  # the SIM is the fault, and a person's


class Absence:
    """One modem's, over all its connections. Times are of one monotonic clock; the sentence has the wall clock's."""

    def __init__(self) -> None:
        self.ladder = Ladder(NETWORK)
        self._since: float | None = None
        self._refused_since: float | None = None
        self._refused_at = 0.0  # the last time
        self._shown_since = ""

    def look(self, registration: Registration, now: float, served_until: float | None, wall: datetime) -> Due:
        """To be asked every few seconds while there is no network; `served_until`: when it last could send."""
        if registration in _REGISTERED:
            self._refused_since = None
            return Due.NOTHING
        if self._since is None or (served_until is not None and served_until > self._since):
            before, self._since = self._since, now if served_until is None else served_until
            self._shown_since = f"{wall:%Y-%m-%d %H:%M}"
            self._refused_since = None
            self.ladder.failed(self._since - before if before is not None else 0.0)
        if registration is Registration.DENIED:
            self._refused_at = now
            self._refused_since = now if self._refused_since is None else self._refused_since
        elif now - self._refused_at > timeouts.REFUSED_GAP:
            self._refused_since = None
        if self._refused_since is not None:
            return Due.REFUSED if now - self._refused_since >= timeouts.LOST_NETWORK else Due.NOTHING
        if now - self._since < timeouts.LOST_NETWORK:
            return Due.NOTHING
        advice = self.ladder.advise(now)
        if advice.verdict is not Verdict.STEP:
            return Due.NOTHING
        return Due.RADIO if advice.step is Step.RADIO else Due.RESTART

    def sentence(self, now: float) -> str | None:
        """What a person should know of it; None while it is too early to say."""
        if self._since is None or now - self._since < timeouts.LOST_NETWORK:
            return None
        return NOWHERE.format(since=self._shown_since)
