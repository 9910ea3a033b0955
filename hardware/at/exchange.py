"""One exchange each: what is in flight on a channel and how lines, prompts, silence and a lost port end it.

Nothing here writes or reads a port. A modem may push a URC into the middle of a line (domain G9): the pieces before and
behind it are joined again where only one reading makes sense.
"""

from __future__ import annotations

import asyncio
import string
from collections.abc import Callable
from enum import Enum, auto
from typing import Final, Protocol

from hardware.at import timeouts
from hardware.at.errors import Verdict, classify, failure
from hardware.at.finals import FinalResult, begins_final, parse_final
from hardware.at.types import AtCommandError, Command, Response
from hardware.at.urc import is_boot
from hardware.errors import AtTimeout, HardwareError
from hardware.types import SendOutcome, SendResult

SHORTEST_BODY: Final = 16  # hex digits; the shortest TPDU with its SMSC octet is longer
SHORTEST_ECHO: Final = 8  # hex digits; less could be a piece of something else
REFERENCE: Final = "+CMGS"

_HEX: Final = frozenset(string.hexdigits)
_URC_SIGNS: Final = frozenset("+^*#$%_")
_REFERENCE_REST: Final = frozenset(string.digits + ',"/:+ ')


class Host(Protocol):
    """What an exchange needs of its channel."""

    def time(self) -> float:
        """The loop's clock."""

    def arm(self, seconds: float | None) -> None:
        """The exchange's `expired()` is due after `seconds`; None: not at all."""

    def finished(self, *, suspect: bool) -> None:
        """The exchange is over; `suspect`: something of it may still arrive."""

    def is_urc(self, line: str) -> bool:
        """`line` begins as an unsolicited line does."""


class Exchange(Protocol):
    """All calls come on the loop, while the exchange is the current one."""

    def line(self, text: str) -> bool:
        """True: the line was part of this exchange."""

    def prompt(self) -> None:
        """The modem waits for a PDU."""

    def echo(self) -> None:
        """The command's own text came back."""

    def urc_passed(self, text: str) -> None:
        """An unsolicited line came in between."""

    def expired(self) -> None:
        """The armed deadline is over."""

    def lost(self, error: HardwareError) -> None:
        """The connection is gone."""


