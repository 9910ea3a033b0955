"""Pure parsers of answer lines and URCs. `None` means "not such a line": nothing here raises, whatever the text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hardware.types import Access, Registration

__all__ = [
    "Call",
    "CellState",
    "ImeiText",
    "Listing",
    "Operator",
    "StoragePointer",
    "StorageUse",
    "StoredMessage",
    "Ussd",
    "clip",
    "cmgl",
    "cmgr",
    "cmms_modes",
    "cmti",
    "cnmi",
    "cnmi_modes",
    "cnum",
    "cops",
    "cpin",
    "cpms",
    "cpms_storages",
    "creg",
    "creg_is_answer",
    "csca",
    "cscs_sets",
    "csms_services",
    "cusd",
    "fields",
    "iccid",
    "imei",
    "imsi",
    "info_text",
    "luhn_ok",
    "memory_full",
    "number_of_attempts",
    "routed_length",
    "signal",
]


@dataclass(frozen=True, slots=True)
class StoragePointer:
    """Where the modem says it has put something: `+CMTI`, `+CDSI` (TS 27.005 3.4.1)."""

    storage: str
    index: int


@dataclass(frozen=True, slots=True)
class CellState:
    """One `+CREG`, `+CGREG`, `+CEREG` or `+C5GREG` (TS 27.007 7.2, 10.1.20, 10.1.22)."""

    domain: str  # "CREG", "CGREG", "CEREG", "C5GREG"
    stat: int
    registration: Registration
    access: Access | None = None
    area: str | None = None
    cell: str | None = None

    @property
    def carries_sms(self) -> bool:
        """Registered so that an SMS can go; GPRS attachment alone says nothing of the circuit-switched side."""
        if self.domain == "CREG":
            return self.stat in (1, 5, 6, 7, 9, 10)
        return self.domain in ("CEREG", "C5GREG") and self.stat in (1, 5, 6, 7)


@dataclass(frozen=True, slots=True)
class Operator:
    """`+COPS?` (TS 27.007 7.3); `name` is None while no network is selected."""

    mode: int
    name: str | None
    access: Access | None


@dataclass(frozen=True, slots=True)
class StorageUse:
    """One of the three memories of `+CPMS`; `storage` is None in the answer to a set command."""

    storage: str | None
    used: int
    total: int


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One message out of `+CMGL` or `+CMGR`; `index` is None for the latter, `pdu` is upper hex and may be empty."""

    index: int | None
    status: int | None
    length: int | None
    pdu: str


@dataclass(frozen=True, slots=True)
class Listing:
    """All of `+CMGL`: what was understood, and the header lines that were not (text mode, damage)."""

    messages: tuple[StoredMessage, ...]
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImeiText:
    """Fifteen digits as found; `valid` is the Luhn check (TS 23.003 6.2.1)."""

    digits: str
    valid: bool


@dataclass(frozen=True, slots=True)
class Ussd:
    """`+CUSD` (TS 27.007 7.15); status 0 done, 1 answer expected, 2 ended by network, 4 not supported, 5 time-out."""

    status: int
    text: str | None
    dcs: int | None


@dataclass(frozen=True, slots=True)
class Call:
    """`+CLIP` (TS 27.007 7.11); `number` is None when withheld."""

    number: str | None
    validity: int | None


_REGISTRATIONS = {
    0: Registration.NOT_REGISTERED,
    1: Registration.HOME,
    2: Registration.SEARCHING,
    3: Registration.DENIED,
    4: Registration.UNKNOWN,
    5: Registration.ROAMING,
    6: Registration.SMS_ONLY,
    7: Registration.SMS_ONLY,
    8: Registration.NOT_REGISTERED,  # emergency bearer services only
    9: Registration.HOME,  # CSFB not preferred
    10: Registration.ROAMING,  # CSFB not preferred
    11: Registration.NOT_REGISTERED,  # emergency bearer services only
}

_ACCESS = {
    0: Access.GSM,
    1: Access.GSM,
    2: Access.UMTS,
    3: Access.GSM,
    4: Access.UMTS,
    5: Access.UMTS,
    6: Access.UMTS,
    7: Access.LTE,
    8: Access.GSM,  # EC-GSM-IoT
    9: Access.LTE,  # NB-S1
    10: Access.LTE,  # E-UTRA on a 5G core
    11: Access.NR,
    12: Access.NR,
    13: Access.LTE,  # EN-DC
}

