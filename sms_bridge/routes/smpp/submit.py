"""An order to submit_sm PDUs: alphabet, cutting, numbers, times; as one message centre wants them (domain C1). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from hardware.pdu import Concat, Ie, PduError, gsm7
from hardware.pdu.plan import Plan, plan
from hardware.pdu.udh import build_header, concat_ie, ports_ie
from sms_bridge.routes.smpp import pdu
from sms_bridge.routes.smpp.pdu import Address, Message, Tag

MOST_SENDER: Final = 11  # characters of an alphanumeric sender (TS 23.040 9.1.2.5)
LONGEST_VALIDITY: Final = 365 * 86_400  # seconds; more than the field says well, and than any centre keeps

_HAS_HEADER = 0x40  # esm_class
_REPORT = 0x01  # registered_delivery: success and failure
_BINARY, _UCS2 = 0x04, 0x08  # data_coding
_FLASH_GSM, _FLASH_UCS2 = 0xF0, 0x18
_SUBUNIT, _DISPLAY = 0x0005, b"\x01"  # dest_addr_subunit
_SEPTETS = bytes(octet & 0x7F for octet in range(256))
_PACK_AT_ONCE = 248  # septets; a multiple of eight, which end at an octet


class LongMessages(StrEnum):
    """How the parts of a long message are told to be one."""

    UDH = "udh"  # a header in each part
    SAR = "sar"  # sar_* parameters
    PAYLOAD = "payload"  # one PDU with all of it


class Charset(StrEnum):
    """What data_coding 0 means at a centre."""

    GSM7 = "gsm7"  # the GSM alphabet, a septet in an octet
    GSM7_PACKED = "gsm7_packed"
    LATIN1 = "latin1"
    ASCII = "ascii"


@dataclass(frozen=True, slots=True)
class Kind:
    """TON and NPI (SMPP 3.4 5.2.5, 5.2.6)."""

    ton: int
    npi: int


INTERNATIONAL, NATIONAL, SHORT, ALPHANUMERIC = Kind(1, 1), Kind(2, 1), Kind(3, 0), Kind(5, 0)


@dataclass(frozen=True, slots=True)
class Style:
    """How an account writes its messages."""

    long_messages: LongMessages = LongMessages.UDH
    charset: Charset = Charset.GSM7
    service_type: str = ""
    destination: Kind | None = None  # None: by the number


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be sent: `text`, or `data` for 8-bit."""

    to: str
    source: Address
    text: str | None = None
    data: bytes | None = None
    port: int | None = None
    encoding: str = "auto"
    flash: bool = False
    report: bool = True
    validity: int | None = None  # seconds
    reference: int = 0  # of the parts of a long message


def source_address(text: str, kind: Kind | None = None) -> Address:
    """A sender as SMPP says it: `+36…`, `06…`, a short code of 3 to 6 digits, or a name. PduError with the reason."""
    if not text:
        return Address()
    if re.fullmatch(r"\+?[0-9]{1,20}", text):
        digits = text.removeprefix("+")
        if len(digits) > 15:
            raise pdu.PduError(f"the sender {text} has more than 15 digits")
        found = INTERNATIONAL if text.startswith("+") else SHORT if 3 <= len(digits) <= 6 else NATIONAL
        found = kind or found
        return Address(digits, found.ton, found.npi)
    if len(text) > MOST_SENDER:
        raise pdu.PduError(f"the sender {text!r} has {len(text)} characters; a name has at most {MOST_SENDER}")
    try:
        gsm7.encode(text)
        text.encode("latin-1")
    except (PduError, UnicodeEncodeError):
        raise pdu.PduError(f"the sender {text!r} has a character that phones do not show in a name") from None
    found = kind or ALPHANUMERIC
    return Address(text, found.ton, found.npi)


def destination_address(number: str, kind: Kind | None = None) -> Address:
    """A recipient as SMPP says it. PduError: longer than the standard allows, which is never cut."""
    if not re.fullmatch(r"\+?[0-9]{1,40}", number):
        raise pdu.PduError("the recipient is no telephone number")
    digits = number.removeprefix("+")
    if len(digits) > 20:
        raise pdu.PduError(f"the recipient has {len(digits)} digits; SMPP carries at most 20")
    found = INTERNATIONAL if number.startswith("+") else SHORT if 3 <= len(digits) <= 6 else NATIONAL
    found = kind or found
    return Address(digits, found.ton, found.npi)


def messages(wanted: Wanted, style: Style) -> list[Message]:
    """The PDUs of one order, in their order. PduError: it cannot be written, with the reason."""
    try:
        bodies = _bodies(wanted, style)
    except PduError as error:
        raise pdu.PduError(str(error)) from None
    destination = destination_address(wanted.to, style.destination)
    validity = relative_time(wanted.validity) if wanted.validity else ""
    report = _REPORT if wanted.report else 0
    return [
        Message(
            source=wanted.source,
            destination=destination,
            service_type=style.service_type,
            esm_class=_HAS_HEADER if body.header else 0,
            registered_delivery=report,
            validity=validity,
            data_coding=body.coding,
            octets=body.octets,
            tlvs=body.tlvs,
        )
        for body in bodies
    ]


def without_times(message: Message) -> Message:
    """The same without schedule and validity period (statuses 0x61 and 0x62)."""
    return _copy(message, schedule="", validity="")