class CommandExchange:
    """A command and its answer up to the final result."""

    def __init__(self, host: Host, command: Command, future: asyncio.Future[Response]) -> None:
        self.future = future
        self.command = command
        self._host = host
        self._lines: list[str] = []
        self._piece: str | None = None  # the last line, if nothing told what it is
        self._after_urc = False
        self._complete = False  # all but the optional OK is there
        self._due = host.time() + command.timeout
        self.rebooted = False  # the modem restarted, and nothing of the answer came since

    def line(self, text: str) -> bool:
        command = self.command
        final = parse_final(text)
        if final is not None and (command.call or not final.call or not self._host.is_urc(text)):
            self._finish(final)
            return True
        if command.prefix and text.startswith(command.prefix):
            if command.accepts is not None and not command.accepts(text):
                return False
            self._answer(text)
            return True
        if self._after_urc and self._mend(text):
            return True
        if self._host.is_urc(text):
            return False
        self._after_urc = False
        self._piece = text
        if command.bare:
            self._lines.append(text)
            self._goes_on()
        return command.bare

    def prompt(self) -> None:
        return

    def echo(self) -> None:
        return

    def urc_passed(self, text: str) -> None:
        self._after_urc = True
        if not self.rebooted and not self._complete and is_boot(text):
            self.rebooted = True  # the answer was lost with what the modem was doing, unless this is late news
            self._host.arm(min(timeouts.REBOOT_GRACE, max(0.0, self._due - self._host.time())))

    def expired(self) -> None:
        if self._complete:
            self._resolve(Response(self._lines, final=""), suspect=True)
            return
        self._host.finished(suspect=True)
        if self.future.done():
            return
        if self.rebooted:
            self.future.set_exception(AtTimeout(f"{self.command.shown}: the modem restarted instead of answering"))
            return
        timeout = self.command.timeout
        self.future.set_exception(
            AtTimeout(
                f"{self.command.shown}: no answer within {timeout:g} s",
                hint="The modem hangs or this is not its AT port: unplug it and plug it in again.",
            )
        )

    def lost(self, error: HardwareError) -> None:
        self._host.finished(suspect=True)
        if not self.future.done():
            self.future.set_exception(error)

    def _goes_on(self) -> None:
        """The answer comes after all: the boot notice was late news."""
        if self.rebooted:
            self.rebooted = False
            self._host.arm(max(0.0, self._due - self._host.time()))

    def _answer(self, text: str) -> None:
        self._lines.append(text)
        self._piece = None
        self._after_urc = False
        self._goes_on()
        if self.command.ok_optional:
            self._complete = True
            self._host.arm(timeouts.OK_GRACE)

    def _mend(self, text: str) -> bool:
        """`text` came right behind a URC: the rest of the line before it? True: it was."""
        prefix = self.command.prefix
        if self._piece is not None:
            joined = self._piece + text
            final = parse_final(joined)
            if final is not None or (prefix and joined.startswith(prefix)):
                self._drop_piece()
                if final is not None:
                    self._finish(final)
                else:
                    self._answer(joined)
                return True
            if prefix and not self._host.is_urc(text) and _continues_piece(self._piece, text):
                self._drop_piece()
                self._keep_piece(joined)
                return True
        elif prefix and self._lines and _continues_header(text) and not self._host.is_urc(text):
            self._lines[-1] += text
            self._after_urc = False
            return True
        return False

    def _keep_piece(self, piece: str) -> None:
        self._piece = piece
        self._after_urc = False
        if self.command.bare:
            self._lines.append(piece)

    def _drop_piece(self) -> None:
        if self.command.bare and self._lines and self._lines[-1] == self._piece:
            self._lines.pop()
        self._piece = None

    def _finish(self, final: FinalResult) -> None:
        if final.ok:
            self._resolve(Response(self._lines, final.text), suspect=False)
            return
        self._host.finished(suspect=False)
        if not self.future.done():
            self.future.set_exception(AtCommandError(self.command.shown, final.space, final.code, final.text))

    def _resolve(self, response: Response, *, suspect: bool) -> None:
        self._host.finished(suspect=suspect)
        if not self.future.done():
            self.future.set_result(response)


class ProbeExchange:
    """A question of the resync. Finals before the line that begins with `marker` belong to older commands."""

    def __init__(self, host: Host, marker: str, future: asyncio.Future[bool], escape: Callable[[], None]) -> None:
        self._host = host
        self._marker = marker
        self._future = future
        self._escape = escape
        self._marked = not marker

    def line(self, text: str) -> bool:
        if self._marker and text.startswith(self._marker):
            self._marked = True
            return True
        final = parse_final(text)
        if final is None or final.call:
            return False
        if self._marked:
            self._end(True)
        return True

    def prompt(self) -> None:
        """A stale one: only ESC takes it away without sending anything."""
        self._escape()

    def echo(self) -> None:
        return

    def urc_passed(self, text: str) -> None:
        return

    def expired(self) -> None:
        self._end(False)

    def lost(self, error: HardwareError) -> None:
        self._host.finished(suspect=True)
        if not self._future.done():
            self._future.set_exception(error)

    def _end(self, answered: bool) -> None:
        self._host.finished(suspect=False)
        if not self._future.done():
            self._future.set_result(answered)


class Stage(Enum):
    """Where a send is (domain A3); what may still have been sent changes at WRITTEN."""

    ASKED = auto()  # AT+CMGS is written
    PROMPTED = auto()  # the modem waits for the PDU
    WRITTEN = auto()  # PDU and Ctrl-Z are written: it may be sent from here on
    ABORTING = auto()  # ESC is written instead
    DONE = auto()


MOVES: Final[dict[Stage, frozenset[Stage]]] = {
    Stage.ASKED: frozenset({Stage.PROMPTED, Stage.DONE}),
    Stage.PROMPTED: frozenset({Stage.WRITTEN, Stage.ABORTING, Stage.DONE}),
    Stage.WRITTEN: frozenset({Stage.DONE}),
    Stage.ABORTING: frozenset({Stage.DONE}),
    Stage.DONE: frozenset(),
}