_HEX = re.compile(r"[0-9A-Fa-f]+\Z")
_DIGITS15 = re.compile(r"(?<![0-9])[0-9]{15}(?![0-9])")
_ICCID = re.compile(r"(?<![0-9A-Fa-f])([0-9]{18,20}[0-9A-Fa-f]{0,2})(?![0-9A-Fa-f])")
_IMSI = re.compile(r"(?<![0-9])[0-9]{14,15}(?![0-9])")
_STORAGE = re.compile(r"[A-Z]{2}\Z")
_INT = re.compile(r"-?[0-9]{1,9}\Z")
_NUMBER = re.compile(r"\+?[0-9*#]{1,20}\Z")
_QUOTED = re.compile(r'"([^"]*)"')
_RANGE = re.compile(r"([0-9]{1,3})(?:-([0-9]{1,3}))?\Z")


def fields(text: str) -> list[str]:
    """Split at commas outside quotes and brackets; blanks and one pair of quotes are taken off each field."""
    return [_unquote(part) for part in _split(text)]


def cmti(line: str) -> StoragePointer | None:
    """`+CMTI`/`+CDSI` in all forms of domain A4.5: quoted or not, with the extra fields of an MMS push."""
    body = _body(line, "+CMTI", "+CDSI")
    if body is None:
        return None
    parts = fields(body)
    if len(parts) < 2:
        return None
    storage, index = parts[0].upper(), _int(parts[1])
    if not _STORAGE.match(storage) or index is None or index < 0:
        return None
    return StoragePointer(storage, index)


def routed_length(line: str) -> int | None:
    """Octets announced by `+CMT: [<alpha>],<length>` or `+CDS: <length>` (PDU mode); the PDU is the next line."""
    body = _body(line, "+CMT", "+CDS")
    if body is None:
        return None
    length = _int(fields(body)[-1])
    return length if length is not None and 0 <= length <= 255 else None


def creg(line: str) -> CellState | None:
    """Solicited or URC, quoted or not: `<n>,<stat>[,…]` is told from `<stat>[,<lac>,…]` by its second field."""
    domain = next((d for d in ("CREG", "CGREG", "CEREG", "C5GREG") if line.startswith(f"+{d}:")), None)
    if domain is None:
        return None
    raw = [part.strip() for part in _split(line.partition(":")[2])]
    rest = raw[1:] if _has_level(raw) else raw
    stat = _int(rest[0]) if rest else None
    if stat is None or stat not in _REGISTRATIONS:
        return None
    area, cell, access = (_unquote(rest[i]) if len(rest) > i else "" for i in (1, 2, 3))
    kind = _int(access)
    return CellState(
        domain, stat, _REGISTRATIONS[stat], _ACCESS.get(kind) if kind is not None else None, area or None, cell or None
    )


def creg_is_answer(line: str) -> bool:
    """The line answers `+CREG?`: `<n>,<stat>[,…]`; False: it is a URC, `<stat>[,<lac>,…]`."""
    return _has_level([part.strip() for part in _split(line.partition(":")[2])])


def signal(line: str) -> int | None:
    """Signal in dBm from `+CSQ` or `+CESQ` (TS 27.007 8.5, 8.69); None when the modem does not know."""
    body = _body(line, "+CSQ")
    if body is not None:
        rssi = _int(fields(body)[0])
        if rssi is not None and 0 <= rssi <= 31:
            return -113 + 2 * rssi
        if rssi is not None and 100 <= rssi <= 191:  # TD-SCDMA
            return -216 + rssi
        return None
    body = _body(line, "+CESQ")
    if body is None:
        return None
    values = [_int(part) for part in fields(body)]
    # The best known layer wins: NR, LTE, UMTS, GSM. (position, highest value, dBm of zero)
    for position, highest, base in ((7, 126, -157), (5, 97, -141), (2, 96, -121), (0, 63, -111)):
        value = values[position] if len(values) > position else None
        if value is not None and 0 <= value <= highest:
            return base + value
    return None


