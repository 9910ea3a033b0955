"""What modems are mended with: the USB, plugs that obey a topic, and who hangs on what. One for a process."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from hardware.modem import Outlets, RecoveryTools
from hardware.usb.power import PowerTools
from sms_bridge.routes.switches import PowerSwitches, Publish, Switch

__all__ = ["Mending", "TimedSwitch"]

log = logging.getLogger(__name__)


class TimedSwitch(Switch, Protocol):
    """A plug, and the seconds that it stays off."""

    @property
    def off_time(self) -> float: ...


class Mending:
    """Hands each modem its tools; `switch_of` tells its plug by its name."""

    def __init__(self, data: Path, switch_of: Callable[[str], TimedSwitch | None], publish: Publish) -> None:
        self._switch_of = switch_of
        self._outlets = Outlets()
        self._usb = PowerTools(memory=data / "usb-off", busy=self._outlets.busy)
        self._switches = PowerSwitches(switch_of, publish, data / "switched-off")

    def tools(self, modem: str) -> RecoveryTools:
        """Of the modem of that name."""
        tools = RecoveryTools(usb=self._usb, outlets=self._outlets)
        if (switch := self._switch_of(modem)) is not None:
            tools.switch, tools.outlet, tools.off_time = self._switches, switch.topic, switch.off_time
        return tools

    async def restore_usb(self) -> None:
        """Give back what a bridge that was killed had taken away. At the start, before a port is opened."""
        for given_back in await self._usb.restore():
            log.warning("%s", given_back.sentence)

    async def restore_power(self) -> None:
        """The same with plugs; returns when the broker has all orders."""
        await self._switches.restore()
