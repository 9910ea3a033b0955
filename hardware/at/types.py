"""What crosses the AT channel: commands, their answers, errors, unsolicited lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hardware.at import timeouts
from hardware.errors import AtArgumentError, AtError

MAX_COMMAND = 556  # characters; the smallest command line buffer of the supported modems (SIM800)


@dataclass(frozen=True, slots=True)
class Command:
    """One command line, without CR, and how to tell its answer from everything else.

    `prefix`: what its answer lines begin with ("+CSQ" or "+CSQ:", or several).
    `bare`: lines without prefix that are no known URC are its answer too (+CGMI, the PDU after +CMGR:), else strays.
    `accepts`: asked for each line with `prefix`; False: this one is a URC (solicited `+CREG: <n>,<stat>` against the
    unsolicited `+CREG: <stat>`).
    `ok_optional`: some modems answer it without OK (Wavecom +CPIN?).
    `secret`: never in a trace or an error.
    `call`: NO CARRIER, BUSY, NO ANSWER and CONNECT are its results even if somebody listens for them as URCs.
    """

    text: str
    prefix: str | tuple[str, ...] = ()
    timeout: float = timeouts.COMMAND
    bare: bool = True
    secret: bool = False
    ok_optional: bool = False
    call: bool = False
    accepts: Callable[[str], bool] | None = None

    def __post_init__(self) -> None:
        text = self.text
        if not text.isascii() or not text.isprintable():
            raise AtArgumentError("a command must be printable ASCII: no CR, LF, ESC or Ctrl-Z")
        if text[:2].upper() != "AT" or len(text) > MAX_COMMAND:
            raise AtArgumentError(f"a command begins with AT and has at most {MAX_COMMAND} characters")

    @property
    def wire(self) -> bytes:
        return self.text.encode("ascii") + b"\r"

    @property
    def shown(self) -> str:
        """The text as traces and errors may show it."""
        return f"{self.text.partition('=')[0]}=***" if self.secret else self.text


@dataclass(slots=True)
class Response:
    """The answer lines of one command, in order, without echo, URCs and the final OK."""

    lines: list[str] = field(default_factory=list)
    final: str = "OK"  # "" when an optional OK did not come

    def values(self, prefix: str) -> list[str]:
        """What follows `prefix` and its colon on each line that has it."""
        size = len(prefix)
        return [line[size:].lstrip(": ") for line in self.lines if line.startswith(prefix)]

    def value(self, prefix: str) -> str | None:
        """What follows `prefix` and its colon on the first line that has it, or None."""
        return next(iter(self.values(prefix)), None)

    def bare(self, prefix: str | tuple[str, ...] = ()) -> list[str]:
        """The lines without `prefix`."""
        return [line for line in self.lines if not (prefix and line.startswith(prefix))]


@dataclass(frozen=True, slots=True)
class Urc:
    """An unsolicited result code: its line, and the lines that belong to it (the PDU of +CMT:)."""

    text: str
    body: tuple[str, ...] = ()

    @property
    def value(self) -> str:
        """What follows the first colon."""
        return self.text.partition(":")[2].strip()


@dataclass(frozen=True, slots=True)
class WritePacing:
    """How a PDU is written to a slow modem (domain A3.4): seconds before it, octets at once, seconds between those."""

    delay: float = 0.0
    chunk: int = 0  # 0: all at once
    chunk_delay: float = 0.0
    gap: float = 0.0  # seconds of rest between an answer and the next command (Telit: domain A2.2)


class AtCommandError(AtError):
    """The modem refused a command: `space` "CME", "CMS" or None (bare ERROR), `code` if numeric or known by text."""

    def __init__(self, command: str, space: str | None, code: int | None, text: str) -> None:
        super().__init__(f"{command}: {text}")
        self.command = command
        self.space = space
        self.code = code
        self.text = text

    @property
    def name(self) -> str:
        """The stable code string: `cme_14`, `cms_38`, `cme_unknown`, `error`."""
        if self.space is None:
            return "error"
        return f"{self.space.lower()}_{'unknown' if self.code is None else self.code}"
