"""USSD on one connection: a code, its answer, menus; never in the way of a message (TS 27.007 7.15, domain A11)."""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import dataclass
from enum import StrEnum

from hardware.at import commands, parsers, supplementary
from hardware.at.channel import AtChannel, Turn
from hardware.at.supplementary import Ussd as Notice
from hardware.at.types import AtCommandError, Command, Urc
from hardware.errors import AtArgumentError, AtTimeout, HardwareError, ModemError
from hardware.modem import timeouts
from hardware.modem.dialogue import ask
from hardware.modem.life import Life
from hardware.modem.profile import Profile
from hardware.modem.ussd_codes import UssdCodes, is_code
from hardware.modem.ussd_text import Dialect

__all__ = ["MOST_CHARACTERS", "MOVES", "Ussd", "UssdAnswer", "UssdError", "UssdState"]

_LOG = logging.getLogger(__name__)

MOST_CHARACTERS = 160  # of a code or a reply

_DONE, _GOES_ON, _ENDED, _ANSWERED_ELSEWHERE, _NOT_SUPPORTED, _TIMED_OUT = range(6)  # <m> of +CUSD
_WITHOUT_TEXT = {
    _ENDED: ("the network ended the USSD without an answer", "check the code; try it in a telephone"),
    _ANSWERED_ELSEWHERE: (
        "another program on this modem has taken the answer",
        "stop it: `sms-bridge modems` names it",
    ),
    _NOT_SUPPORTED: ("the network does not know this USSD code", "check the code with the operator of this SIM"),
    _TIMED_OUT: ("the network did not answer the USSD in time", "try again in a minute"),
}


class UssdError(ModemError):
    """There is no answer, or the code may not be sent; the text is for a person."""


class UssdState(StrEnum):
    """Of the one USSD session that a modem can have."""

    IDLE = "idle"
    ASKED = "asked"  # an answer is owed
    OPEN = "open"  # a menu waits for our reply
    CLOSING = "closing"  # AT+CUSD=2 is due


MOVES: dict[UssdState, frozenset[UssdState]] = {
    UssdState.IDLE: frozenset({UssdState.ASKED, UssdState.CLOSING}),
    UssdState.ASKED: frozenset({UssdState.OPEN, UssdState.CLOSING, UssdState.IDLE}),
    UssdState.OPEN: frozenset({UssdState.ASKED, UssdState.CLOSING, UssdState.IDLE}),
    UssdState.CLOSING: frozenset({UssdState.IDLE}),
}
"""To `IDLE` from anywhere: the modem restarted."""


@dataclass(frozen=True, slots=True)
class UssdAnswer:
    """What the network said, None if nothing; `open`: it waits for a reply."""

    text: str | None
    open: bool


