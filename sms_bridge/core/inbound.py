"""What modems received, in one transaction: recognised, put together, matched, and given to the outbox."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hardware.pdu import Deliver, PduError, StatusReport, decode, join
from hardware.types import ReceivedPdu
from sms_bridge.core import arrivals, reports, selftest, sending, ulid
from sms_bridge.core.clock import to_ms
from sms_bridge.core.drafts import Draft, Listen, noted_before, unheard
from sms_bridge.core.events import raw_json
from sms_bridge.core.model import InboundPart, InboundSet, OrphanReport, OutboxKind, Quarantined
from sms_bridge.core.numbers import ContactBook, normal_sender
from sms_bridge.core.ports import Transaction
from sms_bridge.core.reassembly import place, usable
from sms_bridge.core.settings import CoreSettings
from sms_bridge.core.talk import NOTHING, Heard

log = logging.getLogger(__name__)

_KEY_OCTETS = 16
# Of a DELIVER's first octet: the type and whether there is a header. The rest may differ between two copies.
_FIRST_MASK = 0x43


@dataclass(slots=True)
class Incoming:
    """A received PDU, prepared on the loop for the writer thread."""

    pdu: ReceivedPdu
    scope: str
    content_key: bytes
    received_at: int
    region: str | None
    book: ContactBook
    own_number: str | None
    recognise: Callable[[str | None], str | None] = lambda text: None  # see `SelfTests.recognise`


def prepare(
    pdu: ReceivedPdu,
    settings: CoreSettings,
    book: ContactBook,
    own_number: str | None,
    recognise: Callable[[str | None], str | None] = lambda text: None,
) -> Incoming:
    scope = pdu.iccid or f"modem:{pdu.modem}"
    key = content_key(scope, pdu.raw)
    received_at = to_ms(pdu.received_at)
    return Incoming(pdu, scope, key, received_at, settings.default_region, book, own_number, recognise)


def content_key(scope: str, raw: str) -> bytes:
    """Names a PDU by its content: SIM, sender, SCTS, PID, DCS, header and user data (domain E4.1)."""
    try:
        octets = bytes.fromhex(raw)
        tpdu = octets[1 + octets[0] :]
        content = bytes((tpdu[0] & _FIRST_MASK,)) + tpdu[1:]
    except (ValueError, IndexError):
        content = raw.upper().encode("utf-8", "replace")
    return hashlib.blake2b(scope.encode() + b"\0" + content, digest_size=_KEY_OCTETS).digest()


def sender_of(item: Incoming) -> str:
    """The sender as orders name it: E.164, or as it stands where it is no telephone number."""
    assert isinstance(item.pdu.pdu, Deliver)
    return normal_sender(item.pdu.pdu.number, item.region)


def store(
    tx: Transaction, items: Sequence[Incoming], now: int, settings: CoreSettings, listen: Listen = unheard
) -> tuple[int | None, list[int]]:
    """Commit a batch; (when the next incomplete message falls due, the orders that reports moved on).

    `listen` is told each message before it is published.
    """
    fresh = _note_fresh(tx, items)
    due: int | None = None
    moved: list[int] = []
    for item in items:
        pdu = item.pdu.pdu
        if fresh[item.content_key] <= 0:
            continue  # read again
        fresh[item.content_key] -= 1
        if isinstance(pdu, StatusReport):
            order = _store_report(tx, item, pdu, now)
            if order is not None:
                moved.append(order)
        elif isinstance(pdu, Deliver):
            waits = _store_deliver(tx, item, pdu, now, settings, listen)
            due = waits if due is None else min(due, waits or due)
        else:
            reason = item.pdu.error or "a message that this SIM itself had sent or drafted"
            quarantine(tx, item, reason, now)
    return due, moved


def expire(
    tx: Transaction,
    now: int,
    settings: CoreSettings,
    book: ContactBook,
    own_number: Callable[[str], str | None],
    limit: int,
    listen: Listen = unheard,
) -> None:
    """Publish as partial what waited for its missing parts for too long; the rest may still come."""
    for inbound in tx.sets_due(now, limit):
        _publish(tx, inbound, now, settings.default_region, book, own_number(inbound.modem), listen)
        tx.save_set(inbound)


def set_aside(tx: Transaction, item: Incoming, reason: str, now: int) -> None:
    """Take up a message that cannot be processed as one that cannot be understood."""
    if _note_fresh(tx, [item])[item.content_key] > 0:
        quarantine(tx, item, reason, now)


def _note_fresh(tx: Transaction, items: Sequence[Incoming]) -> dict[bytes, int]:
    """How many copies of each content are new; all of them are known from here on.

    Two copies that lie in one storage at the same time are two messages, however alike (domain E4.1); all else
    is the same message read again.
    """
    slots: dict[bytes, set[tuple[str, int | None]]] = {}
    scopes: dict[str, dict[bytes, int]] = {}
    twins: dict[bytes, bytes] = {}
    for item in items:
        slots.setdefault(item.content_key, set()).add((item.pdu.storage, item.pdu.index))
        scopes.setdefault(item.scope, {})[item.content_key] = 0
        twins[item.content_key] = _twin(item)
    known = tx.contents([*slots, *twins.values()])
    seen = {key: max(Counter(storage for storage, _ in places).values()) for key, places in slots.items()}
    for scope, keys in scopes.items():
        tx.note_contents(scope, {key: seen[key] for key in keys})
    for item in items:
        if item.pdu.iccid is not None:
            tx.note_contents(f"last:{item.pdu.modem}", {_last_key(item): seen[item.content_key]})
    return {key: copies - max(known.get(key, 0), known.get(twins[key], 0)) for key, copies in seen.items()}


def _twin(item: Incoming) -> bytes:
    """The key of the same message where its SIM could be named one time and could not the other."""
    if item.pdu.iccid is None:
        return _last_key(item)
    return content_key(f"modem:{item.pdu.modem}", item.pdu.raw)


def _last_key(item: Incoming) -> bytes:
    """Of what a SIM with a name had in this modem; asked for only by messages of a SIM without one."""
    return content_key(f"last:{item.pdu.modem}", item.pdu.raw)


def _store_deliver(
    tx: Transaction, item: Incoming, pdu: Deliver, now: int, settings: CoreSettings, listen: Listen
) -> int | None:
    concat = usable(pdu.concat)
    part = InboundPart(
        seq=0,
        body_key=_body_key(pdu),
        set_seq=0,
        number=concat.seq if concat else 1,
        raw=item.pdu.raw,
        received_at=item.received_at,
        sent_at=to_ms(pdu.timestamp) if pdu.timestamp else None,
        storage=item.pdu.storage,
        idx=item.pdu.index,
    )
    if concat is None:
        inbound = _new_set(item, pdu, part, now, total=1)
        inbound.state = "whole"
        nonce = item.recognise(pdu.text)
        if nonce is None:
            draft = _draft(inbound, [pdu], [], item.region, item.book, item.own_number)
            inbound.payload = draft.said(listen(draft.heard))
        tx.add_set(inbound)
        part.set_seq = inbound.seq
        tx.add_part(part)
        if nonce is None:
            tx.emit(OutboxKind.IN, inbound.payload)
        else:  # nobody's message: it stays without a payload, and `inbox` shows those that have one
            selftest.arrived(tx, nonce, item.pdu.modem, item.received_at, now)
        return None
    return _store_piece(tx, item, pdu, part, now, settings, listen)


def _store_piece(
    tx: Transaction,
    item: Incoming,
    pdu: Deliver,
    part: InboundPart,
    now: int,
    settings: CoreSettings,
    listen: Listen,
) -> int | None:
    concat = pdu.concat
    assert concat is not None
    open_sets = tx.open_sets(item.scope, pdu.number, concat.ref, concat.total, concat.bits)
    candidates = [(found, tx.set_parts(found.seq)) for found in open_sets]
    chosen = place(
        candidates,
        part.number,
        part.body_key,
        part.sent_at,
        part.received_at,
        int(settings.reassembly_gap * 1000),
    )
    inbound = chosen.found
    if inbound is None:
        inbound = _new_set(item, pdu, part, now, total=concat.total)
        inbound.ref, inbound.bits = concat.ref, concat.bits
        inbound.have = 0
        inbound.partial_at = now + int(settings.reassembly_timeout * 1000)
        tx.add_set(inbound)
    part.set_seq = inbound.seq
    tx.add_part(part)
    if chosen.repeated:
        return inbound.partial_at
    inbound.have += 1
    if inbound.have >= inbound.total:
        _publish(tx, inbound, now, item.region, item.book, item.own_number, listen)
    else:
        # One that was published as partial is again when no more comes for as long: under its id, with more in it.
        inbound.state = "collecting"
        inbound.partial_at = now + int(settings.reassembly_timeout * 1000)
    tx.save_set(inbound)
    return inbound.partial_at


def _new_set(item: Incoming, pdu: Deliver, part: InboundPart, now: int, total: int) -> InboundSet:
    return InboundSet(
        seq=0,
        id=ulid.new(now),
        scope=item.scope,
        modem=item.pdu.modem,
        sender=pdu.number,
        state="collecting",
        received_at=item.received_at,
        sent_at=part.sent_at,
        total=total,
        have=1,
        ref=None,
        bits=None,
        partial_at=None,
        payload="",
    )


def _publish(
    tx: Transaction,
    inbound: InboundSet,
    now: int,
    region: str | None,
    book: ContactBook,
    own_number: str | None,
    listen: Listen,
) -> None:
    """Publish what there is of a message. Parts that cannot be read any more, or all of them, go to the quarantine."""
    inbound.partial_at = None
    parts = tx.set_parts(inbound.seq)
    if parts and parts[0].raw.startswith(arrivals.MARK):
        arrivals.publish(tx, inbound, region, book, listen)
        return
    pdus, broken = _readable(parts)
    missing = [number for number in range(1, inbound.total + 1) if number not in pdus]
    draft = None
    try:
        if pdus:
            draft = _draft(inbound, [pdus[number] for number in sorted(pdus)], missing, region, book, own_number)
            draft.said(NOTHING)  # it can be written
    except Exception as error:  # a defect of ours: it must not come back each second, nor hold up the others
        log.exception("message %s could not be put together", inbound.id)
        draft, pdus = None, {}
        broken = [(part, f"it could not be put together: {type(error).__name__}") for part in parts]
    for part, reason in broken:
        _break(tx, inbound, part, reason, now)
    inbound.have = len(pdus)
    if draft is None:
        inbound.state = "broken"
        return
    inbound.payload = draft.said(listen(draft.heard))
    inbound.state = "partial" if missing else "whole"
    tx.emit(OutboxKind.IN, inbound.payload)


def _readable(parts: Sequence[InboundPart]) -> tuple[dict[int, Deliver], list[tuple[InboundPart, str]]]:
    """The stored parts by number, decoded anew, and those that cannot be, through a bad sector perhaps, with why."""
    pdus: dict[int, Deliver] = {}
    broken: list[tuple[InboundPart, str]] = []
    for part in parts:
        try:
            pdu = decode(part.raw)
        except PduError as error:
            broken.append((part, f"it cannot be decoded any more: {error}"))
            continue
        if isinstance(pdu, Deliver):
            pdus.setdefault(part.number, pdu)
        else:
            broken.append((part, "it is no received message any more"))
    return pdus, broken


def _break(tx: Transaction, inbound: InboundSet, part: InboundPart, reason: str, now: int) -> None:
    """Move a stored part to the quarantine."""
    log.error("part %d of message %s is put aside: %s", part.number, inbound.id, reason)
    tx.drop_part(part.seq)
    kept = Quarantined(
        seq=0,
        content_key=content_key(inbound.scope, part.raw),
        raw=_printable(part.raw),
        error=reason,
        modem=inbound.modem,
        scope=inbound.scope,
        storage=part.storage,
        idx=part.idx,
        received_at=part.received_at,
    )
    _keep(tx, kept, now)


def _draft(
    inbound: InboundSet,
    pdus: Sequence[Deliver],
    missing: list[int],
    region: str | None,
    book: ContactBook,
    own_number: str | None,
) -> Draft:
    first = pdus[0]
    text, data, encoding = first.text, first.data, first.encoding
    if len(pdus) > 1:
        try:
            joined = join(pdus, partial=True)
            text, data, encoding = joined.text, joined.data, joined.encoding
        except PduError as error:
            log.info("parts of message %s do not join (%s): they are put one after the other", inbound.id, error)
            text = "".join(p.text for p in pdus if p.text is not None) or None
            data = b"".join(p.data for p in pdus if p.data is not None) or None
    sender = normal_sender(first.number, region)
    contact = book.name_of(sender)
    heard = Heard(
        id=inbound.id,
        sender=sender,
        contact=contact,
        text=text,
        kind=first.kind,
        sent_at=to_ms(first.timestamp) if first.timestamp else None,
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
            "to": own_number,
            "modem": inbound.modem,
            "sent_at": first.timestamp,
            "received_at": inbound.received_at,
            "parts": inbound.total,
            "missing": missing,
            "encoding": encoding,
            "message_class": first.message_class,
            "kind": first.kind,
            "port": first.ports[0] if first.ports else None,
            "data": data,
        },
    )


def _body_key(pdu: Deliver) -> bytes:
    return hashlib.blake2b(bytes((pdu.dcs,)) + pdu.user_data, digest_size=_KEY_OCTETS).digest()


def _store_report(tx: Transaction, item: Incoming, pdu: StatusReport, now: int) -> int | None:
    """The order whose status moved, if one did."""
    report = OrphanReport(
        seq=0,
        sim=item.scope,
        mr=pdu.mr,
        number=pdu.number,
        status=pdu.status,
        sent_at=to_ms(pdu.timestamp) if pdu.timestamp else None,
        received_at=now,  # by the clock that attempts have: the modem's is ahead of it while a jump is being followed
    )
    found = reports.find_attempt(tx, report)
    if found is None:
        tx.add_orphan(report)
        return None
    attempt, weak = found
    if not reports.apply(tx, attempt, report, weak=weak):
        return None
    order = tx.order(attempt.order_seq)
    return order.seq if order is not None and sending.refresh(tx, order, now) else None


def quarantine(tx: Transaction, item: Incoming, reason: str, now: int) -> None:
    """Keep what cannot be understood, and say so on `sms/raw`; once."""
    pdu = item.pdu
    kept = Quarantined(
        seq=0,
        content_key=item.content_key,
        raw=_printable(pdu.raw),
        error=_printable(reason),
        modem=pdu.modem,
        scope=item.scope,
        storage=pdu.storage,
        idx=pdu.index,
        received_at=item.received_at,
    )
    _keep(tx, kept, now)


def _keep(tx: Transaction, kept: Quarantined, now: int) -> None:
    if tx.add_quarantined(kept):
        payload = raw_json(
            id=ulid.new(now),
            pdu=kept.raw,
            reason=kept.error,
            modem=kept.modem,
            sim=kept.scope,
            storage=kept.storage,
            received_at=kept.received_at,
        )
        tx.emit(OutboxKind.RAW, payload)


def _printable(text: str) -> str:
    """What a modem gave need not be text at all."""
    return text if text.isascii() else text.encode("ascii", "backslashreplace").decode("ascii")
