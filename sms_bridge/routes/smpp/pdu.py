"""SMPP 3.4 PDUs and their octets, for a client. Pure.

A codec of our own, for what the library does on hostile or unusual octets (docs/adr/0006-smpp-codec.md). What is too
long for its field is an error, never cut. `PduError` is the only exception.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from sms_bridge.routes.smpp.framing import HEADER, LONGEST

RESPONSE: Final = 0x80000000  # this bit makes a command its response
LAST_SEQUENCE: Final = 0x7FFFFFFF
MOST_OCTETS: Final = 254  # of short_message (SMPP 3.4 5.2.21)
MOST_PAYLOAD: Final = LONGEST - 1024  # of message_payload, with room for the rest of the PDU
VERSION: Final = 0x34

_HEAD = struct.Struct(">IIII")
_TLV = struct.Struct(">HH")


class Command(IntEnum):
    """SMPP 3.4 5.1.2.1."""

    GENERIC_NACK = 0x80000000
    BIND_RECEIVER = 0x00000001
    BIND_TRANSMITTER = 0x00000002
    QUERY_SM = 0x00000003
    SUBMIT_SM = 0x00000004
    DELIVER_SM = 0x00000005
    UNBIND = 0x00000006
    REPLACE_SM = 0x00000007
    CANCEL_SM = 0x00000008
    BIND_TRANSCEIVER = 0x00000009
    OUTBIND = 0x0000000B
    ENQUIRE_LINK = 0x00000015
    SUBMIT_MULTI = 0x00000021
    ALERT_NOTIFICATION = 0x00000102
    DATA_SM = 0x00000103
    BIND_RECEIVER_RESP = 0x80000001
    BIND_TRANSMITTER_RESP = 0x80000002
    QUERY_SM_RESP = 0x80000003
    SUBMIT_SM_RESP = 0x80000004
    DELIVER_SM_RESP = 0x80000005
    UNBIND_RESP = 0x80000006
    BIND_TRANSCEIVER_RESP = 0x80000009
    ENQUIRE_LINK_RESP = 0x80000015
    DATA_SM_RESP = 0x80000103


class Status(IntEnum):
    """Of SMPP 3.4 5.1.3 those that we say or treat in a way of their own; all have a row in the table of `status`."""

    OK = 0x00
    INVALID_LENGTH = 0x02
    INVALID_COMMAND = 0x03
    INVALID_BIND_STATE = 0x04
    ALREADY_BOUND = 0x05
    SYSTEM_ERROR = 0x08
    BIND_FAILED = 0x0D
    INVALID_PASSWORD = 0x0E
    INVALID_SYSTEM_ID = 0x0F
    QUEUE_FULL = 0x14
    INVALID_SYSTEM_TYPE = 0x53
    THROTTLED = 0x58
    TEMPORARY_APP_ERROR = 0x64
    INVALID_TLV_STREAM = 0xC0
    UNKNOWN_ERROR = 0xFF


class Tag(IntEnum):
    """Optional parameters (SMPP 3.4 5.3.2) that have a meaning here."""

    SOURCE_PORT = 0x020A
    DESTINATION_PORT = 0x020B
    SAR_REFERENCE = 0x020C
    SAR_TOTAL = 0x020E
    SAR_SEQUENCE = 0x020F
    INTERFACE_VERSION = 0x0210
    RECEIPTED_ID = 0x001E
    NETWORK_ERROR = 0x0423
    PAYLOAD = 0x0424
    STATE = 0x0427


class PduError(ValueError):
    """Octets that are no PDU, or a value that fits into none; `status` is what the other side is answered."""

    def __init__(self, reason: str, status: int = Status.INVALID_LENGTH) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


@dataclass(slots=True)
class Frame:
    """One PDU of which only the header is understood."""

    command: int
    status: int
    sequence: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Address:
    """A number or a name with its kind (SMPP 3.4 5.2.5 and 5.2.6)."""

    text: str = ""
    ton: int = 0
    npi: int = 0


@dataclass(slots=True, kw_only=True)
class Message:
    """What submit_sm and deliver_sm share (SMPP 3.4 4.4.1, 4.6.1); of data_sm what it has of it."""

    source: Address = Address()
    destination: Address = Address()
    service_type: str = ""
    esm_class: int = 0
    protocol_id: int = 0
    priority: int = 0
    schedule: str = ""
    validity: str = ""
    registered_delivery: int = 0
    replace_if_present: int = 0
    data_coding: int = 0
    default_message: int = 0
    octets: bytes = b""  # short_message
    tlvs: tuple[tuple[int, bytes], ...] = ()  # all of them, known or not, in their order

    def tlv(self, tag: int) -> bytes | None:
        """The value of the last parameter of that kind; None: there is none."""
        for found, value in reversed(self.tlvs):
            if found == tag:
                return value
        return None

    def number(self, tag: int) -> int | None:
        """The same as a number, whatever its size; None also for one that is no number of at most four octets."""
        value = self.tlv(tag)
        return int.from_bytes(value, "big") if value is not None and 1 <= len(value) <= 4 else None

    @property
    def content(self) -> bytes:
        """The octets of the message: message_payload where short_message is empty (SMPP 3.4 5.3.2.32)."""
        return self.octets or self.tlv(Tag.PAYLOAD) or b""


@dataclass(frozen=True, slots=True)
class Bind:
    """SMPP 3.4 4.1."""

    system_id: str
    password: str
    system_type: str = ""
    version: int = VERSION
    address: Address = Address()  # the range of addresses that is served


def frame_of(octets: bytes) -> Frame:
    """The header of one whole frame."""
    _, command, status, sequence = _HEAD.unpack_from(octets)
    return Frame(command, status, sequence, octets[HEADER:])


def pack(command: int, sequence: int, body: bytes = b"", status: int = 0) -> bytes:
    """One whole PDU."""
    return _HEAD.pack(HEADER + len(body), command, status, sequence) + body


def bind_body(bind: Bind) -> bytes:
    """The body of bind_*; PduError for what is too long (domain C1)."""
    parts = (
        _string(bind.system_id, 15, "the system_id"),
        _string(bind.password, 8, "the password"),
        _string(bind.system_type, 12, "the system_type"),
        bytes((bind.version, bind.address.ton, bind.address.npi)),
        _string(bind.address.text, 40, "the address range"),
    )
    return b"".join(parts)


def read_bind(body: bytes) -> Bind:
    """PduError."""
    reader = _Reader(body)
    system_id, password, system_type = reader.string(15), reader.string(8), reader.string(12)
    version, ton, npi = reader.octet(), reader.octet(), reader.octet()
    return Bind(system_id, password, system_type, version, Address(reader.string(40), ton, npi))


def message_body(message: Message) -> bytes:
    """The body of submit_sm or deliver_sm; PduError for what does not fit."""
    octets = message.octets
    if len(octets) > MOST_OCTETS:
        raise PduError(f"a short_message has at most {MOST_OCTETS} octets, not {len(octets)}")
    parts = [
        _string(message.service_type, 5, "the service_type"),
        _address(message.source),
        _address(message.destination),
        bytes((message.esm_class, message.protocol_id, message.priority)),
        _time(message.schedule),
        _time(message.validity),
        bytes(
            (
                message.registered_delivery,
                message.replace_if_present,
                message.data_coding,
                message.default_message,
                len(octets),
            )
        ),
        octets,
    ]
    if message.tlvs:
        parts.append(tlv_octets(message.tlvs))
    return b"".join(parts)


def read_message(body: bytes) -> Message:
    """The body of submit_sm or deliver_sm. PduError: too short, or the optional parameters run over the end."""
    reader = _Reader(body)
    service_type = reader.string(5)
    source, destination = reader.address(), reader.address()
    esm_class, protocol_id, priority = reader.octet(), reader.octet(), reader.octet()
    schedule, validity = reader.string(16), reader.string(16)
    registered, replace, coding, default = reader.octet(), reader.octet(), reader.octet(), reader.octet()
    octets = reader.octets(reader.octet())
    return Message(
        source=source,
        destination=destination,
        service_type=service_type,
        esm_class=esm_class,
        protocol_id=protocol_id,
        priority=priority,
        schedule=schedule,
        validity=validity,
        registered_delivery=registered,
        replace_if_present=replace,
        data_coding=coding,
        default_message=default,
        octets=octets,
        tlvs=reader.tlvs(),
    )


def read_data(body: bytes) -> Message:
    """The body of data_sm (SMPP 3.4 4.7.1). PduError."""
    reader = _Reader(body)
    service_type = reader.string(5)
    source, destination = reader.address(64), reader.address(64)
    esm_class, registered, coding = reader.octet(), reader.octet(), reader.octet()
    return Message(
        source=source,
        destination=destination,
        service_type=service_type,
        esm_class=esm_class,
        registered_delivery=registered,
        data_coding=coding,
        tlvs=reader.tlvs(),
    )


def read_message_id(body: bytes) -> str:
    """The id in a submit_sm_resp; what has no end, or is missing, is taken as it is: the message was accepted."""
    return body.partition(b"\0")[0].decode("latin-1")


def string_body(text: str, most: int = 64) -> bytes:
    """A body that is one string: the message_id or the system_id of a response."""
    return _string(text, most, "a string")


def tlv_octets(tlvs: tuple[tuple[int, bytes], ...]) -> bytes:
    """Optional parameters as they follow a body."""
    return b"".join(_TLV.pack(tag, len(value)) + value for tag, value in tlvs)


class _Reader:
    """Takes one field after the other; nothing is read beyond the end."""

    __slots__ = ("_at", "_body")

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def octet(self) -> int:
        try:
            value = self._body[self._at]
        except IndexError:
            raise PduError("the PDU ends before its last field") from None
        self._at += 1
        return value

    def octets(self, count: int) -> bytes:
        value = self._body[self._at : self._at + count]
        if len(value) < count:
            raise PduError("short_message is shorter than sm_length says")
        self._at += count
        return value

    def string(self, most: int) -> str:
        """A C-octet string of at most `most` characters. Some centres exceed that a little, and mean it."""
        end = self._body.find(b"\0", self._at, self._at + 4 * most + 1)
        if end < 0:
            raise PduError("a string in the PDU has no end")
        text = self._body[self._at : end].decode("latin-1")
        self._at = end + 1
        return text

    def address(self, most: int = 20) -> Address:
        ton, npi = self.octet(), self.octet()
        return Address(self.string(most), ton, npi)

    def tlvs(self) -> tuple[tuple[int, bytes], ...]:
        body, at, end = self._body, self._at, len(self._body)
        if at == end:
            return ()
        found = []
        while at < end:
            if end - at < 4:
                raise PduError("an optional parameter has no length", Status.INVALID_TLV_STREAM)
            tag, size = _TLV.unpack_from(body, at)
            value = body[at + 4 : at + 4 + size]
            if len(value) < size:
                raise PduError("an optional parameter runs over the end of the PDU", Status.INVALID_TLV_STREAM)
            found.append((tag, value))
            at += 4 + size
        self._at = at
        return tuple(found)


def _string(text: str, most: int, what: str) -> bytes:
    try:
        octets = text.encode("ascii")
    except UnicodeEncodeError:
        try:
            octets = text.encode("latin-1")
        except UnicodeEncodeError:
            raise PduError(f"{what} has a character that SMPP cannot carry") from None
    if len(octets) > most:
        raise PduError(f"{what} has {len(octets)} characters; SMPP carries at most {most}")
    if 0 in octets:
        raise PduError(f"{what} contains a NUL")
    return octets + b"\0"


def _address(address: Address) -> bytes:
    return bytes((address.ton, address.npi)) + _string(address.text, 20, "an address")


def _time(text: str) -> bytes:
    if not text:
        return b"\0"
    if len(text) != 16:
        raise PduError("a time has 16 characters")
    return _string(text, 16, "a time")
