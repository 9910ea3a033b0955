"""Ways to ask a modem: what may be refused, what must be answered, what needs patience with a SIM."""

from __future__ import annotations

import asyncio

from hardware.at.channel import AtChannel
from hardware.at.types import AtCommandError, Command, Response
from hardware.errors import AtTimeout, ModemError
from hardware.modem import timeouts

__all__ = ["ask", "is_busy", "must", "patiently", "refused_as"]

# SIM or message service not ready yet (domain A9): the same question is right a moment later.
_BUSY = {("CME", 14), ("CME", 100), ("CMS", 314), ("CMS", 515), ("CMS", 532), ("CMS", 301)}


def is_busy(error: AtCommandError) -> bool:
    """The SIM or the message service is not ready yet."""
    return (error.space, error.code) in _BUSY


def refused_as(error: AtCommandError, *codes: int) -> bool:
    """The refusal is one of these `+CME`/`+CMS` codes."""
    return error.space is not None and error.code in codes


async def ask(channel: AtChannel, command: Command) -> Response | None:
    """The answer, or None when the modem refuses or does not answer this; raises PortLost only."""
    try:
        return await channel.command(command)
    except (AtCommandError, AtTimeout):
        return None


async def must(channel: AtChannel, command: Command, why: str) -> Response:
    """The answer; ModemError with `why` when the modem refuses."""
    try:
        return await channel.command(command)
    except AtCommandError as error:
        raise ModemError(f"{why}: {error.text}") from error


async def patiently(channel: AtChannel, command: Command, patience: float = timeouts.SIM_PATIENCE) -> Response:
    """The answer, asked again while the SIM is busy for at most `patience` seconds; raises as `command` does."""
    loop = asyncio.get_running_loop()
    end = loop.time() + patience
    while True:
        try:
            return await channel.command(command)
        except AtCommandError as error:
            if not is_busy(error) or loop.time() >= end:
                raise
        await asyncio.sleep(timeouts.SIM_RETRY)
