"""Lanes: which modems may take an order. The name stands in the order's row."""

from __future__ import annotations

from sms_bridge.core.model import AUTO, ClaimantView, Order

ANY = ""
_MODEM = "m:"
_SIM = "s:"


def lane_of(modem_wanted: str) -> str:
    """The lane of an order of which nothing may have been sent yet."""
    return ANY if modem_wanted == AUTO else _MODEM + modem_wanted


def lane_of_sim(sim: str) -> str:
    """The lane of the rest of a message: only the SIM that began it (domain B7)."""
    return _SIM + sim


def home_lane(order: Order) -> str:
    return lane_of(order.modem_wanted)


def lanes_for(modem: ClaimantView) -> tuple[str, str, str]:
    """The lanes a modem serves, the most pressing first."""
    return (_SIM + modem.sim, _MODEM + modem.name, ANY)
