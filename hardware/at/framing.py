"""Bytes from a modem into lines and prompts (V.250 5.7, TS 27.005 3.5.1). Sans-IO, total over any bytes.

The same stream cut in any way gives the same events. CR, LF and Ctrl-Z (as an echo) end a line, any mixture of them;
empty lines are not events. A prompt has no line end: it is `>` at the start of a line while `expect_prompt` is set,
which the event clears. Elsewhere `>` is text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

MAX_LINE: Final = 64 * 1024  # octets; a USSD answer or a PDU line is under 1 kB, more is a stream that is no AT
IGNORED: Final = bytes([0x00, 0x11, 0x13, 0x1B, 0x7F])  # NUL padding, XON, XOFF, an echoed ESC, DEL

_LINE_ENDS: Final = bytes.maketrans(b"\r\x1a", b"\n\n")
_BLANK: Final = b" \t"


class Line(NamedTuple):
    """One line without its end and without blanks around it; octets above 127 as Latin-1."""

    text: str


class Prompt(NamedTuple):
    """`>`: the modem waits for a PDU."""


PROMPT: Final = Prompt()


class AtFramer:
    """Holds the unfinished line. `discarded` counts lines thrown away for their length."""

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self.expect_prompt = False
        self.in_text = False  # the lines are somebody's text, and a `>` in it is no prompt
        self.discarded = 0
        self._max_line = max_line
        self._partial = bytearray()
        self._overflow = False

    def feed(self, data: bytes) -> list[Line | Prompt]:
        """All events that `data` completes."""
        return list(self.events(data))

    def events(self, data: bytes) -> Iterator[Line | Prompt]:
        """As `feed`, one at a time: `expect_prompt` set between two events acts on the next. Must be run to its end."""
        pieces = data.translate(_LINE_ENDS, IGNORED).split(b"\n")
        unfinished = pieces.pop()
        for piece in pieces:
            if self._partial or self._overflow or self.expect_prompt or len(piece) > self._max_line:
                yield from self._extend(piece)
                text = bytes(self._partial)
                self._partial.clear()
                self._overflow = False
            else:
                text = piece
            text = text.strip(_BLANK)
            if text:
                yield Line(text.decode("latin-1"))
        if unfinished:
            yield from self._extend(unfinished)

    def forget_stale_prompt(self) -> bool:
        """Before a command that asks for a prompt: drop a `>` that already stands there. True: there was one."""
        stale = self._partial.startswith(b">") and not self.in_text
        if stale:
            self._partial.clear()
        return stale

    def _extend(self, piece: bytes) -> Iterator[Prompt]:
        """More of an unfinished line, which never begins with blanks; a prompt shows before its line ends."""
        if self._overflow:
            return
        self._partial += piece if self._partial else piece.lstrip(_BLANK)
        if self.expect_prompt and not self.in_text and self._partial.startswith(b">"):
            self.expect_prompt = False
            self._partial = self._partial[1:].lstrip(_BLANK)
            yield PROMPT
        if len(self._partial) > self._max_line:
            self._partial.clear()
            self._overflow = True
            self.discarded += 1
