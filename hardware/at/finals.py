"""Final result codes: the line that ends an answer (V.250 5.7.1, TS 27.007 9.2, TS 27.005 3.2.5, domain A2.3)."""

from __future__ import annotations

from typing import Final, NamedTuple

from hardware.at.errors import code_of, describe


class FinalResult(NamedTuple):
    """`space` "CMS", "CME" or None; `code` None: bare, or a text the table does not know; `call`: of a call."""

    ok: bool
    text: str
    space: str | None = None
    code: int | None = None
    call: bool = False


OK: Final = FinalResult(True, "OK")

_EXACT: Final = {
    "OK": OK,
    "ERROR": FinalResult(False, "ERROR"),
    "COMMAND NOT SUPPORT": FinalResult(False, "COMMAND NOT SUPPORT"),
    "NA": FinalResult(False, "NA"),
    **{
        text: FinalResult(False, text, call=True)
        for text in ("NO CARRIER", "BUSY", "NO ANSWER", "NO DIALTONE", "NO DIAL TONE")
    },
}
_BEGINNINGS: Final = ("OK", "ERROR", "+CME ERROR:", "+CMS ERROR:")
_FIRST_LETTERS: Final = frozenset("OEN+CBM")


def parse_final(line: str) -> FinalResult | None:
    """The final result that `line` is, or None. Those of a call may as well be news of a call from outside."""
    if line == "OK":
        return OK
    if not line or line[0] not in _FIRST_LETTERS:
        return None
    exact = _EXACT.get(line)
    if exact is not None:
        return exact
    if line.startswith(("+CME", "+CMS")):
        return _extended(line)
    if line.startswith("MODEM ERROR:"):
        return FinalResult(False, line)
    if line == "CONNECT" or line.startswith("CONNECT "):
        return FinalResult(True, line, call=True)
    return None


def begins_final(line: str) -> bool:
    """`line` may be the first piece of a final result that was cut in two."""
    return any(known.startswith(line) for known in _BEGINNINGS)


def _extended(line: str) -> FinalResult | None:
    rest = line[4:].lstrip()
    if not rest.startswith("ERROR"):
        return None
    space, text = line[1:4], rest[5:].lstrip(": ")
    code = code_of(space, text)
    shown = describe(space, code) if code is not None else text or "no text"
    return FinalResult(False, shown, space, code)
