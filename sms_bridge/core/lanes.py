"""Lanes: which modems or routes may take an order. The name stands in the order's row."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from sms_bridge.core.model import AUTO, MODEMS, ClaimantView, Order

ANY = ""  # any modem, and nobody else
_MODEM = "m:"
_SIM = "s:"
_PLAN = "r:"


def lane_of(modem_wanted: str) -> str:
    """The lane of an order of which nothing may have been sent yet."""
    return ANY if modem_wanted == AUTO else _MODEM + modem_wanted


def lane_of_plan(routes: Sequence[str]) -> str:
    """The lane of an order that these routes may send, the first that is up before the others."""
    return ANY if tuple(routes) == (MODEMS,) else _PLAN + ",".join(routes)


@lru_cache(maxsize=1024)
def routes_of(lane: str) -> tuple[str, ...]:
    """The routes whose turn it may be; none for what only one modem or SIM may send."""
    if lane == ANY:
        return (MODEMS,)
    return tuple(lane.removeprefix(_PLAN).split(",")) if lane.startswith(_PLAN) else ()


def without(lane: str, route: str) -> str | None:
    """The plan after `route` has failed; None: nobody is left."""
    left = [name for name in routes_of(lane) if name != route]
    return lane_of_plan(left) if left else None


def is_plan(lane: str) -> bool:
    """Whether more than the modems may take what is in it."""
    return lane.startswith(_PLAN)


def is_own(lane: str) -> bool:
    """Whether only the modem that was asked for may take what is in it."""
    return lane.startswith(_MODEM)


def is_common(lane: str) -> bool:
    """Whether any modem may take what is in it, among others perhaps."""
    return lane == ANY or lane.startswith(_PLAN)


def lane_of_sim(sim: str) -> str:
    """The lane of the rest of a message: only the SIM that began it (domain B7), or the route."""
    return _SIM + sim


def home_lane(order: Order) -> str:
    """The lane that it began in."""
    return order.plan or lane_of(order.modem_wanted)


def plan_lane(order: Order) -> str:
    """What is left of its plan."""
    return home_lane(order) if order.lane.startswith(_SIM) else order.lane


def lanes_for(modem: ClaimantView) -> tuple[str, str, str]:
    """The lanes that are a modem's whatever the plans say, the most pressing first."""
    return (_SIM + modem.sim, _MODEM + modem.name, ANY)
