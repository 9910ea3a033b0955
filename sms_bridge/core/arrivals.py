"""What routes received: messages, put together like those of modems and given to the outbox; and receipts."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sms_bridge.core import receipts, sending, ulid
from sms_bridge.core.clock import to_ms
from sms_bridge.core.drafts import Draft, Listen, noted_before, unheard
from sms_bridge.core.events import to_json
from sms_bridge.core.model import InboundMessage, InboundPart, InboundSet, OutboxKind, Receipt
from sms_bridge.core.numbers import ContactBook, normal_sender
from sms_bridge.core.ports import Transaction
from sms_bridge.core.reassembly import place, usable
from sms_bridge.core.settings import CoreSettings
from sms_bridge.core.talk import Heard

REPEAT_MS = 5 * 60_000  # in which the same content may be the same message (domain C2.3)
_KEY_OCTETS = 16
MARK = "{"  # a stored part that begins so is one of these; the others are hexadecimal


@dataclass(frozen=True, slots=True)
class Piece:
    """What is kept of a message, or of a part of one."""

    text: str | None
    data: bytes | None
    encoding: str
    message_class: int | None
    port: int | None
    to: str | None
    sent_at: datetime | None


def store(
    tx: Transaction,
    batch: Sequence[InboundMessage],
    now: int,
    settings: CoreSettings,
    book: ContactBook,
    listen: Listen = unheard,
) -> tuple[int | None, list[InboundMessage]]:
    """Commit a batch: (when the next incomplete message falls due, those that had not come before)."""
    due: int | None = None
    fresh = []
    for message in batch:
        if _is_repeated(tx, message, settings):
            continue
        fresh.append(message)
        waits = _store(tx, message, now, settings, book, listen)
        due = waits if due is None else min(due, waits or due)
    return due, fresh


def store_receipts(tx: Transaction, batch: Sequence[Receipt], now: int, settings: CoreSettings) -> list[int]:
    """Commit receipts; returns the orders that they moved on. What fits nothing is kept: its response may come yet."""
    moved: dict[int, None] = {}
    for receipt in batch:
        parts = receipts.find(tx, receipt, settings)
        if not parts:
            tx.add_orphan_receipt(receipt)
            continue
        # One id may stand for all parts of a message that was handed over as one.
        changed = [receipts.apply(tx, attempt, receipt) for attempt in parts]
        if not any(changed):
            continue
        order = tx.order(parts[0].order_seq)
        if order is not None and sending.refresh(tx, order, now):
            moved[order.seq] = None
    return list(moved)


def sender_of(message: InboundMessage, region: str | None) -> str:
    """As orders name it."""
    return normal_sender(message.sender, region)


def publish(
    tx: Transaction, inbound: InboundSet, region: str | None, book: ContactBook, listen: Listen = unheard
) -> None:
    """Put what there is of a message into the outbox."""
    inbound.partial_at = None
    pieces: dict[int, Piece] = {}
    for part in tx.set_parts(inbound.seq):
        pieces.setdefault(part.number, _from_raw(part.raw))
    missing = [number for number in range(1, inbound.total + 1) if number not in pieces]
    draft = _draft(inbound, [pieces[number] for number in sorted(pieces)], missing, region, book)
    inbound.payload = draft.said(listen(draft.heard))
    inbound.have = len(pieces)
    inbound.state = "partial" if missing else "whole"
    tx.emit(OutboxKind.IN, inbound.payload)


def _store(
    tx: Transaction,
    message: InboundMessage,
    now: int,
    settings: CoreSettings,
    book: ContactBook,
    listen: Listen,
) -> int | None:
    concat = usable(message.concat)
    part = _part(message, concat.seq if concat is not None else 1)
    found, repeated = None, False
    if concat is not None:
        sets = tx.open_sets(message.route, message.sender, concat.ref, concat.total, concat.bits)
        candidates = [(each, tx.set_parts(each.seq)) for each in sets]
        gap = int(settings.reassembly_gap * 1000)
        chosen = place(candidates, part.number, part.body_key, part.sent_at, part.received_at, gap)
        found, repeated = chosen.found, chosen.repeated
    if found is None:
        found = _new_set(message, part, now)
        if concat is not None:
            found.total, found.ref, found.bits = concat.total, concat.ref, concat.bits
        tx.add_set(found)
    part.set_seq = found.seq
    tx.add_part(part)
    if repeated:
        return found.partial_at
    found.have += 1
    if found.have >= found.total:
        publish(tx, found, settings.default_region, book, listen)
    else:
        found.state = "collecting"
        found.partial_at = now + int(settings.reassembly_timeout * 1000)
    tx.save_set(found)
    return found.partial_at


def _is_repeated(tx: Transaction, message: InboundMessage, settings: CoreSettings) -> bool:
    what = _what(message)
    key = hashlib.blake2b(what.encode("utf-8", "surrogatepass"), digest_size=_KEY_OCTETS).digest()
    window = int(settings.dedupe_window * 1000) if message.key is not None else REPEAT_MS
    # Noted whatever is expected now: the next session may be the one in which it comes again.
    came_before = tx.arrived_before(key, message.received_at, window)
    return came_before and (message.key is not None or message.may_repeat)


def _what(message: InboundMessage) -> str:
    if message.key is not None:
        return f"{message.route}\0{message.key}"
    concat = message.concat
    place = f"{concat.ref}/{concat.total}/{concat.seq}/{concat.bits}" if concat is not None else ""
    return "\0".join(
        ("", message.route, message.sender, message.recipient or "", place, str(message.port), _content(message))
    )


def _content(message: InboundMessage) -> str:
    return f"t{message.text}" if message.text is not None else f"d{(message.data or b'').hex()}"


def _new_set(message: InboundMessage, part: InboundPart, now: int) -> InboundSet:
    return InboundSet(
        seq=0,
        id=ulid.new(now),
        scope=message.route,
        modem="",
        sender=message.sender,
        state="collecting",
        received_at=message.received_at,
        sent_at=part.sent_at,
        total=1,
        have=0,
        ref=None,
        bits=None,
        partial_at=None,
        payload="",
    )


def _part(message: InboundMessage, number: int) -> InboundPart:
    body = _content(message).encode("utf-8", "surrogatepass")
    return InboundPart(
        seq=0,
        body_key=hashlib.blake2b(body, digest_size=_KEY_OCTETS).digest(),
        set_seq=0,
        number=number,
        raw=_to_raw(message),
        received_at=message.received_at,
        sent_at=to_ms(message.sent_at) if message.sent_at is not None else None,
        storage=message.route,
        idx=None,
    )


def _to_raw(message: InboundMessage) -> str:
    return to_json(
        {
            "text": message.text,
            "data": base64.b64encode(message.data).decode("ascii") if message.data is not None else None,
            "encoding": message.encoding,
            "class": message.message_class,
            "port": message.port,
            "to": message.recipient,
            "sent_at": message.sent_at.isoformat() if message.sent_at is not None else None,
        }
    )


def _from_raw(raw: str) -> Piece:
    found = json.loads(raw)
    data, sent_at = found["data"], found["sent_at"]
    return Piece(
        found["text"],
        base64.b64decode(data) if data is not None else None,
        found["encoding"],
        found["class"],
        found["port"],
        found["to"],
        datetime.fromisoformat(sent_at) if sent_at is not None else None,
    )


def _draft(
    inbound: InboundSet, pieces: Sequence[Piece], missing: list[int], region: str | None, book: ContactBook
) -> Draft:
    first = pieces[0]
    texts = [piece.text for piece in pieces if piece.text is not None]
    data = b"".join(piece.data for piece in pieces if piece.data is not None)
    sender = normal_sender(inbound.sender, region)
    kind = "data" if not texts else "flash" if first.message_class == 0 else "text"
    contact = book.name_of(sender)
    heard = Heard(
        id=inbound.id,
        sender=sender,
        contact=contact,
        text=_whole("".join(texts)) if texts else None,
        kind=kind,
        sent_at=to_ms(first.sent_at) if first.sent_at is not None else None,
        received_at=inbound.received_at,
        partial=bool(missing),
        before=noted_before(inbound.payload),
    )
    return Draft(
        heard,
        {
            "id": inbound.id,
            "sender": sender,
            "contact": contact,
            "to": first.to,
            "modem": None,
            "sent_at": first.sent_at,
            "received_at": inbound.received_at,
            "parts": inbound.total,
            "missing": missing,
            "encoding": first.encoding,
            "message_class": first.message_class,
            "kind": kind,
            "port": first.port,
            "data": data if not texts else None,
            "route": inbound.scope,
        },
    )


def _whole(text: str) -> str:
    """Pairs that a split had torn are pairs again."""
    return text if text.isascii() else text.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace")
