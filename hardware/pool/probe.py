"""Whether a port speaks AT, and who is behind it: asked so that nothing else is disturbed (domain A1)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Final

from hardware.at import commands, parsers
from hardware.at.channel import AtChannel
from hardware.at.resync import ESCAPE
from hardware.at.types import AtCommandError, Command, Response
from hardware.errors import AtTimeout, HardwareError, PortLost, PortWedged
from hardware.pool import timeouts
from hardware.transport import SerialLink, open_port

__all__ = ["Answer", "NoModem", "probe"]

TRIES: Final = 3  # of AT (domain A1.3)
MOST_NOISE: Final = 64  # octets that no AT dialogue has: DIAG and debug logs are full of them
MOST_OCTETS: Final = 16 * 1024  # before an answer; a modem that tells of its boot says some hundred
_TEXT: Final = bytes([9, 10, 13, 26, 27, *range(32, 127)])


class NoModem(HardwareError):
    """The port was open and this is no modem: silent, a stream of something else, or AT without a SIM."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A modem's AT port. What is None was not told."""

    port: str
    baudrate: int
    imei: str | None
    iccid: str | None
    model: str | None


async def probe(port: str, baudrate: int = 115200, *, ask_sim: bool = False) -> Answer:
    """Open `port` exclusively, ask AT and who it is, close it again.

    Raises PortBusy, PortForbidden, PortMissing, PortWedged, PortLost, NoModem.
    """
    ear = _Ear()
    link = await open_port(port, baudrate=baudrate, protocol_factory=lambda: ear)
    ear.connection_made(link)
    channel = ear.channel
    try:
        answer = await _dialogue(channel, ear, port, baudrate, ask_sim=ask_sim)
    except BaseException:
        await channel.close()
        raise
    if not await channel.close():
        raise PortWedged(
            f"the kernel does not give {port} back",
            hint="The driver hangs: unplug the modem and plug it in again, or restart the computer.",
        )
    return answer


_HINT: Final = "Unplug it and plug it in again; a modem needs a supply of 2 A, a powered hub is best."


class _Ear:
    """Sits between the link and the channel, and counts what is no text."""

    def __init__(self) -> None:
        self.channel = AtChannel()
        self._octets = 0
        self._noise = 0

    @property
    def streaming(self) -> bool:
        """What comes is nothing that a modem says on its AT port."""
        return self._noise > MOST_NOISE or self._octets > MOST_OCTETS

    def connection_made(self, link: SerialLink) -> None:
        self.channel.connection_made(link)

    def data_received(self, data: bytes) -> None:
        self._octets += len(data)
        self._noise += len(data.translate(None, _TEXT))
        if not self.streaming:
            self.channel.data_received(data)

    def connection_lost(self, error: PortLost | None) -> None:
        self.channel.connection_lost(error)


async def _dialogue(channel: AtChannel, ear: _Ear, port: str, baudrate: int, *, ask_sim: bool) -> Answer:
    try:
        async with asyncio.timeout(timeouts.DIALOGUE):
            await _greet(channel, ear)
            return await _identify(channel, port, baudrate, ask_sim=ask_sim)
    except (TimeoutError, AtTimeout) as error:
        raise NoModem(f"{port} answers now and then only", hint=_HINT) from error


async def _greet(channel: AtChannel, ear: _Ear) -> None:
    """Listen, ESC CR, AT until it answers. Raises NoModem."""
    await asyncio.sleep(timeouts.LISTEN)
    if not ear.streaming:
        channel.write_bytes(ESCAPE, "<ESC>")
        await channel.drain()
    for attempt in range(TRIES):
        if ear.streaming:
            raise NoModem(f"{channel.port} streams something that is no AT", hint="It is left alone.")
        if await channel.probe(commands.attention().text, "", timeouts.ANSWER):
            if attempt:
                await channel.resync()  # the answer to an earlier AT must not become that to the next question
            return
    raise NoModem(f"{channel.port} does not answer AT", hint=_HINT)


async def _identify(channel: AtChannel, port: str, baudrate: int, *, ask_sim: bool) -> Answer:
    imei = None
    for command in commands.IMEI_COMMANDS:
        answer = await _ask(channel, command, timeouts.IDENTITY)
        if answer is not None and (found := parsers.imei(answer.lines)) is not None:
            imei = found.digits
            break
    answer = await _ask(channel, commands.model(), timeouts.IDENTITY)
    model = parsers.info_text(answer.lines, "+CGMM") if answer is not None else None
    if imei is None and not await _has_sim_slot(channel):
        raise NoModem(f"{port} answers AT, but it is no modem for SMS", hint="It is left alone.")
    iccid = await _iccid(channel) if ask_sim else None
    return Answer(port, baudrate, imei, iccid, model)


async def _has_sim_slot(channel: AtChannel) -> bool:
    """A telephone modem and a WiFi module answer AT too, but know nothing of a SIM (TS 27.007 8.3)."""
    try:
        answer = await channel.command(commands.pin_state())
    except AtCommandError as error:
        return error.space == "CME"
    return any(parsers.cpin(line) is not None for line in answer.lines)


async def _iccid(channel: AtChannel) -> str | None:
    for command in commands.ICCID_COMMANDS:
        answer = await _ask(channel, command, timeouts.SIM)
        if answer is not None and (found := parsers.iccid(answer.lines)) is not None:
            return found
    return None


async def _ask(channel: AtChannel, command: Command, timeout: float) -> Response | None:
    """None: refused. Raises AtTimeout, PortLost."""
    try:
        return await channel.command(replace(command, timeout=timeout))
    except AtCommandError:
        return None
