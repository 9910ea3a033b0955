"""What a phone does with the bytes of its line: lines, echo, the prompt dialogue, results, URCs. Sans-IO.

Time and the network belong to the `Host`; the interpreter only says what it wants of them.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from hardware.emulator.commands import Commands
from hardware.emulator.faults import Fault
from hardware.emulator.language import CommandError, Prompt, Token, Wait, error_text, tokenise
from hardware.emulator.phone import Phone

MAX_LINE = 2048
"""Octets of one command line; a phone has no more room, the rest up to the CR is thrown away."""

MAX_DATA = 4096
MAX_PENDING = 65536
"""Octets kept while a command runs: what a modem with hardware flow control would hold back."""

_CR, _CTRL_Z, _ESC = b"\r", b"\x1a", b"\x1b"
_ATTENTION = re.compile(rb"AT|at|At|aT")
_ATTENTION_UPPER = re.compile(rb"AT")
_END_OF_DATA = re.compile(rb"[\x1a\x1b]")


class State(Enum):
    COMMAND = auto()  # a line is being typed
    DATA = auto()  # the prompt is out, a PDU is being typed
    BUSY = auto()  # a command runs
    SENDING = auto()  # the network has the PDU, no result yet


class Host(Protocol):
    """What the interpreter asks of the world; nothing may block."""

    def write(self, data: bytes) -> None: ...
    def later(self, delay: float, action: Callable[[], None]) -> None: ...
    def submit(self, pdu: bytes, cause: int | None, done: Callable[[Verdict], None]) -> None:
        """Hand a checked SUBMIT to the network, or have it refused with `cause`."""

    def moment(self, name: str) -> bool:
        """A moment of the dialogue is here; True: the line is gone now, say nothing more."""

    def mark(self, event: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """The network's answer to a SUBMIT: a message reference, or the cause of the refusal (CMS code)."""

    mr: int
    cause: int | None = None