def without_tlvs(message: Message) -> Message | None:
    """The same without optional parameters (statuses 0xC0 to 0xC4); None: it says nothing, or something else, then."""
    needed = {Tag.PAYLOAD, Tag.SAR_REFERENCE, Tag.SAR_TOTAL, Tag.SAR_SEQUENCE, Tag.DESTINATION_PORT, Tag.SOURCE_PORT}
    if not message.tlvs or any(tag in needed for tag, _ in message.tlvs):
        return None
    return _copy(message, tlvs=())


def relative_time(seconds: int) -> str:
    """From now, in SMPP's form YYMMDDhhmmss000R (SMPP 3.4 7.1.1.2). Rounded down: never later than was asked for."""
    seconds = min(max(1, seconds), LONGEST_VALIDITY)
    days, rest = divmod(seconds, 86_400)
    months, days = divmod(days, 31)  # of 31 days each, as no month is longer
    return f"00{months:02}{days:02}{rest // 3600:02}{rest // 60 % 60:02}{rest % 60:02}000R"


@dataclass(slots=True)
class _Body:
    octets: bytes
    coding: int
    header: bool
    tlvs: tuple[tuple[int, bytes], ...]


def _bodies(wanted: Wanted, style: Style) -> list[_Body]:
    by_header = style.long_messages is LongMessages.UDH
    fixed: tuple[Ie, ...] = ()
    tlvs: tuple[tuple[int, bytes], ...] = ()
    if wanted.port is not None:
        ports = ports_ie(wanted.port, 0)  # also makes the parts as small as they will be on the air
        fixed = (ports,)
        if not by_header:
            tlvs = ((Tag.DESTINATION_PORT, wanted.port.to_bytes(2, "big")),)
    layout = _plan(wanted, style, fixed)
    coding, tlvs = _coding(wanted, style, layout, tlvs)
    pieces = layout.pieces
    if len(pieces) == 1:
        header = build_header(fixed) if by_header and fixed else b""
        return [_Body(_octets(pieces[0], layout, style, header), coding, bool(header), tlvs)]
    if style.long_messages is LongMessages.PAYLOAD:
        whole = _octets(b"".join(pieces), layout, style, b"")
        return [_Body(b"", coding, False, (*tlvs, (Tag.PAYLOAD, whole)))]
    total = len(pieces)
    if style.long_messages is LongMessages.SAR:
        reference = (wanted.reference & 0xFFFF).to_bytes(2, "big")
        return [
            _Body(
                _octets(piece, layout, style, b""),
                coding,
                False,
                (
                    *tlvs,
                    (Tag.SAR_REFERENCE, reference),
                    (Tag.SAR_TOTAL, bytes((total,))),
                    (Tag.SAR_SEQUENCE, bytes((number,))),
                ),
            )
            for number, piece in enumerate(pieces, start=1)
        ]
    bodies = []
    for number, piece in enumerate(pieces, start=1):
        header = build_header((*fixed, concat_ie(Concat(wanted.reference & 0xFF, total, number, 8))))
        bodies.append(_Body(_octets(piece, layout, style, header), coding, True, tlvs))
    return bodies


def _plan(wanted: Wanted, style: Style, fixed: tuple[Ie, ...]) -> Plan:
    if wanted.data is not None:
        return plan(wanted.data, "8bit", (), False, fixed, 8)
    text, encoding = wanted.text or "", wanted.encoding
    if encoding != "ucs2" and style.charset in (Charset.LATIN1, Charset.ASCII):
        codec = "latin-1" if style.charset is Charset.LATIN1 else "ascii"
        try:
            text.encode(codec)
        except UnicodeEncodeError:
            if encoding == "gsm7":
                raise PduError(f"the text does not fit into {style.charset}, this centre's alphabet") from None
            encoding = "ucs2"  # the GSM alphabet would do, but this centre does not speak it
    return plan(text, encoding, (), False, fixed, 8)


def _coding(
    wanted: Wanted, style: Style, layout: Plan, tlvs: tuple[tuple[int, bytes], ...]
) -> tuple[int, tuple[tuple[int, bytes], ...]]:
    if layout.encoding == "8bit":
        return _BINARY, tlvs
    if layout.encoding == "ucs2":
        return (_FLASH_UCS2 if wanted.flash else _UCS2), tlvs
    if not wanted.flash:
        return 0, tlvs
    if style.charset in (Charset.GSM7, Charset.GSM7_PACKED):
        return _FLASH_GSM, tlvs
    # data_coding 0xF0 would name the GSM alphabet, which this is not.
    return 0, (*tlvs, (_SUBUNIT, _DISPLAY))


def _octets(piece: bytes, layout: Plan, style: Style, header: bytes) -> bytes:
    if layout.encoding != "gsm7":
        return header + piece
    septets = piece if piece.isascii() else piece.translate(_SEPTETS)
    match style.charset:
        case Charset.GSM7:
            return header + septets
        case Charset.GSM7_PACKED:
            skipped = (8 * len(header) + 6) // 7
            if len(septets) <= _PACK_AT_ONCE:
                return header + gsm7.pack(septets, 7 * skipped - 8 * len(header))
            return b"".join(gsm7.pack(septets[at : at + _PACK_AT_ONCE]) for at in range(0, len(septets), _PACK_AT_ONCE))
        case Charset.LATIN1:
            return header + gsm7.decode(septets).encode("latin-1")
        case Charset.ASCII:
            return header + gsm7.decode(septets).encode("ascii")


def _copy(message: Message, **changed: object) -> Message:
    fields = {name: getattr(message, name) for name in Message.__slots__}
    return Message(**{**fields, **changed})
