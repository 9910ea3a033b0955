"""Pure parsers of what the supplementary services say: USSD and calls. `None` means "not such a line"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hardware.at.parsers import fields

__all__ = ["Call", "Ussd", "clip", "cusd", "missed_call"]

MAX_USSD = 2000  # characters of a whole notice: 182 in hex, four digits each, are under 800

_STATUS = re.compile(r"\+CUSD *: *([0-5])\Z")
_AFTER_STRING = re.compile(r'"\s*(?:,\s*([0-9]{1,3}))?\Z')
_SCHEME = re.compile(r"[0-9]{1,3}\Z")
_NUMBER = re.compile(r"\+?[0-9*#]{1,20}\Z")
_LAST_NUMBER = re.compile(r"(?:\A|[ ,:\"])(\+?[0-9*#]{2,20})\"?\Z")

_INTERNATIONAL = "145"  # type of number (TS 24.008 10.5.4.7)


@dataclass(frozen=True, slots=True)
class Ussd:
    """`+CUSD` (TS 27.007 7.15); status 0 done, 1 answer expected, 2 ended by network, 3 answered by another client,
    4 not supported, 5 time-out. `text` is as the modem wrote it.
    """

    status: int
    text: str | None
    dcs: int | None


@dataclass(frozen=True, slots=True)
class Call:
    """`+CLIP` (TS 27.007 7.11); `number` is None when withheld."""

    number: str | None
    validity: int | None


def cusd(text: str) -> Ussd | None:
    """`+CUSD: <m>[,<str>[,<dcs>]]`; the string may hold line ends and quotes, lack its own, or have lost its end."""
    head, _, rest = text[:MAX_USSD].strip().partition(",")
    status = _STATUS.match(head.rstrip())
    if status is None:
        return None
    rest = rest.strip()
    if rest.startswith('"'):
        end = _AFTER_STRING.search(rest, 1)
        string, scheme = (rest[1 : end.start()], end.group(1) or "") if end else (rest[1:], "")
    else:
        string, _, scheme = (part.strip() for part in rest.partition(","))
    dcs = int(scheme) if _SCHEME.match(scheme) else 256
    return Ussd(int(status.group(1)), string or None, dcs if dcs <= 255 else None)


def clip(line: str) -> Call | None:
    """`+CLIP: <number>,<type>[,…[,<CLI validity>]]`: an empty number is a withheld one."""
    name, colon, body = line.partition(":")
    if name.rstrip() != "+CLIP" or not colon:
        return None
    parts = fields(body)
    number = parts[0]
    if number and not _NUMBER.match(number):
        return None
    validity = parts[5] if len(parts) > 5 else ""
    if len(parts) > 1 and parts[1] == _INTERNATIONAL and number and not number.startswith("+"):
        number = f"+{number}"
    return Call(number or None, int(validity) if re.fullmatch("[0-9]", validity) else None)


def missed_call(line: str) -> Call | None:
    """`MISSED_CALL: 02:12AM +36301234567` (SIMCom): the number is the last word, where there is one."""
    if not line.startswith("MISSED_CALL:"):
        return None
    found = _LAST_NUMBER.search(line[len("MISSED_CALL:") :].strip())
    return Call(found.group(1) if found else None, None)
