"""Which modem for this message: who may, then who has spoken with the recipient, then who is done first. Pure.

Modems fetch their work, so the question is never "who?" but "I, or rather another one?". An idle modem leaves an order
to another one only for a reason that can be named, and never for long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

FIRST_GUESS = 4.0  # seconds a part takes, until it is known (domain B1)
WEIGHT = 0.2  # of the newest part in a modem's running mean
STICKY_PATIENCE = 10.0  # seconds that the SIM which the recipient knows may have to do before
STICKY_AT_MOST = 300.0  # seconds after which an order goes to whoever is free: the estimate was wrong
# Another modem must be done this much sooner for an idle one to leave it the order: estimates are no more exact.
GAIN = 0.3  # of one's own time
LEAST_GAIN = 1.0  # second


class Sticky(StrEnum):
    """How firmly a conversation holds to its SIM."""

    PREFER = "prefer"  # while that SIM is in service, and not for long
    STRICT = "strict"  # rather wait, or expire, than write from another number
    OFF = "off"


class Reason(StrEnum):
    """Why a modem is, or is not, the one."""

    FIRST = "it is done with it first"
    ABLE = "it takes it as soon as it is free, should nobody be sooner"
    STICKY = "the recipient knows this SIM"
    LEFT_TO_SIM = "the recipient knows another SIM, which is in service"
    ONLY_SIM = "the recipient knows another SIM, and `sticky` is strict"
    LEFT_TO_FASTER = "another modem is done with it sooner"


@dataclass(slots=True)
class Rival:
    """A modem in service. `free_in`: seconds until it has sent what it holds; `pace`: seconds it takes for a part."""

    name: str
    sim: str
    free_in: float
    pace: float

    def done_in(self, parts: int) -> float:
        return self.free_in + parts * self.pace


@dataclass(frozen=True, slots=True)
class Leave:
    """It is left to another modem; to be considered anew after `again` seconds (None: when something changes)."""

    reason: Reason
    to: Rival | None
    again: float | None


def leaves(
    me: Rival, rivals: Sequence[Rival], parts: int, known_sim: str | None, waited: float, sticky: Sticky
) -> Leave | None:
    """Whether `me`, free now, leaves an order of `parts` to another one; None: it takes it.

    `known_sim`: the SIM that the recipient knows; `waited`: seconds since the order could have been sent.
    """
    if known_sim is not None and known_sim != me.sim and sticky is not Sticky.OFF:
        if sticky is Sticky.STRICT:
            return Leave(Reason.ONLY_SIM, None, None)
        holder = next((rival for rival in rivals if rival.sim == known_sim), None)
        if holder is not None and holder.free_in < STICKY_PATIENCE and waited < STICKY_AT_MOST:
            return Leave(Reason.LEFT_TO_SIM, holder, STICKY_AT_MOST - waited)
    if known_sim == me.sim:
        return None
    mine = me.done_in(parts)
    best = min(rivals, key=lambda rival: rival.done_in(parts), default=None)
    if best is None or best.done_in(parts) + max(LEAST_GAIN, GAIN * mine) > mine:
        return None
    return Leave(Reason.LEFT_TO_FASTER, best, best.free_in + LEAST_GAIN)
