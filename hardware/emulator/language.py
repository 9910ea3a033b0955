"""The language of a command line: how it is cut into commands, and how a command ends."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_EXTENDED = re.compile(r"([+^*#%!$][A-Za-z][A-Za-z0-9_]*)\s*(=\?|=|\?|)")
_BASIC = re.compile(r"(S\d+|s\d+|&?[A-Za-z])(=\?|=|\?|)(\d*)")

CME_TEXT = {
    0: "phone failure", 3: "operation not allowed", 4: "operation not supported", 5: "PH-SIM PIN required",
    10: "SIM not inserted", 11: "SIM PIN required", 12: "SIM PUK required", 13: "SIM failure",
    14: "SIM busy", 15: "SIM wrong", 16: "incorrect password", 20: "memory full", 21: "invalid index",
    22: "not found", 23: "memory failure", 30: "no network service", 31: "network timeout",
    32: "network not allowed, emergency calls only", 50: "incorrect parameters", 100: "unknown",
}  # fmt: skip
"""TS 27.007 9.2."""

CMS_TEXT = {
    1: "Unassigned (unallocated) number", 8: "Operator determined barring", 10: "Call barred",
    21: "Short message transfer rejected", 27: "Destination out of service", 28: "Unidentified subscriber",
    29: "Facility rejected", 30: "Unknown subscriber", 38: "Network out of order", 41: "Temporary failure",
    42: "Congestion", 47: "Resources unavailable, unspecified", 50: "Requested facility not subscribed",
    69: "Requested facility not implemented", 300: "ME failure", 301: "SMS service of ME reserved",
    302: "Operation not allowed", 303: "Operation not supported", 304: "Invalid PDU mode parameter",
    305: "Invalid text mode parameter", 310: "SIM not inserted", 311: "SIM PIN required",
    312: "PH-SIM PIN required", 313: "SIM failure", 314: "SIM busy", 315: "SIM wrong",
    316: "SIM PUK required", 320: "Memory failure", 321: "Invalid memory index", 322: "Memory full",
    330: "SMSC address unknown", 331: "No network service", 332: "Network timeout",
    340: "No +CNMA acknowledgement expected", 500: "Unknown error",
}  # fmt: skip
"""TS 27.005 3.2.5; other codes are told as numbers."""


class CommandError(Exception):
    """A command that ends in an error; `space` is CME, CMS, or empty for the bare `text`."""

    def __init__(self, space: str = "", code: int = 0, text: str = "ERROR") -> None:
        super().__init__(f"{space} {code}")
        self.space = space
        self.code = code
        self.text = text


class Prompt(Exception):
    """The command wants a PDU: `check` turns the typed octets into a message, `keep` (if any) stores it."""

    def __init__(
        self, name: str, check: Callable[[bytes], bytes], keep: Callable[[bytes], list[str]] | None = None
    ) -> None:
        super().__init__(name)
        self.name = name
        self.check = check
        self.keep = keep


class Wait(Exception):
    """The command ends later: after `delay` seconds with `lines`, or when the network answers `submit`."""

    def __init__(
        self,
        name: str,
        *,
        delay: float = 0.0,
        lines: Callable[[], list[str]] = list,
        submit: bytes | None = None,
    ) -> None:
        super().__init__(name)
        self.name = name
        self.delay = delay
        self.lines = lines
        self.submit = submit


@dataclass(frozen=True, slots=True)
class Token:
    """One command of a line: `+CREG`, `?`, `` or `+CREG`, `=`, `2` or `E`, ``, `0`."""

    name: str
    op: str = ""
    args: str = ""

    @property
    def key(self) -> str:
        return self.name + self.op + (self.args if self.op == "=" else "")


def tokenise(text: str) -> list[Token]:
    """Cut what stands behind AT into commands; raises `CommandError` where no command begins (V.250 5.2)."""
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        if text[position] in " ;\n\x00":
            position += 1
            continue
        if match := _EXTENDED.match(text, position):
            end = _end_of_arguments(text, match.end())
            tokens.append(Token(match[1].upper(), match[2], text[match.end() : end].strip()))
            position = end
        elif text[position] in "Dd":
            tokens.append(Token("D", "", text[position + 1 :]))
            position = len(text)
        elif match := _BASIC.match(text, position):
            tokens.append(Token(match[1].upper(), match[2], match[3]))
            position = match.end()
        else:
            raise CommandError
    return tokens


def arguments(text: str) -> list[str]:
    """Comma-separated arguments, quotes taken off; commas inside quotes belong to the argument."""
    found = re.findall(r'\s*("[^"]*"|[^,]*)\s*(?:,|$)', text)
    if not text.endswith(",") and found and found[-1] == "" and len(found) > 1:
        found.pop()
    return [item.strip().strip('"') for item in found]


def numbers(text: str, space: str, code: int) -> list[int | None]:
    """Arguments that must be numbers, None where left out; raises `CommandError(space, code)`."""
    try:
        return [int(item) if item else None for item in arguments(text)]
    except ValueError:
        raise CommandError(space, code) from None


def error_text(error: CommandError, cmee: int) -> str:
    """The final line of an error under `+CMEE`; CMS errors always carry their code (TS 27.005 3.2.5)."""
    texts = CMS_TEXT if error.space == "CMS" else CME_TEXT
    if error.space == "CME" and cmee == 0:
        return "ERROR"
    if cmee == 2 and error.code in texts:
        return f"+{error.space} ERROR: {texts[error.code]}"
    return f"+{error.space} ERROR: {error.code}"


def _end_of_arguments(text: str, start: int) -> int:
    quoted = False
    for position in range(start, len(text)):
        if text[position] == '"':
            quoted = not quoted
        elif text[position] == ";" and not quoted:
            return position
    return len(text)
