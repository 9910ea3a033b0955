"""What a deliver_sm is to the core: a message or a part of one, or a receipt (domain C1, C2). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hardware.pdu import Concat, PduError, gsm7
from hardware.pdu.dcs import DCS
from hardware.pdu.udh import EMPTY, Header, parse_header
from sms_bridge.core import model
from sms_bridge.core.model import InboundMessage, StatusError
from sms_bridge.core.states import ReceiptState
from sms_bridge.routes.smpp import receipts
from sms_bridge.routes.smpp.pdu import Address, Message, Tag
from sms_bridge.routes.smpp.receipts import Receipt
from sms_bridge.routes.smpp.submit import Charset

_HAS_HEADER = 0x40
_LEAST_NUMBER = 5  # digits from which on a receipt's source is believed to be the recipient
_INTERNATIONAL = 1

_CODECS = {  # data_coding (SMPP 3.4 5.2.19) to our name and Python's
    0x01: ("ascii", "ascii"),
    0x03: ("latin1", "latin-1"),
    0x05: ("jis", "iso2022_jp"),
    0x06: ("cyrillic", "iso8859_5"),
    0x07: ("hebrew", "iso8859_8"),
    0x0A: ("jis", "iso2022_jp"),
    0x0E: ("korean", "euc_kr"),
}
_PLAIN_CODINGS = 0x10  # below it data_coding is a list, above it bits (TS 23.038 4)

_STATES = {
    receipts.ReceiptState.DELIVERED: ReceiptState.DELIVERED,
    receipts.ReceiptState.UNDELIVERABLE: ReceiptState.FAILED,
    receipts.ReceiptState.EXPIRED: ReceiptState.FAILED,
    receipts.ReceiptState.DELETED: ReceiptState.FAILED,
    receipts.ReceiptState.REJECTED: ReceiptState.FAILED,
    receipts.ReceiptState.ACCEPTED: ReceiptState.UNDERWAY,
    receipts.ReceiptState.ENROUTE: ReceiptState.UNDERWAY,
    receipts.ReceiptState.UNKNOWN: ReceiptState.NOTHING,
}
_WORDS = {
    receipts.ReceiptState.UNDELIVERABLE: "it cannot be delivered",
    receipts.ReceiptState.EXPIRED: "its validity period ended before it could be delivered",
    receipts.ReceiptState.DELETED: "the message centre has deleted it",
    receipts.ReceiptState.REJECTED: "the network rejected it",
}


@dataclass(frozen=True, slots=True)
class Content:
    """What is in a message: exactly one of `text` and `data`."""

    text: str | None
    data: bytes | None
    encoding: str
    message_class: int | None
    header: Header


def receipt_of(receipt: Receipt, route: str, at: int, own: frozenset[str] = frozenset()) -> model.Receipt:
    """For the core; `at` is UTC ms, `own` the digits of the account's own numbers: a centre may put those first."""
    digits = receipt.number.removeprefix("+")
    known = digits.isdigit() and len(digits) >= _LEAST_NUMBER and digits not in own
    state = _STATES[receipt.state]
    error = None
    if state is ReceiptState.FAILED:
        text = _WORDS[receipt.state] + (f" (network error {receipt.error})" if receipt.error else "")
        error = StatusError(f"receipt_{receipt.state}", text)
    return model.Receipt(route, receipt.message_id, digits if known else None, state, error, at)


def message_of(message: Message, route: str, charset: Charset, at: int, *, may_repeat: bool) -> InboundMessage:
    """For the core, whatever the octets: what cannot be read as text is data. `at` is UTC ms."""
    content = read(message, charset)
    ports = content.header.ports
    port = ports[0] if ports else message.number(Tag.DESTINATION_PORT)
    return InboundMessage(
        route=route,
        sender=number_of(message.source),
        recipient=number_of(message.destination) or None,
        text=content.text,
        data=content.data,
        encoding=content.encoding,
        received_at=at,
        concat=content.header.concat or _sar(message),
        message_class=content.message_class,
        port=port,
        may_repeat=may_repeat,
    )


def number_of(address: Address) -> str:
    """A number in international form where the centre says that it is one; else what it is."""
    text = address.text.strip()
    if address.ton == _INTERNATIONAL and re.fullmatch(r"[0-9]{7,20}", text):
        return "+" + text
    return text


def read(message: Message, charset: Charset) -> Content:
    """Alphabet and header of a message; `charset` is what data_coding 0 means."""
    octets, header, skipped = message.content, EMPTY, 0
    if message.esm_class & _HAS_HEADER and octets:
        body = 1 + octets[0]
        try:
            if body > len(octets):
                raise PduError("the header is longer than the message")
            header = parse_header(octets[1:body])
        except PduError:
            return Content(None, octets, "8bit", None, EMPTY)
        octets, skipped = octets[body:], body
    coding = message.data_coding
    if coding in _CODECS:
        name, codec = _CODECS[coding]
        return Content(octets.decode(codec, "replace"), None, name, None, header)
    dcs = DCS[coding]
    if coding in (0x02, 0x04) or dcs.encoding == "8bit":
        return Content(None, octets, "8bit", dcs.message_class, header)
    if coding == 0x08 or (coding >= _PLAIN_CODINGS and dcs.encoding == "ucs2"):
        return Content(_utf16(octets), None, "ucs2", dcs.message_class, header)
    text, name = _default(octets, skipped, charset, header)
    return Content(text, None, name, dcs.message_class if coding >= _PLAIN_CODINGS else None, header)


def _default(octets: bytes, skipped: int, charset: Charset, header: Header) -> tuple[str, str]:
    match charset:
        case Charset.GSM7_PACKED:
            fill = -8 * skipped % 7
            return gsm7.decode(_unpacked(octets, fill), header.locking, header.single), "gsm7"
        case Charset.GSM7 if octets.isascii():
            return gsm7.decode(octets, header.locking, header.single), "gsm7"
        case _:  # also for a centre that is said to speak GSM and sends an octet that is no septet
            return octets.decode("latin-1"), "latin1"


def _unpacked(octets: bytes, fill: int) -> bytes:
    """Septets of any number of octets, so many at a time as the codec takes."""
    if len(octets) <= 196:
        return gsm7.unpack(octets, None, fill)
    return b"".join(gsm7.unpack(octets[at : at + 196], None, 0) for at in range(0, len(octets), 196))


def _utf16(octets: bytes) -> str:
    """A part may begin or end inside a surrogate pair: both halves are kept for when it is whole."""
    even = octets[: len(octets) & ~1]
    text = even.decode("utf-16-be", "surrogatepass")
    return text if len(even) == len(octets) else text + "\ufffd"


def _sar(message: Message) -> Concat | None:
    reference, total = message.number(Tag.SAR_REFERENCE), message.number(Tag.SAR_TOTAL)
    number = message.number(Tag.SAR_SEQUENCE)
    if reference is None or total is None or number is None or not 1 <= number <= total <= 255:
        return None
    return Concat(reference & 0xFFFF, total, number, 16)
