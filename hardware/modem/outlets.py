"""Power from outside: USB plugs and hubs, a switch in the wall, and who else hangs on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from hardware.modem import timeouts
from hardware.modem.ladder import LADDER, Rung, Step

__all__ = [
    "Neighbour",
    "Outlets",
    "PowerSwitch",
    "PowerTools",
    "RecoveryTools",
    "Said",
    "StepResult",
    "hub_of",
    "minutes",
]


class StepResult(Protocol):
    """What came of a step, for a person: `hardware.usb.power.PowerResult` is one."""

    @property
    def outcome(self) -> str:
        """`done`, `failed`, `refused` (not just now), `not_permitted` or `not_supported`."""

    @property
    def sentence(self) -> str: ...


class PowerTools(Protocol):
    """What can be done to a USB plug such as `1-1.3`: `hardware.usb.power`. Nothing raises, all of it has deadlines.

    It knows by itself which plugs must keep their current: `Outlets.busy` tells it.
    """

    async def reset(self, path: str) -> StepResult:
        """USBDEVFS_RESET."""

    async def reauthorise(self, path: str) -> StepResult:
        """`authorized` to 0 and back to 1."""

    async def cycle(self, path: str) -> StepResult:
        """The current of its hub port off and on; never where a modem that works would lose it too."""


class PowerSwitch(Protocol):
    """A switch outside, such as a plug that obeys a topic."""

    async def power(self, modem: str, on: bool) -> bool:
        """True once the order was taken by whoever carries it out."""


@dataclass(frozen=True, slots=True)
class Said:
    """A `StepResult` of our own."""

    outcome: str
    sentence: str


class Neighbour(Protocol):
    """What others may know of a modem before they switch something that it may hang on, too."""

    @property
    def usb_path(self) -> str | None: ...
    @property
    def sending(self) -> bool: ...
    @property
    def can_send(self) -> bool: ...


class Outlets:
    """Who hangs on which hub and which switch, and when each was switched: one for all modems of a process."""

    def __init__(self) -> None:
        self._modems: dict[str, tuple[Neighbour, str | None]] = {}
        self._switched: dict[str, float] = {}

    def join(self, name: str, modem: Neighbour, outlet: str | None) -> None:
        """`outlet` names the switch outside that feeds it, if one does."""
        self._modems[name] = (modem, outlet)

    def leave(self, name: str) -> None:
        self._modems.pop(name, None)

    def hub_refusal(self, name: str, path: str, now: float) -> Said | None:
        """Why the power of this plug may not be switched now; None: it may, as far as is known here."""
        hub = hub_of(path)
        if (left := self._left(f"hub {hub}", now)) > 0:
            return Said("refused", f"a port of its hub was switched {minutes(timeouts.SWITCH_PAUSE - left)} ago")
        for other, (modem, _) in self._modems.items():
            if other != name and modem.usb_path is not None and _hangs_on(modem.usb_path, hub) and modem.sending:
                return Said("refused", f"{other} on the same hub is sending")
        return None

    def busy(self) -> frozenset[str]:
        """The plugs of the modems that work: they must not lose their current."""
        return frozenset(
            modem.usb_path
            for modem, _ in self._modems.values()
            if modem.usb_path is not None and (modem.sending or modem.can_send)
        )

    def switch_refusal(self, name: str, now: float) -> Said | None:
        """The same for the switch outside: it may feed others, and those that work are left alone."""
        _, outlet = self._modems.get(name, (None, None))
        if outlet is None:
            return Said("not_supported", "no power switch is configured for it")
        if (left := self._left(f"switch {outlet}", now)) > 0:
            return Said("refused", f"its power was switched {minutes(timeouts.SWITCH_PAUSE - left)} ago")
        for other, (modem, its_outlet) in self._modems.items():
            if other != name and its_outlet == outlet and (modem.sending or modem.can_send):
                return Said("refused", f"the switch feeds {other} too, which works")
        return None

    def switched(self, name: str, step: Step, path: str | None, now: float) -> None:
        """The power of this modem was taken away."""
        _, outlet = self._modems.get(name, (None, None))
        key = f"hub {hub_of(path)}" if step is Step.HUB_POWER and path is not None else f"switch {outlet}"
        self._switched[key] = now

    def _left(self, key: str, now: float) -> float:
        last = self._switched.get(key)
        return 0.0 if last is None else last + timeouts.SWITCH_PAUSE - now


@dataclass(slots=True)
class RecoveryTools:
    """What recovery has besides AT commands; `outlet` names the switch outside, off for `off_time` seconds."""

    usb: PowerTools | None = None
    switch: PowerSwitch | None = None
    outlet: str | None = None
    off_time: float = 10.0
    rungs: tuple[Rung, ...] = LADDER
    outlets: Outlets = field(default_factory=Outlets)


def hub_of(path: str) -> str:
    """`1-1` for the plug `1-1.3`, `usb1` for `1-2`: what its port belongs to."""
    parent, dot, _ = path.rpartition(".")
    return parent if dot else f"usb{path.partition('-')[0]}"


def _hangs_on(path: str, hub: str) -> bool:
    return path.startswith(f"{hub}.") if "-" in hub else path.startswith(f"{hub.removeprefix('usb')}-")


def minutes(seconds: float) -> str:
    """As a person says it, and the same for a while: it stands in a state that is published when it changes."""
    return "a minute" if seconds < 90 else f"{round(seconds / 60)} minutes"