class SendExchange:
    """The AT+CMGS dialogue of one part (TS 27.005 3.5.1, domain A3). `result` is set once and for all in DONE."""

    def __init__(self, host: Host, pdu_hex: str, prompt_timeout: float, result_timeout: float) -> None:
        self.stage = Stage.ASKED
        self.result: SendResult | None = None
        self.needs_escape = False  # a prompt may come, or stand, that nobody wants
        self.withdrawn = False  # our side does not want it sent any more
        self.silent = False  # the modem did not even prompt
        self._host = host
        self._pdu = pdu_hex
        self._started = host.time()
        self._written_at = 0.0
        self._prompt_timeout = prompt_timeout
        self._result_timeout = result_timeout
        self._waiter: asyncio.Future[None] | None = None
        self._echoes = False
        self._reference: str | None = None  # what followed "+CMGS:"
        self._refusal: FinalResult | None = None  # held until its digits are surely whole
        self._rebooted = False
        self._piece = ""
        self._after_urc = False

    def begin(self) -> None:
        """AT+CMGS is being written."""
        self._host.arm(self._prompt_timeout)

    async def moved(self, *stages: Stage) -> Stage:
        """Wait until the send is in one of `stages` or DONE; the exchange's own deadlines end the wait."""
        while self.stage not in stages and self.stage is not Stage.DONE:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self.stage

    def written(self) -> None:
        """PDU and Ctrl-Z have been handed to the port."""
        self._written_at = self._host.time()
        self._move(Stage.WRITTEN)
        self._host.arm(self._result_timeout)

    def aborting(self) -> None:
        """ESC has been handed to the port."""
        self._move(Stage.ABORTING)
        self._host.arm(timeouts.ABORT)

    def prompt(self) -> None:
        if self.stage is Stage.ASKED:
            self._piece = ""
            self._after_urc = False
            self._move(Stage.PROMPTED)
            self._host.arm(None)  # our side's turn: authorising has its own deadline

    def echo(self) -> None:
        self._echoes = True

    def urc_passed(self, text: str) -> None:
        self._after_urc = True
        if self.stage is Stage.WRITTEN and not self._rebooted and is_boot(text):
            self._rebooted = True
            self._host.arm(timeouts.REBOOT_GRACE)

    def line(self, text: str) -> bool:
        if self._recognise(text):
            return True
        if self._host.is_urc(text):
            return False
        if self._after_urc:
            self._after_urc = False
            if self._rest_of_answer(text):
                return True
        elif self._is_echo(text):
            return True
        self._piece = text
        return False

    def expired(self) -> None:
        if self.stage is Stage.ASKED:
            self.needs_escape = self.silent = True
            self._fail("prompt_timeout", suspect=True)
        elif self.stage is Stage.ABORTING:
            self.needs_escape = True
            self._fail("not_authorised", suspect=True)
        elif self._refusal is not None:
            self._refused(self._refusal)
        elif self._reference is not None:
            self._sent(suspect=True)
        else:
            self._fail("reboot" if self._rebooted else "timeout", suspect=True)

    def lost(self, error: HardwareError) -> None:
        if self.stage is Stage.ABORTING:
            self._fail("not_authorised", suspect=True)
        elif self._reference is not None and self._refusal is None:
            self._sent(suspect=True)
        elif self._refusal is not None:
            self._refused(self._refusal)
        else:
            self._fail("port_lost", suspect=True)

    def withdraw(self) -> None:
        """The port was lost, or pacing was cut, before Ctrl-Z was written."""
        if self.stage is not Stage.DONE:
            self._fail("port_lost", suspect=True)

    def _recognise(self, text: str) -> bool:
        joined = self._piece + text if self._after_urc and self._piece else None
        for candidate in (joined, text) if joined else (text,):
            if self.stage is Stage.WRITTEN and candidate.startswith("+CMGS:"):
                self._reference = candidate[6:].strip()
                self._host.arm(timeouts.OK_GRACE)
            else:
                final = parse_final(candidate)
                if final is None or final.call or not self._final(final):
                    continue
            self._piece = ""
            self._after_urc = False
            return True
        return False

    def _rest_of_answer(self, text: str) -> bool:
        """Behind a URC: the rest of a reference, of an error's code, or of anything else that was cut."""
        if self._refusal is not None:
            digits = text.lstrip(": ")
            if self._refusal.space is not None and digits.isdigit():
                code = "" if self._refusal.code is None else str(self._refusal.code)
                self._hold(parse_final(f"+{self._refusal.space} ERROR: {code}{digits}") or self._refusal)
                return True
        elif self._reference is not None and _REFERENCE_REST.issuperset(text):
            self._reference += text
            return True
        if self._piece:
            self._piece += text
            return True
        return False

    def _final(self, final: FinalResult) -> bool:
        """False: it is not of this dialogue."""
        if self.stage is Stage.WRITTEN:
            if self._refusal is not None:
                self._refused(self._refusal)
            elif not final.ok:
                self._hold(final)
            elif self._reference is not None:
                self._sent(suspect=False)
            else:
                self._fail("no_reference", suspect=True)
        elif self.stage is Stage.ABORTING:
            self._fail("not_authorised", suspect=False)
        elif not final.ok:
            self._refused(final)
        elif self.stage is Stage.PROMPTED:
            self.needs_escape = True
            self._fail("aborted", suspect=True)
        else:
            return False  # OK instead of a prompt: a late one
        return True

    def _hold(self, final: FinalResult) -> None:
        self._refusal = final
        self._host.arm(timeouts.CODE_SETTLE)

    def _is_echo(self, text: str) -> bool:
        """The PDU itself, whole or wrapped by the modem's display (domain A3.5)."""
        if self.stage is not Stage.WRITTEN or self._reference is not None:
            return False
        text = text.lstrip("> ")
        return (self._echoes or len(text) >= SHORTEST_ECHO) and text.upper() in self._pdu

    def _sent(self, *, suspect: bool) -> None:
        self._end(SendResult(SendOutcome.SENT, mr=_message_reference(self._reference or "")), suspect)

    def _refused(self, final: FinalResult) -> None:
        after = self.stage is Stage.WRITTEN
        seconds = self._host.time() - self._written_at if after else 0.0
        value = final.code if final.code is not None else final.text
        verdict = classify(final.space, value, after_pdu=after, seconds=seconds)
        self._end(_result(verdict), suspect=False)

    def _fail(self, code: str, *, suspect: bool) -> None:
        self._end(_result(failure(code, after_pdu=self.stage is Stage.WRITTEN)), suspect)

    def _end(self, result: SendResult, suspect: bool) -> None:
        if self.withdrawn and self.stage is not Stage.WRITTEN:
            result = _result(failure("not_authorised", after_pdu=False))
        self.result = SendResult(result.outcome, result.mr, result.error, self._host.time() - self._started)
        self._host.finished(suspect=suspect)
        self._move(Stage.DONE)

    def _move(self, stage: Stage) -> None:
        if stage not in MOVES[self.stage]:
            raise AssertionError(f"a send cannot go from {self.stage.name} to {stage.name}")
        self.stage = stage
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _result(verdict: Verdict) -> SendResult:
    return SendResult(verdict.outcome, error=verdict.error)


def _message_reference(text: str) -> int | None:
    """TP-MR 0 to 255 at the start of what followed `+CMGS:`; None if there is none."""
    digits = text.partition(",")[0].strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 3 and int(digits) <= 255 else None


def _continues_piece(piece: str, text: str) -> bool:
    """`text` may be the rest of a line without prefix: hex goes on in hex only."""
    return _HEX.issuperset(text) if _HEX.issuperset(piece) else not _stands_alone(text)


def _continues_header(text: str) -> bool:
    """`text` may be the rest of a line with its prefix."""
    return not _stands_alone(text) and not begins_final(text)


def _stands_alone(text: str) -> bool:
    """A PDU, or what begins as URCs do, is a line of its own."""
    return text[0] in _URC_SIGNS or (len(text) >= SHORTEST_BODY and _HEX.issuperset(text))
