"""Receipts of routes: which part one speaks of, by the service centre's id, and what it makes of it (domain C2)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sms_bridge.core.model import Attempt, Receipt
from sms_bridge.core.numbers import is_suffix_match
from sms_bridge.core.ports import Transaction
from sms_bridge.core.settings import DAY, CoreSettings
from sms_bridge.core.states import PartState, ReceiptState, part_may_move

HELD_MS = 60 * 60_000  # in which a response may come after its receipt, at most (domain C2.2)
UNKNOWN_MS = 10 * 60_000  # for a part whose id was never learnt (domain C2.2)

_HEX = re.compile(r"[0-9A-Fa-f]{1,20}\Z")
_DECIMAL = re.compile(r"[0-9]{1,20}\Z")
_WIDTHS = range(2, 21)  # of ids with zeros in front

_TO = {
    ReceiptState.DELIVERED: PartState.DELIVERED,
    ReceiptState.FAILED: PartState.UNDELIVERED,
    ReceiptState.UNDERWAY: PartState.SENT,
}


def variants(id: str) -> list[str]:
    """Other ways to write the same id, whatever its case: hexadecimal for decimal and back, zeros in front (C2.1)."""
    numbers = {int(id, base) for base, looks in ((10, _DECIMAL), (16, _HEX)) if looks.match(id)}
    texts = {id.lstrip("0") or "0"} if numbers else set()
    texts.update(format(number, base) for number in numbers for base in "dx")
    found = dict.fromkeys(text.zfill(width) for text in sorted(texts) for width in (1, *_WIDTHS))
    found.pop(id, None)
    return list(found)


def find(tx: Transaction, receipt: Receipt, settings: CoreSettings) -> list[Attempt]:
    """The parts that a receipt speaks of, all of one order; empty: none, or nobody can tell which."""
    known = _fitting(tx.attempts_by_id(receipt.route, (receipt.message_id,)), receipt, settings)
    if known:
        return _of_one([each for each in known if each.message_id == receipt.message_id] or known)
    if receipt.recipient is not None:  # else nothing but the id speaks for it, and that differs
        close = _fitting(tx.attempts_by_id(receipt.route, variants(receipt.message_id)), receipt, settings)
        if close:
            return _of_one(close)
    return _sole_unknown(tx, receipt)


def apply(tx: Transaction, attempt: Attempt, receipt: Receipt) -> bool:
    """Write what a receipt says into its part; True when the part's state changed."""
    to = _TO.get(receipt.state)
    learnt = attempt.message_id is None
    if learnt:
        attempt.message_id = receipt.message_id
    moved = to is not None and part_may_move(attempt.state, to)
    if moved and to is not None:
        attempt.state = to
        attempt.error_code = attempt.error_text = None
        if attempt.ended_at is None:
            attempt.ended_at = receipt.at
        if to is PartState.UNDELIVERED:
            error = receipt.error
            attempt.error_code = error.code if error is not None else "undelivered"
            attempt.error_text = error.text if error is not None else "the route could not deliver it"
    if moved or learnt:
        tx.save_attempt(attempt)
    return moved


def match_orphans(tx: Transaction, attempt: Attempt, settings: CoreSettings) -> bool:
    """Take up the receipts that came before this part's id was committed (domain C2.2); True: it was changed."""
    if attempt.message_id is None:
        return False
    kept = tx.orphan_receipts(attempt.route, (attempt.message_id,))
    if not any(_fitting([attempt], orphan.receipt, settings) for orphan in kept):
        close = tx.orphan_receipts(attempt.route, variants(attempt.message_id))
        kept = [orphan for orphan in close if orphan.receipt.recipient is not None]
    changed = False
    for orphan in kept:
        if not _fitting([attempt], orphan.receipt, settings):
            continue
        changed = apply(tx, attempt, orphan.receipt) or changed
        tx.drop_orphan_receipt(orphan.seq)
    return changed


def _fitting(attempts: Iterable[Attempt], receipt: Receipt, settings: CoreSettings) -> list[Attempt]:
    window = int(settings.report_days * DAY * 1000)
    return [
        attempt
        for attempt in attempts
        if receipt.at <= attempt.began_at + window  # and before it, when our clock was set back meanwhile
        and (receipt.recipient is None or is_suffix_match(attempt.recipient, receipt.recipient))
    ]


def _of_one(attempts: list[Attempt]) -> list[Attempt]:
    """None of them, when they are parts of several messages: a wrong guess is worse than none."""
    first = attempts[0]
    same = all((a.order_seq, a.generation) == (first.order_seq, first.generation) for a in attempts)
    return attempts if same else []


def _sole_unknown(tx: Transaction, receipt: Receipt) -> list[Attempt]:
    """The one part to this recipient whose response was lost."""
    if receipt.recipient is None:
        return []
    number = receipt.recipient
    lost = [
        attempt
        for attempt in tx.attempts_unknown(receipt.route)
        if attempt.message_id is None
        and 0 <= receipt.at - attempt.began_at <= UNKNOWN_MS
        and is_suffix_match(attempt.recipient, number)
    ]
    if len(lost) != 1:
        return []
    # A part to them that is under way may be the one: its response is overtaken.
    underway = (a for order in tx.orders_busy() for a in tx.attempts(order.seq, order.generation))
    busy = any(
        a.state is PartState.SENDING and a.route == receipt.route and is_suffix_match(a.recipient, number)
        for a in underway
    )
    return [] if busy else lost