class Ussd:
    """One connection's USSD. `run` closes sessions; a menu that nobody answers is closed after a while."""

    def __init__(
        self,
        channel: AtChannel,
        life: Life,
        *,
        codes: UssdCodes,
        answer_timeout: float = timeouts.USSD_ANSWER,
    ) -> None:
        self.state = UssdState.IDLE
        self._channel = channel
        self._life = life
        self._codes = codes
        self._answer_timeout = answer_timeout
        self._loop = asyncio.get_running_loop()
        self._busy = asyncio.Lock()  # one question at a time
        self._work = asyncio.Event()
        self._answer: asyncio.Future[Notice] | None = None
        self._dialect = Dialect()
        self._charset_known = False
        self._alone = False  # this family loses messages while a USSD is under way
        self._idle_at = 0.0
        self._closed_at = -math.inf
        self._owed_until = 0.0  # the network has not answered the last code, and may do so late
        self._untouched = True  # whoever had this modem before may have left a session open

    def begin(self, profile: Profile) -> None:
        """The modem was set up (anew): it knows of no session."""
        self.forget("the modem was set up again")
        self._dialect = Dialect(packs=profile.ussd == "packed")
        self._charset_known = False
        self._untouched = True
        self._alone = profile.ussd_alone

    def forget(self, reason: str) -> None:
        """The modem restarted, or the connection is over: nobody answers any more."""
        self._fail(f"no answer to the USSD: {reason}")
        if self.state is not UssdState.IDLE:
            self._move(UssdState.IDLE)

    async def ask(self, code: str) -> UssdAnswer:
        """Send a code and wait for its answer; ends an open session. UssdError, PortLost."""
        if not is_code(code):
            raise UssdError("a USSD code is made of digits, *, # and +", hint="such as *100#")
        if not self._codes.may_send(code):
            raise UssdError(
                "this code is not allowed: it may divert calls, change a PIN or transfer credit",
                hint="add it under `ussd: allow:` in the configuration if it is meant",
            )
        async with self._turn():
            if self.state is UssdState.OPEN:
                self._move(UssdState.CLOSING)
            return await self._exchange(code, reply=False)

    async def reply(self, text: str) -> UssdAnswer:
        """Answer an open menu and wait for what follows. UssdError, PortLost."""
        if not 0 < len(text) <= MOST_CHARACTERS or not text.isprintable() or text.isspace():
            raise UssdError(f"a reply has 1 to {MOST_CHARACTERS} visible characters, in one line")
        if not self._codes.may_reply(text):
            raise UssdError(
                "this reply is a code that is not allowed", hint="add it under `ussd: allow:` if it is meant"
            )
        async with self._turn():
            if self.state is not UssdState.OPEN:
                raise UssdError("no USSD menu is open on this modem", hint="begin with its code")
            return await self._exchange(text, reply=True)

    async def cancel(self) -> bool:
        """End the session, and the wait of whoever waits for its answer; False: there was none."""
        if self._fail("the USSD was cancelled"):
            return True
        if self.state is not UssdState.OPEN:
            return False
        self._move(UssdState.CLOSING)
        return True

    async def give_way(self) -> None:
        """A message is about to be sent: on a modem that cannot do both, the USSD ends first."""
        if not self._alone or (self._answer is None and self.state is UssdState.IDLE):
            return
        self._fail("given up for a message that had to go out", hint="try again")
        try:
            async with self._busy:  # whoever waited for the answer has given the turn back
                if self.state is UssdState.OPEN:
                    self._move(UssdState.CLOSING)
                await self._close()
        except HardwareError as error:  # the send will see for itself
            _LOG.debug("%s: a USSD session was not closed: %s", self._life.status.name, error)

    def heard(self, urc: Urc) -> None:
        """`+CUSD`, asked for or not."""
        notice = supplementary.cusd("\n".join((urc.text, *urc.body)))
        if notice is None:
            _LOG.warning("%s: a +CUSD line was not understood", self._life.status.name)
            return
        now = self._loop.time()
        if notice.status == _ENDED and notice.text is None and now - self._closed_at < timeouts.USSD_ECHO:
            return  # what our own AT+CUSD=2 did
        if self.state is UssdState.ASKED and self._answer is not None and not self._answer.done():
            self._answer.set_result(notice)
            return
        text = self._text(notice)
        goes_on = notice.status == _GOES_ON
        if self.state is UssdState.OPEN and goes_on:
            self._idle_at = now + timeouts.USSD_IDLE
        elif self.state is UssdState.OPEN or (self.state is UssdState.IDLE and goes_on):
            self._move(UssdState.CLOSING)  # it ended, or nobody asked for it and nobody will reply
        if text is not None:
            self._life.event("ussd_received", text=text)

    async def run(self) -> None:
        """Close what is to be closed; runs until cancelled or the port is lost."""
        while True:
            self._work.clear()
            wait: float | None = None
            if self.state is UssdState.CLOSING:
                await self._close()
                continue
            if self.state is UssdState.OPEN:
                wait = self._idle_at - self._loop.time()
                if wait <= 0:
                    self._move(UssdState.CLOSING)
                    continue
            try:
                async with asyncio.timeout(wait):
                    await self._work.wait()
            except TimeoutError:
                pass

    def _turn(self) -> asyncio.Lock:
        if self._busy.locked():
            raise UssdError("another USSD is under way on this modem", hint="wait for its answer, or cancel it")
        return self._busy

    async def _exchange(self, text: str, *, reply: bool) -> UssdAnswer:
        owed = self._owed_until - self._loop.time()
        if owed > 0:
            raise UssdError(
                "the network has not answered the last code, and its late answer could be taken for this one's",
                hint=f"try again in {owed:.0f} s",
            )
        self._answer = answer = self._loop.create_future()
        try:
            command = await self._written(text)
            async with self._channel.turn() as turn:
                await self._close_in(turn)
                if not answer.done():  # else it was given up while it waited for its turn
                    if reply and self.state is not UssdState.OPEN:
                        raise UssdError("the USSD menu is no longer open", hint="begin with its code")
                    await self._send(turn, command)
                if self._alone:
                    await self._wait(answer)
            return self._understood(await self._wait(answer))
        finally:
            self._answer = None
            answered = not answer.cancel() and answer.exception() is None
            if self.state is UssdState.ASKED:
                if not answered:
                    self._owed_until = self._loop.time() + timeouts.USSD_LATE
                self._move(UssdState.CLOSING)

    async def _written(self, text: str) -> Command:
        if not self._dialect.packs and not self._charset_known:
            await self._ask_charset()
        try:
            return self._dialect.write(text)
        except AtArgumentError as error:
            raise UssdError(
                "this modem cannot send one of the characters of this reply", hint="use plain letters and digits"
            ) from error

    async def _send(self, turn: Turn, command: Command) -> None:
        """Write the code; its answer may come before the OK."""
        self._move(UssdState.ASKED)
        try:
            await turn.command(command)
        except AtCommandError as error:
            if self.state is UssdState.ASKED:
                self._move(UssdState.CLOSING)  # the network has not heard of it
            raise UssdError(f"the modem refused the USSD: {error.text}", hint="is it registered?") from error
        except AtTimeout as error:
            raise UssdError("the modem did not take the USSD", hint=error.hint) from error

    async def _wait(self, answer: asyncio.Future[Notice]) -> Notice:
        try:
            async with asyncio.timeout(self._answer_timeout):
                return await asyncio.shield(answer)
        except TimeoutError:
            raise UssdError(
                f"the network did not answer the USSD within {self._answer_timeout:.0f} s",
                hint="check the code and the signal",
            ) from None

    def _understood(self, notice: Notice) -> UssdAnswer:
        text = self._text(notice)
        if text is None and notice.status in _WITHOUT_TEXT:
            sentence, hint = _WITHOUT_TEXT[notice.status]
            raise UssdError(sentence, hint=hint)
        goes_on = notice.status == _GOES_ON and self.state is UssdState.ASKED
        if goes_on:
            self._idle_at = self._loop.time() + timeouts.USSD_IDLE
            self._move(UssdState.OPEN)
        return UssdAnswer(text, goes_on)

    def _fail(self, sentence: str, *, hint: str = "") -> bool:
        """End the wait of whoever waits; False: nobody does."""
        if self._answer is None or self._answer.done():
            return False
        self._answer.set_exception(UssdError(sentence, hint=hint))
        return True

    def _text(self, notice: Notice) -> str | None:
        return (self._dialect.read(notice.text, notice.dcs) or None) if notice.text is not None else None

    async def _ask_charset(self) -> None:
        answer = await ask(self._channel, commands.character_set())
        sets = [found for line in answer.lines if (found := parsers.cscs_sets(line))] if answer is not None else []
        self._dialect.charset = sets[0][0].upper() if sets else ""
        self._charset_known = True

    async def _close(self) -> None:
        """`AT+CUSD=2` where it is due, when the channel is free. PortLost."""
        if self.state is UssdState.CLOSING:
            async with self._channel.turn() as turn:
                await self._close_in(turn)

    async def _close_in(self, turn: Turn) -> None:
        if self.state is not UssdState.CLOSING and not self._untouched:
            return
        self._untouched = False
        self._closed_at = self._loop.time()
        try:
            await turn.command(commands.ussd_cancel())
        except (AtCommandError, AtTimeout) as error:  # no session, says the modem
            _LOG.debug("%s: %s", self._life.status.name, error)
        self._closed_at = self._loop.time()
        if self.state is UssdState.CLOSING:
            self._move(UssdState.IDLE)

    def _move(self, state: UssdState) -> None:
        if state not in MOVES[self.state]:
            raise AssertionError(f"a USSD session cannot go from {self.state} to {state}")
        self.state = state
        self._work.set()
