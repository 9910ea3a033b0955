"""Bringing a channel and its modem to the same place after a silence, so that no late answer is taken for the next one.

A modem answers commands in order, but its final results carry no name. So the last word is a question whose answer has
one: only a final result behind the marker's own line counts, and everything older has come out before it. A question
that might still be owed an answer is not used again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from hardware.at import timeouts
from hardware.errors import AtTimeout

ESCAPE: Final = b"\x1b\r"  # ESC leaves a prompt without sending, CR ends what the line may hold (domain A2.2)
UNMARKED_ROUNDS: Final = 2  # answered and followed by silence, for a modem that knows none of the markers


class Marker(NamedTuple):
    command: str
    prefix: str


MARKERS: Final = (  # answered from memory by every modem, SIM or not; in the order of how rarely they are asked
    Marker("AT+CMEE?", "+CMEE:"),
    Marker("AT+CSQ", "+CSQ:"),
    Marker("AT+CFUN?", "+CFUN:"),
    Marker("AT+CSCS?", "+CSCS:"),
)


class Wire(Protocol):
    """What a resync needs of its channel, whose turn it has."""

    def write_bytes(self, data: bytes, shown: str) -> None:
        """Write without waiting."""

    async def drain(self) -> None:
        """Until nothing came for `QUIET` seconds, at most `DRAIN`."""

    async def probe(self, text: str, marker: str, timeout: float) -> bool:
        """Ask; True: a final result came behind a line that begins with `marker` ("": any final result)."""


async def synchronise(wire: Wire, unanswered: Sequence[str], *, escape: bool, probes: Sequence[float]) -> None:
    """Return when the next answer is the next command's. Raises AtTimeout if the modem does not answer, PortLost."""
    if escape:
        wire.write_bytes(ESCAPE, "<ESC>")
    await wire.drain()
    for timeout in probes:
        if await wire.probe("AT", "", timeout):
            break
    else:
        raise AtTimeout(
            f"no answer to AT, asked {len(probes)} times",
            hint="The modem hangs or this is not its AT port: unplug it and plug it in again.",
        )
    if not await _marked(wire, unanswered):
        await _unmarked(wire, probes[-1])
    if unanswered:
        await wire.drain()  # a modem that emits late results out of order gets this long to do so


async def _marked(wire: Wire, unanswered: Sequence[str]) -> bool:
    for marker in MARKERS:
        owed = any(marker.prefix[:-1] in text.upper() for text in unanswered)
        if not owed and await wire.probe(marker.command, marker.prefix, timeouts.MARKER):
            return True
    return False


async def _unmarked(wire: Wire, timeout: float) -> None:
    """Second best: answers that are each followed by silence."""
    for _ in range(UNMARKED_ROUNDS):
        await wire.drain()
        if not await wire.probe("AT", "", timeout):
            raise AtTimeout(
                "the modem answers AT now and then only",
                hint="Unplug the modem and plug it in again; if that does not help, its port is not the AT port.",
            )
    await wire.drain()