class Interpreter:
    """One line's AT interpreter. Use once: a phone that restarts gets a new one."""

    def __init__(self, phone: Phone, commands: Commands, host: Host) -> None:
        self._phone = phone
        self._commands = commands
        self._host = host
        self._faults = phone.faults
        self._state = State.COMMAND
        self._line = bytearray()
        self._overflow = False
        self._data = bytearray()
        self._prompt: Prompt | None = None
        self._pending = bytearray()
        self._held: list[str] = []  # URCs that wait for the end of a prompt dialogue
        self._alive = True
        self._pumping = False
        self._finished_at = -math.inf  # CLOCK_MONOTONIC, of the last answer

    @property
    def sending(self) -> bool:
        return self._state is State.SENDING

    def close(self) -> None:
        """The line is gone; timers that still run change nothing any more."""
        self._alive = False

    def feed(self, data: bytes) -> None:
        """Bytes from the host, cut in any way."""
        if not self._alive or self._faults.active("wedge"):
            return
        if self._state is State.SENDING:
            self._phone.counters.bytes_while_busy += len(data)
        gap = self._phone.personality.min_gap
        if gap and self._state is State.COMMAND and time.monotonic() - self._finished_at < gap:
            return
        room = MAX_PENDING - len(self._pending)
        self._pending += data[:room] if self._state in (State.BUSY, State.SENDING) else data
        self._pump()

    def urc(self, *lines: str) -> None:
        """Say something unasked; held back while the host types a PDU (TS 27.005 3.4.1, mode 2)."""
        if not self._alive or self._faults.active("wedge"):
            return
        text = "\r\n" + "\r\n".join(lines) + "\r\n"
        if self._state is State.DATA or self._held:  # what was held comes first
            self._held.append(text)
        else:
            self._host.write(text.encode("latin-1"))

    def _pump(self) -> None:
        if self._pumping:  # a command that ends at once comes back here: the loop below goes on
            return
        self._pumping = True
        try:
            while self._pending and self._alive and self._state in (State.COMMAND, State.DATA):
                if self._state is State.COMMAND:
                    self._take_line()
                else:
                    self._take_data()
        finally:
            self._pumping = False

    def _take_line(self) -> None:
        end = self._pending.find(_CR)
        chunk = bytes(self._pending) if end < 0 else bytes(self._pending[: end + 1])
        del self._pending[: len(chunk)]
        self._echo(chunk)
        self._line += chunk
        if len(self._line) > MAX_LINE:
            self._overflow = True
            del self._line[:-1]
        if end < 0:
            return
        line, self._line = bytes(self._line), bytearray()
        overflow, self._overflow = self._overflow, False
        if overflow:
            self._phone.counters.garbage += 1
            self._host.write(self._final(None))
        else:
            self._execute(line)

    def _take_data(self) -> None:
        end = _END_OF_DATA.search(self._pending)
        chunk = bytes(self._pending) if end is None else bytes(self._pending[: end.end()])
        del self._pending[: len(chunk)]
        self._echo(chunk)
        if end is None:
            self._data += chunk[: MAX_DATA + 1 - len(self._data)]
            return
        self._data += chunk[:-1]
        data, self._data = bytes(self._data[: MAX_DATA + 1]), bytearray()
        prompt, self._prompt = self._prompt, None
        assert prompt is not None
        if chunk[-1:] == _ESC:
            self._state = State.COMMAND
            answer = self._phone.personality.esc_answer
            self._finish(b"" if not answer else f"\r\n{answer}\r\n".encode())
        else:
            self._dispatch_data(prompt, data)

    def _dispatch_data(self, prompt: Prompt, data: bytes) -> None:
        self._state = State.SENDING
        self._host.mark("ctrl_z")
        if self._host.moment("ctrl_z"):
            return
        try:
            pdu = prompt.check(data)
            if prompt.keep is not None:
                self._finish(self._block(prompt.keep(pdu)) + self._final(None, ok=True))
                return
        except CommandError as error:
            self._finish(self._final(error))
            return
        self._submit(prompt.name, pdu)

    def _submit(self, name: str, pdu: bytes) -> None:
        self._state = State.SENDING
        fault = self._faults.take("cms_error", stage="after")
        cause = int(fault.params.get("code", 500)) if fault else None
        taken_all_the_same = fault is not None and bool(fault.params.get("accepted"))

        def done(verdict: Verdict) -> None:
            if not self._alive or (verdict.cause is None and self._host.moment("accepted")):
                return
            self._result(name, Verdict(verdict.mr, cause if taken_all_the_same else verdict.cause))

        self._host.submit(pdu, None if taken_all_the_same else cause, done)

    def _result(self, name: str, verdict: Verdict) -> None:
        """The network has spoken; tell the host, as far as the faults let us."""
        if fault := self._faults.take("late_result"):
            self._host.later(float(fault.params.get("delay", 30.0)), lambda: self._tell(name, verdict))
        else:
            self._tell(name, verdict)

    def _tell(self, name: str, verdict: Verdict) -> None:
        if not self._alive:
            return
        if self._faults.take("lost_result"):
            self._finish(b"")
            return
        if verdict.cause is not None:
            self._finish(self._final(CommandError("CMS", verdict.cause)))
            return
        answer = self._block([f"{name}: {verdict.mr}"])
        if fault := self._faults.take("urc_in_middle"):
            answer = _interruption(fault) + answer + _interruption(fault)
        answer += self._final(None, ok=True)
        if self._faults.take_on("half_line", name):
            answer = answer[: len(name)]
        self._finish(answer)

    def _execute(self, line: bytes) -> None:
        match = (_ATTENTION_UPPER if self._phone.personality.uppercase_only else _ATTENTION).search(line)
        if match is None:
            self._phone.counters.garbage += bool(line.strip(b"\r\n \x1a\x1b\x00"))
            return
        text = line[match.end() :].decode("latin-1").strip()
        self._phone.counters.commands += 1
        if self._host.moment("command") or self._faults.take_on("no_answer", text):
            return
        self._state = State.BUSY
        blocks: list[bytes] = []
        delay = self._phone.personality.command_delay
        error: CommandError | None = None
        complete = False  # without an OK
        try:
            for token in tokenise(text):
                delay += self._phone.personality.delays.get(token.name, 0.0)
                lines = self._run(token, text)
                if lines:
                    blocks.append(self._block(lines))
                complete = token.key in self._phone.personality.without_ok
        except CommandError as failure:
            error = failure
        except Prompt as prompt:
            self._ask(prompt, blocks)
            return
        except Wait as wait:
            self._wait(wait, blocks)
            return
        final = b"" if complete and error is None else self._final(error, ok=error is None)
        answer = self._interrupted(blocks) + final
        if self._faults.take_on("half_line", text or "AT"):
            answer = answer[: len(answer) // 2]
        self._after(delay, lambda: self._finish(answer))

    def _run(self, token: Token, text: str) -> list[str]:
        if fault := self._faults.take_on("cme_error", text):
            raise CommandError("CME", int(fault.params.get("code", 100)))
        return self._commands.run(token)

    def _ask(self, prompt: Prompt, blocks: list[bytes]) -> None:
        """Put the prompt out and take a PDU."""
        if prompt.keep is None:
            self._host.mark("cmgs")
            if self._host.moment("cmgs"):
                return
        if fault := self._faults.take("cms_error", stage="before"):
            code = int(fault.params.get("code", 500))
            self._finish(b"".join(blocks) + self._final(CommandError("CMS", code)))
            return
        if self._faults.take("no_prompt"):
            self._finish(b"")
            return

        def show() -> None:
            self._state, self._prompt = State.DATA, prompt
            fault = self._faults.active("urc_in_middle")
            interruption = _interruption(fault) if fault else b""
            self._host.write(b"".join(blocks) + interruption + self._phone.personality.prompt.encode())
            self._host.mark("prompt")
            if not self._host.moment("prompt"):
                self._pump()

        self._after(self._phone.personality.prompt_delay, show)

    def _wait(self, wait: Wait, blocks: list[bytes]) -> None:
        if wait.submit is not None:
            self._submit(wait.name, wait.submit)
            return

        def done() -> None:
            lines = wait.lines()
            self._finish(b"".join(blocks) + (self._block(lines) if lines else b"") + self._final(None, ok=True))

        self._after(wait.delay, done)

    def _after(self, delay: float, action: Callable[[], None]) -> None:
        if delay <= 0:
            action()
        else:
            self._host.later(delay, lambda: action() if self._alive else None)

    def _finish(self, answer: bytes) -> None:
        """The command is over: its answer, then what had to wait for it."""
        sent, self._state = self._state is State.SENDING, State.COMMAND
        self._finished_at = time.monotonic()
        said = answer + "".join(self._held).encode("latin-1")
        self._held = []
        if said and not self._faults.active("wedge"):
            self._host.write(said)
            if sent:
                self._host.mark("result")
        self._commands.after_answer()
        self._pump()

    def _echo(self, chunk: bytes) -> None:
        if self._phone.settings.echo:
            self._host.write(chunk)

    def _block(self, lines: list[str]) -> bytes:
        text = "\r\n".join(lines) + "\r\n"
        return (("\r\n" if self._phone.settings.verbose else "") + text).encode("latin-1", "replace")

    def _final(self, error: CommandError | None, *, ok: bool = False) -> bytes:
        settings = self._phone.settings
        if settings.quiet:
            return b""
        if error is not None and error.space:
            return f"\r\n{error_text(error, settings.cmee)}\r\n".encode()
        if not settings.verbose:
            return b"0\r" if ok else b"4\r"
        word = "OK" if ok else (error.text if error is not None else "ERROR")
        return f"\r\n{word}\r\n".encode()

    def _interrupted(self, blocks: list[bytes]) -> bytes:
        """An answer's blocks; with `urc_in_middle`, a URC around each."""
        fault = self._faults.take("urc_in_middle") if blocks else None
        if fault is None:
            return b"".join(blocks)
        return b"".join(block + _interruption(fault) for block in [b"", *blocks])


def _interruption(fault: Fault) -> bytes:
    return f"\r\n{fault.params.get('urc', 'RING')}\r\n".encode("latin-1", "replace")
