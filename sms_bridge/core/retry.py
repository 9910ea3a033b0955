"""What follows from a part that was definitely not sent (domain A9, E3.5)."""

from __future__ import annotations

from dataclasses import dataclass

from hardware.types import Action, SendError
from sms_bridge.core.model import MODEMS, Order
from sms_bridge.core.settings import CoreSettings

# The modem is gone, wedged or told to stop: says nothing about the message, and is not held against it.
FREE_CODES = frozenset(
    {"port_lost", "modem_offline", "route_offline", "not_answering", "not_authorised", "cancelled", "stopped"}
)
FREE_DELAY = 1.0  # seconds, doubled each time up to the cap, so that a flapping modem does not spin
FREE_CAP = 60.0
MAX_ATTEMPTS_EVER = 200  # even for these
# The peer asks for less at a time: no failure at all (domain C3, 0x58).
SLOWER_CODES = frozenset({"throttled"})
SLOWER_DELAY = 1.0  # seconds, unless the peer's answer asks for more
# Failures of one route that may pass at any time, until the next one is tried: an alarm cannot wait for long.
PASSING_TRIES = 2

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


# These speak of the message: no other route would do better.
_OF_MESSAGE = frozenset({Action.FAIL, Action.BUG, Action.TREAT_AS_SENT})


@dataclass(frozen=True, slots=True)
class Others:
    """Who else might send an order: the other modems in service, and the routes that are up."""

    modems: frozenset[str] = frozenset()
    routes: frozenset[str] = frozenset()


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
    if error is not None and error.code in SLOWER_CODES and order.attempt < MAX_ATTEMPTS_EVER:
        return Retry(max(SLOWER_DELAY, error.retry_after or 0.0), False, False)
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


def speaks_of_route(error: SendError | None) -> bool:
    """Whether a definite failure says something of the route, and not of the message or of one modem that is gone."""
    if error is None:
        return True
    return error.code not in FREE_CODES | SLOWER_CODES and error.action not in _OF_MESSAGE


def is_exhausted(
    order: Order, error: SendError | None, retry: Retry | None, who: str, route: str, others: Others
) -> bool:
    """Whether the route of `who` has done for this order what it can, so that the next one is to try it."""
    action = error.action if error else Action.RETRY_SAME
    if action in _OF_MESSAGE:
        return False
    if retry is None:
        return True
    if error is not None and error.code in FREE_CODES | SLOWER_CODES:
        return False
    refused = set(order.excluded.split()) | {who}
    if route == MODEMS and others.modems - refused:
        return False
    return retry.elsewhere or action in _ELSEWHERE or order.failures + 1 >= PASSING_TRIES


def _delay(order: Order, error: SendError | None, settings: CoreSettings) -> float:
    own = min(settings.retry_base * float(2**order.failures), settings.retry_cap)
    asked = error.retry_after if error and error.retry_after is not None else 0.0
    return max(own, asked)
