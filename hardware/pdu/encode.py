"""Text and data to TPDUs (TS 23.040 9.2.2): what a phone sends, and for tests what a network sends to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from hardware.pdu.address import read_address, read_smsc, write_address, write_smsc
from hardware.pdu.dcs import make_dcs
from hardware.pdu.errors import PduError
from hardware.pdu.gsm7 import pack
from hardware.pdu.plan import Plan, plan
from hardware.pdu.timestamp import write_timestamp
from hardware.pdu.udh import Concat, Ie, build_header, concat_ie, ports_ie
from hardware.pdu.validity import read_validity, relative_octet, write_absolute, write_enhanced

_REJECT_DUPLICATES, _STATUS_REPORT, _HAS_HEADER = 0x04, 0x20, 0x40
_NO_MORE_MESSAGES = 0x04
_ENHANCED, _RELATIVE, _ABSOLUTE = 0x08, 0x10, 0x18
_TYPE, _SUBMIT, _VPF = 0x03, 0x01, 0x18


@dataclass(slots=True)
class SubmitRequest:
    """A message to send: `text`, or `data` for 8-bit."""

    number: str  # "+" and digits, or digits
    text: str | None = None
    data: bytes | None = None
    smsc: str | None = None  # None: the one on the SIM
    encoding: str = "auto"  # "auto", "gsm7", "ucs2", "8bit" (the text as UTF-8)
    mr: int = 0  # of the first part, counts on; 0: the modem numbers them
    ref: int = 0  # of the concatenation, cut to `ref_bits`
    ref_bits: int = 8  # 8 or 16
    validity_minutes: int | None = None
    status_report: bool = False
    flash: bool = False
    port: int | None = None  # destination application port
    national: Iterable[int | str] = ()  # languages whose tables may be used, by number or name
    reject_duplicates: bool = False
    message_class: int | None = None  # 0 to 3; `flash` is 0
    source_port: int = 0
    locking: bool = True  # `national` may use locking shifts too
    valid_until: datetime | None = None  # an absolute validity period, aware
    valid_for: timedelta | None = None  # an enhanced validity period, exact to the second below 100 hours
    pid: int = 0
    dcs: int | None = None  # instead of the one that encoding and class give
    ies: tuple[Ie, ...] = ()  # further header elements, in each part


@dataclass(slots=True)
class Encoded:
    """TPDUs ready for `AT+CMGS=<length>`."""

    encoding: str
    segments: int
    pdus: list[str]  # upper-case hex, service centre octets first
    lengths: list[int]  # octets of the TPDU, without those of the service centre


@dataclass(slots=True)
class DeliverRequest:
    """A message as a network hands it to a phone."""

    number: str  # the sender; anything that is no number becomes an alphanumeric one
    timestamp: datetime  # aware
    text: str | None = None
    data: bytes | None = None
    smsc: str | None = None
    encoding: str = "auto"
    ref: int = 0
    ref_bits: int = 8
    flash: bool = False
    port: int | None = None
    source_port: int = 0
    national: Iterable[int | str] = ()
    locking: bool = True
    message_class: int | None = None
    pid: int = 0  # 0x40: silent
    dcs: int | None = None  # instead of the one that encoding and class give, for message waiting
    ies: tuple[Ie, ...] = ()
    report_requested: bool = False


@dataclass(slots=True)
class StatusReportRequest:
    """A status report as a network hands it to a phone."""

    number: str  # the recipient of the message it is about
    mr: int
    timestamp: datetime  # when the message was accepted, aware
    discharge: datetime  # when it was delivered or given up, aware
    status: int = 0  # TP-ST
    smsc: str | None = None


def encode(request: SubmitRequest) -> Encoded:
    """The parts of a message; PduError for what no message can carry (text offset, number, more than 255 parts)."""
    smsc = write_smsc(request.smsc)
    address = write_address(request.number)
    first, validity = _validity(request)
    if request.status_report:
        first |= _STATUS_REPORT
    if request.reject_duplicates:
        first |= _REJECT_DUPLICATES
    layout = _plan(request)
    tail = address + bytes((_octet(request.pid, "pid"), _dcs(layout, request))) + validity
    mr = _octet(request.mr, "mr")
    skip = len(smsc)
    pdus, lengths = [], []
    for index, (header, body) in enumerate(_user_data(layout, request)):
        octet = first | _HAS_HEADER if header else first
        pdu = b"".join((smsc, bytes((octet, mr + index & 255 if mr else 0)), tail, body))
        pdus.append(pdu.hex().upper())
        lengths.append(len(pdu) - skip)
    return Encoded(layout.encoding, len(pdus), pdus, lengths)


def without_validity(pdu: str) -> tuple[str, int] | None:
    """A SUBMIT without its TP-VP, and its length for `AT+CMGS`; None when it has none. PduError for what is none."""
    try:
        data = bytes.fromhex(pdu)
    except ValueError:
        raise PduError("the PDU is not hexadecimal") from None
    try:
        _, start = read_smsc(data)
        first = data[start]
        if first & _TYPE != _SUBMIT:
            raise PduError("no SMS-SUBMIT", start)
        if not first & _VPF:
            return None
        _, _, at = read_address(data, start + 2, any_filler=True)
        _, end = read_validity(first >> 3 & 3, data, at + 2)
    except IndexError:
        raise PduError("the PDU ends early", len(data)) from None
    stripped = b"".join((data[:start], bytes((first & ~_VPF,)), data[start + 1 : at + 2], data[end:]))
    return stripped.hex().upper(), len(stripped) - start


def encode_deliver(request: DeliverRequest) -> list[str]:
    """SMS-DELIVER, one per part: upper-case hex, service centre octets first. PduError."""
    smsc = write_smsc(request.smsc)
    address = write_address(request.number, alphanumeric=True)
    layout = _plan(request)
    pid = _octet(request.pid, "pid")
    tail = address + bytes((pid, _dcs(layout, request))) + write_timestamp(request.timestamp)
    first = _NO_MORE_MESSAGES | (_STATUS_REPORT if request.report_requested else 0)
    pdus = []
    for header, body in _user_data(layout, request):
        octet = first | _HAS_HEADER if header else first
        pdus.append(b"".join((smsc, bytes((octet,)), tail, body)).hex().upper())
    return pdus


def encode_status_report(request: StatusReportRequest) -> str:
    """SMS-STATUS-REPORT: upper-case hex, service centre octets first. PduError."""
    parts = (
        write_smsc(request.smsc),
        bytes((0x06, _octet(request.mr, "mr"))),
        write_address(request.number, alphanumeric=True),
        write_timestamp(request.timestamp),
        write_timestamp(request.discharge),
        bytes((_octet(request.status, "status"),)),
    )
    return b"".join(parts).hex().upper()


def _plan(request: SubmitRequest | DeliverRequest) -> Plan:
    fixed = request.ies
    if request.port is not None:
        fixed = (*fixed, ports_ie(_port(request.port), _port(request.source_port)))
    if request.data is None:
        if request.text is None:
            raise PduError("there is neither text nor data")
        return plan(request.text, request.encoding, request.national, request.locking, fixed, request.ref_bits)
    if request.text is not None:
        raise PduError("there is text and data; a message has one of them")
    return plan(request.data, "8bit", (), False, fixed, request.ref_bits)


def _user_data(layout: Plan, request: SubmitRequest | DeliverRequest) -> Iterable[tuple[bytes, bytes]]:
    # Pairs: header; TP-UDL with TP-UD.
    pieces, ies = layout.pieces, layout.ies
    total = len(pieces)
    seven = layout.encoding == "gsm7"
    if total == 1:
        header = build_header(ies) if ies else b""
        return ((header, _body(header, pieces[0], seven)),)
    ref = request.ref & ((1 << request.ref_bits) - 1)
    concat = concat_ie(Concat(ref, total, 1, request.ref_bits))
    header = build_header((*ies, concat))
    stem = header[:-1]  # the sequence number is the last octet
    headers = [stem + bytes((seq,)) for seq in range(1, total + 1)]
    return [(header, _body(header, piece, seven)) for header, piece in zip(headers, pieces, strict=True)]


def _body(header: bytes, piece: bytes, seven: bool) -> bytes:
    if not seven:
        return bytes((len(header) + len(piece),)) + header + piece
    if not header:
        return bytes((len(piece),)) + pack(piece)
    skipped = (8 * len(header) + 6) // 7
    length = skipped + len(piece)
    packed = header + pack(piece, 7 * skipped - 8 * len(header))
    return bytes((length,)) + packed.ljust(length * 7 + 7 >> 3, b"\0")


def _validity(request: SubmitRequest) -> tuple[int, bytes]:
    # The first octet of a SUBMIT with its TP-VPF, and TP-VP.
    if request.validity_minutes is not None:
        return 1 | _RELATIVE, bytes((relative_octet(request.validity_minutes * 60),))
    if request.valid_until is not None:
        return 1 | _ABSOLUTE, write_absolute(request.valid_until)
    if request.valid_for is not None:
        return 1 | _ENHANCED, write_enhanced(request.valid_for)
    return 1, b""


def _dcs(layout: Plan, request: SubmitRequest | DeliverRequest) -> int:
    if request.dcs is not None:
        return _octet(request.dcs, "dcs")
    message_class = request.message_class
    if message_class is None:
        return make_dcs(layout.encoding, 0 if request.flash else None)
    if not 0 <= message_class <= 3:
        raise PduError("a message class is 0 to 3")
    return make_dcs(layout.encoding, message_class)


def _octet(value: int, name: str) -> int:
    if not 0 <= value <= 255:
        raise PduError(f"{name} is 0 to 255")
    return value


def _port(value: int) -> int:
    if not 0 <= value <= 65535:
        raise PduError("a port is 0 to 65535")
    return value