def cops(line: str) -> Operator | None:
    """`+COPS: <mode>[,<format>,<oper>[,<AcT>]]`; a name in UCS2 hex is read."""
    body = _body(line, "+COPS")
    if body is None:
        return None
    parts = fields(body)
    mode = _int(parts[0])
    if mode is None:
        return None
    name = parts[2] if len(parts) > 2 else ""
    access = _int(parts[3]) if len(parts) > 3 else None
    return Operator(mode, _from_ucs2(name) or None, _ACCESS.get(access) if access is not None else None)


def cpms(line: str) -> tuple[StorageUse, ...] | None:
    """Used and total per memory, from a set command (numbers only) or the query (names too)."""
    body = _body(line, "+CPMS")
    if body is None or "(" in body:
        return None
    parts = fields(body)
    named = bool(parts) and _int(parts[0]) is None
    step = 3 if named else 2
    found: list[StorageUse] = []
    for start in range(0, len(parts) - step + 1, step):
        name = parts[start].upper() if named else None
        used, total = _int(parts[start + step - 2]), _int(parts[start + step - 1])
        if used is None or total is None or used < 0 or total < 0 or (name is not None and not _STORAGE.match(name)):
            return None
        found.append(StorageUse(name, used, total))
    return tuple(found) or None


def cpms_storages(line: str) -> tuple[tuple[str, ...], ...] | None:
    """`+CPMS: ("SM","ME"),("SM"),("SM","MT")`: which names each of the three memories may take."""
    body = _body(line, "+CPMS")
    if body is None:
        return None
    groups = tuple(
        tuple(name for name in (part.upper() for part in fields(group[1:-1])) if _STORAGE.match(name))
        for group in (part.strip() for part in _split(body))
        if group.startswith("(") and group.endswith(")")
    )
    return groups if any(groups) else None


def cpin(line: str) -> str | None:
    """The code of `+CPIN: <code>`, upper case: `READY`, `SIM PIN`, `SIM PUK`, …"""
    body = _body(line, "+CPIN")
    code = " ".join(_unquote(body).upper().split()) if body is not None else ""
    return code if code and len(code) <= 24 else None


def cnmi(line: str) -> tuple[int, ...] | None:
    """The five settings of `+CNMI?` (fewer, where the modem leaves some out)."""
    body = _body(line, "+CNMI")
    if body is None:
        return None
    values = [_int(part) for part in fields(body)]
    return tuple(v for v in values if v is not None) if values and None not in values and len(values) <= 5 else None


def cnmi_modes(line: str) -> tuple[frozenset[int], ...] | None:
    """`+CNMI: (0-2),(0,1),…`: what each setting may be (TS 27.005 3.4.1)."""
    return _sets(line, "+CNMI")


def cmms_modes(line: str) -> frozenset[int] | None:
    """`+CMMS: (0-2)`: the ways to keep the link between messages (TS 27.005 3.5.6)."""
    sets = _sets(line, "+CMMS")
    return sets[0] if sets else None


def csms_services(line: str) -> frozenset[int] | None:
    """`+CSMS: (0,1)`: the message services (TS 27.005 3.2.1)."""
    sets = _sets(line, "+CSMS")
    return sets[0] if sets else None


def cscs_sets(line: str) -> tuple[str, ...] | None:
    """`+CSCS: ("GSM","UCS2")`: character sets of the modem's own strings."""
    body = _body(line, "+CSCS")
    return tuple(_QUOTED.findall(body)) or None if body is not None else None


def cmgl(lines: Sequence[str]) -> Listing:
    """All answer lines of `AT+CMGL` in PDU mode (TS 27.005 4.1); a header that is not followed by hex is refused."""
    messages: list[StoredMessage] = []
    refused: list[str] = []
    position = 0
    while position < len(lines):
        line = lines[position]
        position += 1
        body = _body(line, "+CMGL")
        if body is None:
            continue
        pdu = lines[position].strip() if position < len(lines) else ""
        has_pdu = _HEX.match(pdu) is not None
        position += has_pdu
        message = _listed(body, pdu.upper() if has_pdu else "")
        if message is None or (not message.pdu and message.length != 0):
            refused.append(line)
        else:
            messages.append(message)
    return Listing(tuple(messages), tuple(refused))


