"""Status reports: which part one speaks of, and what it makes of it (domain A7, TS 23.040 9.2.3.15)."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from sms_bridge.core.model import Attempt, OrphanReport
from sms_bridge.core.numbers import is_suffix_match
from sms_bridge.core.ports import Transaction
from sms_bridge.core.states import PartState, part_may_move

# The SC's clock and ours: SCTS is when it took the message, we know when we began to hand it over.
SKEW_MS = 5 * 60_000
WEAK_MS = 2 * 60_000  # for a report whose recipient does not fit
UNKNOWN_MS = 10 * 60_000  # for a part whose reference was never learnt

_MEANINGS = {
    0x40: "remote procedure error",
    0x41: "incompatible destination",
    0x42: "connection rejected by the recipient's network",
    0x43: "the recipient cannot be reached for good",
    0x44: "quality of service not available",
    0x45: "no interworking with the recipient's network",
    0x46: "its validity period ended before it could be delivered",
    0x47: "deleted by its sender",
    0x48: "deleted by the service centre",
    0x49: "the service centre does not know it",
    0x60: "congestion",
    0x61: "the recipient was busy",
    0x62: "the recipient did not answer",
    0x63: "service rejected",
    0x65: "error at the recipient",
}


class Effect(Enum):
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    SENT = "sent"  # the SC took it, no more is known
    NOTHING = "nothing"


def effect_of(status: int) -> Effect:
    """What a TP-ST value says; what is reserved says nothing."""
    if status in (0x01, 0x02):
        return Effect.SENT  # forwarded without confirmation, or replaced
    if status <= 0x1F:
        return Effect.DELIVERED
    if status <= 0x3F:
        return Effect.SENT  # still trying: more reports follow
    if status <= 0x7F:
        return Effect.UNDELIVERED
    return Effect.NOTHING


def meaning_of(status: int) -> str:
    return _MEANINGS.get(status, "the network could not deliver it")


def find_attempt(tx: Transaction, report: OrphanReport) -> tuple[Attempt, bool] | None:
    """The part a report speaks of, and whether that is a weak guess; None: none fits (A7.2, A7.5)."""
    known = tx.attempts_by_mr(report.sim, report.mr)
    fitting = [a for a in known if is_suffix_match(a.recipient, report.number)]
    pending = [a for a in fitting if a.state is PartState.SENT]
    near = [a for a in pending if _distance(a, report) <= SKEW_MS]
    if near:
        return min(near, key=lambda a: (_distance(a, report), -a.began_at)), False
    repeated = [a for a in fitting if a.state is not PartState.SENT and _distance(a, report) <= SKEW_MS]
    if repeated:
        # The same report once more, from a SIM that was not emptied in time: changes nothing. Before any guess, or it
        # would be taken for the answer to a part that never left.
        return min(repeated, key=lambda a: (_distance(a, report), -a.began_at)), False
    unknown = _sole_unknown(tx, report)
    if unknown is not None:
        return unknown, False
    if pending:
        return pending[0], False  # clocks differ: the newest
    close = [a for a in known if a.state is PartState.SENT and _distance(a, report) <= WEAK_MS]
    if len(close) == 1:
        return close[0], True
    return None


def apply(tx: Transaction, attempt: Attempt, report: OrphanReport, *, weak: bool) -> bool:
    """Write what a report says into its part; True when the part's state changed."""
    attempt.report_status = report.status
    attempt.report_weak = attempt.report_weak or weak
    if attempt.mr is None:
        attempt.mr = report.mr
    effect = effect_of(report.status)
    to = {
        Effect.DELIVERED: PartState.DELIVERED,
        Effect.UNDELIVERED: PartState.UNDELIVERED,
        Effect.SENT: PartState.SENT,
        Effect.NOTHING: attempt.state,
    }[effect]
    moved = part_may_move(attempt.state, to)
    if moved:
        attempt.state = to
        attempt.error_code = attempt.error_text = None
        if to is PartState.UNDELIVERED:
            attempt.error_code = f"report_0x{report.status:02x}"
            attempt.error_text = meaning_of(report.status)
    tx.save_attempt(attempt)
    return moved


def match_orphans(tx: Transaction, attempt: Attempt) -> None:
    """Take up reports that came before this part's reference was committed (A7.3)."""
    if attempt.mr is None:
        return
    for report in tx.orphans(attempt.sim, attempt.mr):
        if is_suffix_match(attempt.recipient, report.number) and _distance_of(attempt, report) <= SKEW_MS:
            apply(tx, attempt, report, weak=False)
            tx.drop_orphan(report.seq)


def _sole_unknown(tx: Transaction, report: OrphanReport) -> Attempt | None:
    candidates: Sequence[Attempt] = [
        a
        for a in tx.attempts_unknown(report.sim)
        if is_suffix_match(a.recipient, report.number) and _distance(a, report) <= UNKNOWN_MS
    ]
    if len(candidates) != 1 or _is_being_sent(tx, report):
        return None
    return candidates[0]


def _is_being_sent(tx: Transaction, report: OrphanReport) -> bool:
    """A part to that number is on its way: the report may have overtaken its reference (A7.3)."""
    return any(
        a.state is PartState.SENDING and a.sim == report.sim and is_suffix_match(a.recipient, report.number)
        for order in tx.orders_busy()
        for a in tx.attempts(order.seq, order.generation)
    )


def _distance(attempt: Attempt, report: OrphanReport) -> int:
    """Milliseconds between the hand-over and what the SC says."""
    return abs((report.sent_at if report.sent_at is not None else report.received_at) - attempt.began_at)


def _distance_of(attempt: Attempt, report: OrphanReport) -> int:
    """As `_distance`, or by our own clock alone: an orphan has come just before its part was committed."""
    return min(_distance(attempt, report), abs(report.received_at - (attempt.ended_at or attempt.began_at)))
