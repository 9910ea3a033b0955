"""Incoming calls: each told once when it comes and once when it is over, hung up where that is wanted (domain A11)."""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn

from hardware.at import commands, supplementary
from hardware.at.channel import AtChannel, Turn
from hardware.at.types import AtCommandError, Urc
from hardware.errors import AtTimeout
from hardware.modem import timeouts
from hardware.modem.life import Life

__all__ = ["CALL", "CALL_EVENTS", "MISSED_CALL", "MOVES", "REJECTED_CALL", "CallState", "Calls"]

_LOG = logging.getLogger(__name__)

CALL, MISSED_CALL, REJECTED_CALL = "call", "missed_call", "rejected_call"
CALL_EVENTS = frozenset({CALL, MISSED_CALL, REJECTED_CALL})
"""Names of the events: it rings; it was not answered; we hung up."""

MOST_ATTEMPTS = 3  # to hang up one call, at one RING each


class CallState(StrEnum):
    QUIET = "quiet"
    RINGING = "ringing"  # whose call it is may still be said
    TOLD = "told"


MOVES: dict[CallState, frozenset[CallState]] = {
    CallState.QUIET: frozenset({CallState.RINGING}),
    CallState.RINGING: frozenset({CallState.TOLD, CallState.QUIET}),
    CallState.TOLD: frozenset({CallState.QUIET}),
}


@dataclass(slots=True)
class _Call:
    """The call of the moment, or the last one; times are the loop's."""

    began: float
    last: float
    number: str | None = None
    identified: bool = False  # +CLIP came, with a number or without
    rings: int = 0
    attempts: int = 0  # to hang up


class Calls:
    """One connection's incoming calls. `run` hangs up; the rest is done as the lines come."""

    def __init__(self, channel: AtChannel, life: Life, *, hang_up: bool = False) -> None:
        self.state = CallState.QUIET
        self._channel = channel
        self._life = life
        self._hang_up = hang_up
        self._loop = asyncio.get_running_loop()
        self._call = _Call(0.0, 0.0)
        self._ended_at = -math.inf
        self._refused_at = -math.inf
        self._refusing = False  # hanging up at this moment
        self._timer: asyncio.TimerHandle | None = None
        self._wanted = asyncio.Event()  # a RING came of a call that is not wanted

    def rang(self, _urc: Urc) -> None:
        """`RING`, `+CRING: VOICE`."""
        if not self._ring():
            return
        self._call.rings += 1
        if self.state is CallState.RINGING and self._call.rings > 1:
            self._tell()
        self._want_to_hang_up()

    def identified(self, urc: Urc) -> None:
        """`+CLIP`, behind each RING."""
        found = supplementary.clip(urc.text)
        if found is None or not self._may_be_new():
            return
        call = self._call
        if self.state is not CallState.QUIET and call.identified and call.number != found.number:
            self._over(MISSED_CALL)  # another one: the end of the first was not said
        self._ring()
        self._call.number, self._call.identified = found.number, True
        if self.state is CallState.RINGING:
            self._tell()
            self._want_to_hang_up()

    def ended(self, urc: Urc) -> None:
        """`NO CARRIER`, `^CEND:`, `MISSED_CALL:`."""
        missed = supplementary.missed_call(urc.text)
        if self.state is CallState.QUIET:
            if missed is not None and self._loop.time() - self._ended_at > timeouts.CALL_NEWS:
                self._life.event(MISSED_CALL, number=missed.number, rings=0, seconds=0)
                self._ended_at = self._loop.time()
            return
        if missed is not None and not self._call.identified:
            self._call.number = missed.number
        self._over(REJECTED_CALL if self._refusing else MISSED_CALL)

    def finish(self) -> None:
        """The connection is over, and with it what is known of a call."""
        self._over(MISSED_CALL)

    async def run(self) -> NoReturn:
        """Hang up what is to be, never within a send (domain A3.3); runs until cancelled or the port is lost."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            async with self._channel.turn() as turn:
                self._refusing = self.state is not CallState.QUIET  # else it ended while the channel was not ours
                if self._refusing:
                    self._call.attempts += 1
                    if await self._refuse(turn):
                        self._refused_at = self._loop.time()
                        self._over(REJECTED_CALL)
                self._refusing = False

    async def _refuse(self, turn: Turn) -> bool:
        """True: the modem has hung up."""
        for command in (commands.hang_up(), commands.hang_up_basic()):
            try:
                await turn.command(command)
                return True
            except AtCommandError as error:
                _LOG.debug("%s: %s", self._life.status.name, error)
            except AtTimeout as error:
                _LOG.warning("%s: a call was not hung up: %s", self._life.status.name, error)
                break
        return False

    def _ring(self) -> bool:
        """A sign of a call; False: of one that was hung up a moment ago."""
        if not self._may_be_new():
            return False
        now = self._loop.time()
        if self.state is CallState.QUIET:
            self._call = _Call(now, now)
            self._move(CallState.RINGING)
            self._set_timer(timeouts.CALLER)
        self._call.last = now
        return True

    def _may_be_new(self) -> bool:
        return self.state is not CallState.QUIET or self._loop.time() - self._refused_at > timeouts.CALL_ECHO

    def _want_to_hang_up(self) -> None:
        if self._hang_up and self.state is CallState.TOLD and self._call.attempts < MOST_ATTEMPTS:
            self._wanted.set()

    def _tell(self) -> None:
        self._move(CallState.TOLD)
        self._life.event(CALL, number=self._call.number)
        self._set_timer(timeouts.CALL_GAP)

    def _over(self, name: str) -> None:
        call = self._call
        if self.state is CallState.QUIET:
            return
        if self.state is CallState.RINGING:
            self._tell()
        self._move(CallState.QUIET)
        self._set_timer(None)
        self._ended_at = self._loop.time()
        self._life.event(name, number=call.number, rings=call.rings, seconds=round(call.last - call.began))

    def _due(self) -> None:
        self._timer = None
        if self.state is CallState.RINGING:
            self._tell()
            self._want_to_hang_up()
            return
        left = self._call.last + timeouts.CALL_GAP - self._loop.time()
        if left > 0:
            self._set_timer(left)
        else:
            self._over(MISSED_CALL)

    def _set_timer(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self._loop.call_later(seconds, self._due)

    def _move(self, state: CallState) -> None:
        if state not in MOVES[self.state]:
            raise AssertionError(f"a call cannot go from {self.state} to {state}")
        self.state = state