def cmgr(lines: Sequence[str]) -> StoredMessage | None:
    """Answer lines of `AT+CMGR` in PDU mode (TS 27.005 4.2); an empty slot (`+CMGR: 0,,0`) has an empty `pdu`."""
    for position, line in enumerate(lines):
        body = _body(line, "+CMGR")
        if body is None:
            continue
        parts = fields(body)
        status, length = _int(parts[0]), _int(parts[-1]) if len(parts) > 1 else None
        following = lines[position + 1].strip() if position + 1 < len(lines) else ""
        pdu = following.upper() if _HEX.match(following) else ""
        if not pdu and length != 0:
            return None
        return StoredMessage(None, status, length, pdu)
    return None


def csca(line: str) -> str | None:
    """The service centre's number, `""` when none is set; UCS2 hex (CSCS="UCS2") is read."""
    body = _body(line, "+CSCA")
    if body is None:
        return None
    parts = fields(body)
    number = _from_ucs2(parts[0])
    if number and not _NUMBER.match(number):
        return None
    kind = _int(parts[1]) if len(parts) > 1 else None
    return f"+{number}" if kind == 145 and number and not number.startswith("+") else number


def imei(lines: Iterable[str]) -> ImeiText | None:
    """Fifteen digits out of `+CGSN`/`ATI`: bare, prefixed, quoted, after "IMEI:"; one that passes Luhn comes first."""
    found = [digits for line in lines for digits in _DIGITS15.findall(line)]
    if not found:
        return None
    best = next((digits for digits in found if luhn_ok(digits)), found[0])
    return ImeiText(best, luhn_ok(best))


def luhn_ok(digits: str) -> bool:
    """ISO/IEC 7812-1 annex B; False for anything but ASCII digits."""
    if not digits or not digits.isascii() or not digits.isdigit():
        return False
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if position % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def imsi(lines: Iterable[str]) -> str | None:
    """The 14 or 15 digits of `+CIMI`, bare or prefixed."""
    return next((match.group() for line in lines if (match := _IMSI.search(line))), None)


def iccid(lines: Iterable[str]) -> str | None:
    """ICCID from any of the vendors' answers or `+CRSM` (nibbles swapped there: domain A2.2); filler F is taken off."""
    for line in lines:
        match = _ICCID.search(line)
        if match is None:
            continue
        text = match.group(1).upper()
        if line.startswith("+CRSM") or text.startswith("98"):
            text = "".join(text[i + 1] + text[i] for i in range(0, len(text) - 1, 2))
        text = text.rstrip("F")
        if text.isdigit() and 18 <= len(text) <= 22 and text.startswith("89"):
            return text
    return None


def cusd(text: str) -> Ussd | None:
    """`+CUSD: <m>[,<str>[,<dcs>]]`; the string may hold line ends."""
    body = _body(text, "+CUSD")
    if body is None:
        return None
    match = re.match(r'\s*([0-9])\s*(?:,\s*"(.*)"\s*(?:,\s*([0-9]{1,3}))?)?\s*\Z', body, re.DOTALL)
    if match is None:
        return None
    return Ussd(int(match.group(1)), match.group(2), int(match.group(3)) if match.group(3) else None)


def clip(line: str) -> Call | None:
    """`+CLIP: <number>,<type>[,…[,<CLI validity>]]`: an empty number is a withheld one."""
    body = _body(line, "+CLIP")
    if body is None:
        return None
    parts = fields(body)
    number = parts[0]
    validity = _int(parts[5]) if len(parts) > 5 else None
    if number and not _NUMBER.match(number):
        return None
    kind = _int(parts[1]) if len(parts) > 1 else None
    if kind == 145 and number and not number.startswith("+"):
        number = f"+{number}"
    return Call(number or None, validity)


def cnum(line: str) -> str | None:
    """The SIM's own number, if the operator wrote one there."""
    body = _body(line, "+CNUM")
    if body is None:
        return None
    parts = fields(body)
    number = parts[1] if len(parts) > 1 else ""
    if not _NUMBER.match(number):
        return None
    kind = _int(parts[2]) if len(parts) > 2 else None
    return f"+{number}" if kind == 145 and not number.startswith("+") else number


