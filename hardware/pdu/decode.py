"""Octets to TPDUs (TS 23.040 9.2.2)."""

from __future__ import annotations

from string import hexdigits
from typing import Literal

from hardware.pdu import gsm7
from hardware.pdu.address import read_address, read_smsc
from hardware.pdu.dcs import DCS
from hardware.pdu.errors import PduError
from hardware.pdu.messages import Deliver, StatusReport, Submit
from hardware.pdu.timestamp import read_timestamp
from hardware.pdu.udh import EMPTY, Header, parse_header
from hardware.pdu.validity import read_validity

_SUBMIT, _STATUS_REPORT = 1, 2
_HAS_HEADER = 0x40

Content = tuple[str | None, bytes | None, bytes, Header]


def decode(
    pdu: bytes | str, *, direction: Literal["mt", "mo"] = "mt", has_smsc: bool = True
) -> Deliver | Submit | StatusReport:
    """One TPDU, hex when `pdu` is a str; what follows it is ignored. PduError, whatever the octets."""
    data = _octets(pdu) if isinstance(pdu, str) else bytes(pdu)
    try:
        smsc, at = read_smsc(data) if has_smsc else (None, 0)
        kind = data[at] & 3
        # A phone's storage also holds what it sent, so SUBMIT comes from a modem as well.
        if kind == _SUBMIT:
            return _submit(data, at, smsc)
        if direction == "mo":
            raise PduError("no SMS-SUBMIT", at)
        # A reserved type is processed as a DELIVER (TS 23.040 9.2.3.1).
        return _status_report(data, at, smsc) if kind == _STATUS_REPORT else _deliver(data, at, smsc)
    except IndexError:
        raise PduError("the PDU ends early", len(data)) from None


def decode_user_data(encoding: str, user_data: bytes, header: Header = EMPTY) -> tuple[str | None, bytes | None]:
    """Text and data of joined or single user data; lone surrogates and a lone last octet become U+FFFD."""
    if encoding == "gsm7":
        return gsm7.decode(user_data, header.locking, header.single), None
    if encoding == "ucs2":
        return user_data.decode("utf-16-be", "replace"), None
    return None, user_data


def _octets(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        digits = "".join(text.split())  # line breaks may fall inside an octet
        valid = len(digits) - len(digits.lstrip(hexdigits))
        if valid < len(digits) or valid & 1:
            raise PduError("the PDU is not hexadecimal", valid // 2) from None
        return bytes.fromhex(digits)


def _deliver(data: bytes, at: int, smsc: str | None) -> Deliver:
    first = data[at]
    number, number_type, at = read_address(data, at + 1)
    pid, dcs = data[at], data[at + 1]
    timestamp = read_timestamp(data, at + 2)
    text, octets, user_data, header = _user_data(data, at + 9, dcs, first & _HAS_HEADER)
    return Deliver(first, smsc, number, number_type, pid, dcs, text, octets, user_data, header, timestamp)


def _submit(data: bytes, at: int, smsc: str | None) -> Submit:
    first, mr = data[at], data[at + 1]
    number, number_type, at = read_address(data, at + 2, any_filler=True)
    pid, dcs = data[at], data[at + 1]
    validity, at = read_validity(first >> 3 & 3, data, at + 2)
    text, octets, user_data, header = _user_data(data, at, dcs, first & _HAS_HEADER)
    return Submit(first, smsc, number, number_type, pid, dcs, text, octets, user_data, header, mr, validity)


def _status_report(data: bytes, at: int, smsc: str | None) -> StatusReport:
    first, mr = data[at], data[at + 1]
    number, number_type, at = read_address(data, at + 2, any_filler=True)
    timestamp = read_timestamp(data, at, any_zone=True)
    discharge = read_timestamp(data, at + 7, any_zone=True)
    status = data[at + 14]
    report = StatusReport(first, smsc, mr, number, number_type, timestamp, discharge, status)
    at += 15
    if at < len(data):
        _report_options(report, data, at)
    return report


def _report_options(report: StatusReport, data: bytes, at: int) -> None:
    # TP-PI says what follows; bit 7 announces another octet of it (TS 23.040 9.2.3.27).
    present = data[at]
    while data[at] & 0x80:
        at += 1
    at += 1
    if present & 1:
        report.pid = data[at]
        at += 1
    if present & 2:
        report.dcs = data[at]
        at += 1
    if present & 4:
        content = _user_data(data, at, report.dcs or 0, report.first & _HAS_HEADER)
        report.text, report.data, _, report.header = content


def _user_data(data: bytes, at: int, dcs: int, has_header: int) -> Content:
    length = data[at]
    at += 1
    encoding = DCS[dcs].encoding
    seven = encoding == "gsm7"
    end = at + (length * 7 + 7 >> 3 if seven else length)
    if end > len(data):
        raise PduError("the user data is shorter than its length says", len(data))
    header, fill = EMPTY, 0
    if has_header and length:
        body = at + 1 + data[at]
        if seven:
            skipped = (8 * (body - at) + 6) // 7
            fill = 7 * skipped - 8 * (body - at)
            length -= skipped
        if body > end or length < 0:
            raise PduError("the user data header is longer than the user data", at)
        header = parse_header(data[at + 1 : body], at + 1)
        at = body
    if seven:
        septets = gsm7.unpack_exact(data[at:end], length, fill)
        return gsm7.decode(septets, header.locking, header.single), None, septets, header
    user_data = data[at:end]
    text, octets = decode_user_data(encoding, user_data)
    return text, octets, user_data, header
