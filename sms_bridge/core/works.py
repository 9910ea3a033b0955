"""The dispatcher's transactions, as the writer's thread runs them."""

from __future__ import annotations

from collections.abc import Callable

from sms_bridge.core import sending
from sms_bridge.core.model import Order, StatusError
from sms_bridge.core.ports import Reader, Transaction
from sms_bridge.core.retry import Others
from sms_bridge.core.sending import Begun, Outcome, Verdict
from sms_bridge.core.settings import CoreSettings
from sms_bridge.core.states import Stage


def record_work(
    tx: Transaction,
    *,
    begin: Callable[[Transaction], Begun] | None,
    outcome: Outcome,
    others: Others,
    now: int,
    settings: CoreSettings,
) -> Verdict | None:
    if begin is not None:
        begun = begin(tx)
        if begun.order is None:
            return begun.verdict
    return sending.record(tx, outcome, others, now, settings)


def settle_work(tx: Transaction, seq: int, others: Others, now: int, settings: CoreSettings) -> Verdict | None:
    order = tx.order(seq)
    if order is None or order.stage is not Stage.BUSY:
        return None
    return sending.settle(tx, order, others, now, settings)


def fail_work(tx: Transaction, seq: int, error: StatusError, now: int) -> None:
    order = tx.order(seq)
    if order is not None and order.stage is Stage.READY:
        sending.finalise(tx, order, now, error)


def load_work(
    reader: Reader, lane: str, after: tuple[int, int] | None, limit: int
) -> list[tuple[Order, tuple[int, ...] | None, dict[str, int]]]:
    return [
        (order, _pending(reader, order), reader.avoided(order.seq)) if order.attempt > 1 else (order, None, {})
        for order in reader.ready(lane, after, limit)
    ]


def _pending(reader: Reader, order: Order) -> tuple[int, ...]:
    return tuple(sending.pending_parts(order, reader.attempts(order.seq, order.generation)))