def info_text(lines: Sequence[str], prefix: str) -> str | None:
    """Manufacturer, model or revision: the first line with something in it, bare, prefixed or quoted."""
    for line in lines:
        body = _body(line, prefix)
        text = _unquote(body if body is not None else line).strip()
        if text:
            return text[:80]
    return None


def number_of_attempts(line: str) -> int | None:
    """PIN1 attempts left, from `+CSIM` (63Cx) or the vendors' counters (domain A8.1)."""
    body = _body(line, "+CSIM")
    if body is not None:
        match = re.search(r"63C([0-9A-F])", body.upper())
        return int(match.group(1), 16) if match else None
    body = _body(line, "+QPINC")
    if body is not None:
        parts = fields(body)
        return _attempts(parts, 1) if parts and parts[0].upper() == "SC" else None
    body = _body(line, "^CPIN")
    if body is not None:  # <code>,<times>,<puk>,<pin>,<puk2>,<pin2>
        return _attempts(fields(body), 3)
    for prefix in ("+SPIC", "+UPINCNT", "+CPINC", "#PCT", "^SPIC", "+EPINC"):
        body = _body(line, prefix)
        if body is not None:
            return _attempts(fields(body), 0)
    return None


def memory_full(line: str) -> str | None:
    """The full storage that a URC names, `""` when it names none, None when it says something else (domain A5.1)."""
    overflow = _body(line, "^SMGO")
    if overflow is not None:  # 1: full, 2: full and a message waits
        return "" if _int(fields(overflow)[0]) in (1, 2) else None
    body = _body(line, "^SMMEMFULL", "#SMOV")
    if body is not None or line.strip() == "^SMMEMFULL":
        names = [name.upper() for name in fields(body or "")]
    else:
        body = _body(line, "+QIND")
        parts = fields(body) if body is not None else []
        if not parts or parts[0].lower() != "smsfull":
            return None
        names = [name.upper() for name in parts[1:]]
    return next((name for name in names if _STORAGE.match(name)), "")


def _body(line: str, *prefixes: str) -> str | None:
    """What follows `<prefix>:`; None when the line starts otherwise."""
    for prefix in prefixes:
        if line.startswith(prefix) and line[len(prefix) :].lstrip(" ").startswith(":"):
            return line[len(prefix) :].lstrip(" ")[1:].strip()
    return None


def _split(text: str) -> list[str]:
    if '"' not in text and "(" not in text:
        return text.split(",")
    parts: list[str] = []
    start = depth = 0
    quoted = False
    for position, char in enumerate(text):
        if char == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif char == "(":
            depth += 1
        elif char == ")":
            depth = max(0, depth - 1)
        elif char == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    parts.append(text[start:])
    return parts


def _unquote(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] == '"' else text


def _int(text: str) -> int | None:
    text = text.strip()
    return int(text) if _INT.match(text) else None


def _has_level(raw: Sequence[str]) -> bool:
    return len(raw) >= 2 and re.fullmatch(r"[0-9]|1[01]", raw[1]) is not None


def _attempts(parts: Sequence[str], position: int) -> int | None:
    value = _int(parts[position]) if len(parts) > position else None
    return value if value is not None and 0 <= value <= 15 else None


def _listed(body: str, pdu: str) -> StoredMessage | None:
    parts = fields(body)
    if len(parts) < 3:
        return None
    index, status, length = _int(parts[0]), _int(parts[1]), _int(parts[-1])
    if index is None or index < 0 or status is None or length is None:
        return None
    return StoredMessage(index, status, length, pdu)


def _sets(line: str, prefix: str) -> tuple[frozenset[int], ...] | None:
    body = _body(line, prefix)
    if body is None or "(" not in body:
        return None
    groups: list[frozenset[int]] = []
    for part in _split(body):
        values: set[int] = set()
        for item in part.strip().strip("()").split(","):
            match = _RANGE.match(item.strip())
            if match:
                first = int(match.group(1))
                values.update(range(first, int(match.group(2) or first) + 1))
        groups.append(frozenset(values))
    return tuple(groups)


def _from_ucs2(text: str) -> str:
    """A string that the modem wrote as UCS2 hex, as text; any other string as it is."""
    if len(text) < 8 or len(text) % 4 or not _HEX.match(text) or not text.startswith("00"):
        return text
    return bytes.fromhex(text).decode("utf-16-be", "replace")
