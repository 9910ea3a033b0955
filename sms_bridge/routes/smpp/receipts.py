"""Delivery receipts: what a deliver_sm says of a message that was submitted (domain C2, SMPP 3.4 appendix B). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sms_bridge.routes.smpp.pdu import Message, Tag

MOST_OCTETS: Final = 2048  # of a text that is looked at; a receipt has about 150

_KIND = 0x3C  # bits of esm_class that say what a deliver_sm is (SMPP 3.4 5.2.12)
_RECEIPT, _INTERMEDIATE = 0x04, 0x20


class ReceiptState(StrEnum):
    """What became of the message."""

    DELIVERED = "delivered"
    UNDELIVERABLE = "undeliverable"
    EXPIRED = "expired"
    DELETED = "deleted"
    REJECTED = "rejected"
    ACCEPTED = "accepted"  # taken on, nothing more is known yet
    ENROUTE = "enroute"  # still tried
    UNKNOWN = "unknown"  # the centre does not know

    @property
    def final(self) -> bool:
        """The centre has stopped trying."""
        return self in _FINAL


_FINAL = frozenset(
    {
        ReceiptState.DELIVERED,
        ReceiptState.UNDELIVERABLE,
        ReceiptState.EXPIRED,
        ReceiptState.DELETED,
        ReceiptState.REJECTED,
    }
)

_BY_NUMBER = {  # SMPP 3.4 5.2.28; 0 and 9 are of version 5
    0: ReceiptState.ACCEPTED,
    1: ReceiptState.ENROUTE,
    2: ReceiptState.DELIVERED,
    3: ReceiptState.EXPIRED,
    4: ReceiptState.DELETED,
    5: ReceiptState.UNDELIVERABLE,
    6: ReceiptState.ACCEPTED,
    7: ReceiptState.UNKNOWN,
    8: ReceiptState.REJECTED,
    9: ReceiptState.REJECTED,
}

# How the word after `stat:` begins, in capitals; the longer ones first where they share a beginning.
_BY_WORD = (
    ("DELIV", ReceiptState.DELIVERED),
    ("DELETED", ReceiptState.DELETED),
    ("EXPIR", ReceiptState.EXPIRED),
    ("UNDEL", ReceiptState.UNDELIVERABLE),
    ("FAIL", ReceiptState.UNDELIVERABLE),
    ("ACCEPT", ReceiptState.ACCEPTED),
    ("ACCPTD", ReceiptState.ACCEPTED),
    ("REJECT", ReceiptState.REJECTED),
    ("ENROUTE", ReceiptState.ENROUTE),
    ("BUFF", ReceiptState.ENROUTE),
    ("SCHED", ReceiptState.ENROUTE),
    ("UNKNO", ReceiptState.UNKNOWN),
)

_FIELD = re.compile(
    r"(?:^|(?<=[\s,;|]))(id|sub|dlvrd|submit[ _]?date|done[ _]?date|stat(?:us)?|err(?:or)?(?:[ _]?code)?|text)\s*[:=]",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Receipt:
    """One receipt. `message_id` as it came: hexadecimal or decimal is the core's business (`core/receipts.py`)."""

    message_id: str
    state: ReceiptState
    number: str  # the recipient of the message it is about: the source of the receipt
    error: str | None = None  # the network's code, where it is not just "none"
    marked: bool = True  # the centre says that it is a receipt; else it only reads like one

    @property
    def final(self) -> bool:
        return self.state.final


def is_marked(message: Message) -> bool:
    """The centre says that this is a receipt, final or intermediate."""
    return message.esm_class & _KIND in (_RECEIPT, _INTERMEDIATE)


def parse(message: Message) -> Receipt | None:
    """The receipt in a deliver_sm or data_sm; None: it is none. One that is not `marked` is to be believed only if its
    id is known."""
    kind = message.esm_class & _KIND
    marked = kind in (_RECEIPT, _INTERMEDIATE)
    if kind and not marked:
        return None
    receipted = message.tlv(Tag.RECEIPTED_ID)
    number = message.number(Tag.STATE)
    fields = _fields(message) if not (marked and receipted and number in _BY_NUMBER) else {}
    message_id = _id_in(receipted) or fields.get("id", "")
    state = _BY_NUMBER.get(number) if number is not None else None
    if state is None:
        state = _state_of(fields.get("stat", ""))
    if not marked and receipted is None and not {"id", "stat"} <= fields.keys():
        return None
    if not message_id or (state is None and not marked):
        return None
    if state is None or (kind == _INTERMEDIATE and state.final and state is not ReceiptState.DELIVERED):
        state = ReceiptState.ENROUTE
    return Receipt(message_id, state, message.source.text, _error(message, fields), marked)


def _fields(message: Message) -> dict[str, str]:
    content = message.content[:MOST_OCTETS]
    codec = "utf-16-be" if message.data_coding & 0x0C == 0x08 else "latin-1"
    return dict(_pairs(content.decode(codec, "replace")))


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """Field names in one spelling, with their values; the first of each counts."""
    marks = list(_FIELD.finditer(text))
    seen = set()
    for index, mark in enumerate(marks):
        name = re.sub(r"[ _]", "", mark[1].lower())
        name = "stat" if name.startswith("stat") else "err" if name.startswith("err") else name
        end = marks[index + 1].start() if index + 1 < len(marks) else len(text)
        if name not in seen:
            seen.add(name)
            yield name, text[mark.end() : end].strip(" \t\r\n\0,;|")
        if name == "text":
            return  # what the message itself said: not ours to read


def _state_of(word: str) -> ReceiptState | None:
    word = word.strip().upper()
    if word.isdigit():
        return _BY_NUMBER.get(int(word[:2]))
    return next((state for start, state in _BY_WORD if word.startswith(start)), None)


def _id_in(value: bytes | None) -> str:
    return value.partition(b"\0")[0].decode("latin-1").strip() if value else ""


def _error(message: Message, fields: dict[str, str]) -> str | None:
    value = message.tlv(Tag.NETWORK_ERROR)
    if value is not None and len(value) == 3:
        code = int.from_bytes(value[1:], "big")
        return str(code) if code else None
    text = fields.get("err", "")[:16]
    return text if text.strip("0 ") else None
