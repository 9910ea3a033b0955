"""A modem's end of a loopback that says what a test tells it to, in order, one command after the other.

It is no phone: an unscripted command is noted and fails the test through `check()`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from hardware.errors import PortLost
from hardware.transport import LoopbackEnd, SerialLink

Answer = bytes | Callable[[], None] | None
"""What is written back; None: silence; a callable does as it likes."""

OK = b"\r\nOK\r\n"
PROMPT = b"\r\n> "

BASIC: dict[str, Answer] = {
    "AT": OK,
    "AT+CMEE?": b"\r\n+CMEE: 1\r\n" + OK,
    "AT+CSQ": b"\r\n+CSQ: 20,99\r\n" + OK,
}


def whole(data: bytes) -> Iterator[bytes]:
    yield data


def byte_by_byte(data: bytes) -> Iterator[bytes]:
    return (data[i : i + 1] for i in range(len(data)))


class ScriptedModem:
    """`commands`, `pdus` and `escapes` are what it saw; `answers` may be changed at any time."""

    def __init__(
        self,
        end: LoopbackEnd,
        answers: dict[str, Answer] | None = None,
        *,
        echo: bool = False,
        cut: Callable[[bytes], Iterator[bytes]] = whole,
        prompt: bytes = PROMPT,
    ) -> None:
        self.end = end
        self.answers: dict[str, Answer] = {**BASIC, "AT+CMGS": None, **(answers or {})}
        self.pdu_answer: Answer = b"\r\n+CMGS: 17\r\n" + OK
        self.escape_answer: Answer = OK
        self.prompt = prompt
        self.echo = echo
        self.cut = cut
        self.at_prompt = False
        self.busy_until = 0.0  # a sequential modem: what comes earlier is worked on from then on
        self.commands: list[str] = []
        self.pdus: list[str] = []
        self.escapes = 0
        self.unscripted: list[str] = []
        self.lost = False
        self._buffer = bytearray()

    def connection_made(self, link: SerialLink) -> None:
        return

    def connection_lost(self, error: PortLost | None) -> None:
        self.lost = True

    def data_received(self, data: bytes) -> None:
        delay = self.busy_until - asyncio.get_running_loop().time()
        if delay > 0:
            asyncio.get_running_loop().call_later(delay, self.data_received, data)
            return
        for octet in data:
            self._octet(octet)

    def say(self, data: bytes) -> None:
        for piece in self.cut(data):
            self.end.write(piece)

    def say_later(self, delay: float, data: bytes) -> None:
        asyncio.get_running_loop().call_later(delay, self.say, data)

    def check(self) -> None:
        assert self.unscripted == []

    def _octet(self, octet: int) -> None:
        if octet == 0x1B:
            self.escapes += 1
            self._buffer.clear()
            if self.at_prompt:
                self.at_prompt = False
                self._give(self.escape_answer)
        elif octet == 0x1A and self.at_prompt:
            self.at_prompt = False
            self.pdus.append(self._line())
            if self.echo:
                self.say(self.pdus[-1].encode() + b"\x1a\r\n")
            self._give(self.pdu_answer)
        elif octet == 0x0D:
            line = self._line()
            if line:
                self._command(line)
        else:
            self._buffer.append(octet)

    def _line(self) -> str:
        line = self._buffer.decode("latin-1")
        self._buffer.clear()
        return line

    def _command(self, line: str) -> None:
        if self.at_prompt:  # a phone takes it for a part of the message
            return
        self.commands.append(line)
        if self.echo:
            self.say(line.encode() + b"\r")
        if line.startswith("AT+CMGS="):
            answer = self.answers["AT+CMGS"]
            if answer is None:
                self.at_prompt = True
                answer = self.prompt
            self._give(answer)
        elif line in self.answers:
            self._give(self.answers[line])
        else:
            self.unscripted.append(line)
            self._give(b"\r\nERROR\r\n")

    def _give(self, answer: Answer) -> None:
        if callable(answer):
            answer()
        elif answer is not None:
            self.say(answer)
