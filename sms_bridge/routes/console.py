"""AT commands that a person types, for who looks for a fault."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from hardware.errors import HardwareError
from hardware.modem import Modem
from sms_bridge.core.commands import refusal
from sms_bridge.core.errors import CoreError

log = logging.getLogger(__name__)


class ConsoleRefused(CoreError):
    """There is no answer; the text and the hint are for a person."""


class AtConsole:
    """Modems by name."""

    def __init__(self, modem_of: Callable[[str], Modem]) -> None:
        self._modem_of = modem_of

    async def ask(self, modem: str, command: str) -> dict[str, Any]:
        """One command and the lines of its answer. ConsoleRefused."""
        text = command.strip(" ")
        why = refusal(text)
        if why is not None:
            raise ConsoleRefused(why)
        log.info("%s: a person asks %s", modem, text.partition("=")[0].upper())
        try:
            lines = await self._modem_of(modem).command(text)
        except HardwareError as error:
            raise ConsoleRefused(str(error), hint=error.hint) from error
        return {"modem": modem, "command": text, "lines": lines}
