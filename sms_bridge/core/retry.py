"""What follows from a part that was definitely not sent (domain A9, E3.5)."""

from __future__ import annotations

from dataclasses import dataclass

from hardware.types import Action, SendError
from sms_bridge.core.model import Order
from sms_bridge.core.settings import CoreSettings

# The modem is gone, wedged or told to stop: says nothing about the message, and is not held against it.
FREE_CODES = frozenset({"port_lost", "modem_offline", "not_answering", "not_authorised", "cancelled", "stopped"})
FREE_DELAY = 1.0  # seconds, doubled each time up to the cap, so that a flapping modem does not spin
FREE_CAP = 60.0
MAX_ATTEMPTS_EVER = 200  # even for these

_HERE_OR_ELSEWHERE = frozenset({Action.RETRY_SAME, Action.IGNORE, Action.UNKNOWN})
_ELSEWHERE = frozenset(
    {
        Action.RETRY_OTHER,
        Action.SIM_FAULT,
        Action.SIM_PIN,
        Action.SIM_CFG,
        Action.MODEM_RESET,
        Action.STORAGE,
        Action.CAPABILITY,
    }
)


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again: after `delay` seconds anywhere, or, when `elsewhere`, at once on another modem."""

    delay: float
    elsewhere: bool
    counts: bool


def decide(
    order: Order, error: SendError | None, settings: CoreSettings, *, modem: str, others: bool, bound: bool
) -> Retry | None:
    """Whether and how to try again; None: it failed. `bound`: only this SIM may send the rest."""
    action = error.action if error else Action.RETRY_SAME
    if error is not None and error.code in FREE_CODES:
        delay = min(FREE_DELAY * float(2 ** min(order.attempt - 1, 10)), FREE_CAP)
        return Retry(delay, not bound, False) if order.attempt < MAX_ATTEMPTS_EVER else None
    elsewhere = action in _ELSEWHERE or action is Action.FAIL_ROUTE
    again = others and not bound and modem in order.excluded.split()
    if elsewhere and again and order.attempt < MAX_ATTEMPTS_EVER:
        # A barred SIM refuses in a fraction of the time that a good one needs to send: it must not use up the attempts.
        return Retry(settings.retry_cap, True, False)
    if order.failures + 1 >= settings.max_attempts:
        return None
    delay = _delay(order, error, settings)
    if action in _HERE_OR_ELSEWHERE:
        return Retry(delay, False, True)
    if action in _ELSEWHERE:
        return Retry(delay, others and not bound, True)
    if action is Action.FAIL_ROUTE:
        # One other SIM may try what this one was refused, no more.
        refused = set(order.excluded.split()) | {modem}
        if others and not bound and len(refused) < 2:
            return Retry(delay, True, True)
    return None


def _delay(order: Order, error: SendError | None, settings: CoreSettings) -> float:
    own = min(settings.retry_base * float(2**order.failures), settings.retry_cap)
    asked = error.retry_after if error and error.retry_after is not None else 0.0
    return max(own, asked)
