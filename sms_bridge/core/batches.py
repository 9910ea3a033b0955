"""Many orders of a route in one transaction: what the writer's thread does for a peer that takes thousands a second.

An order that is sent for the first time, and ends with one part that was taken, goes through statements for all of them
at once. Whatever is out of the ordinary is done one by one, as for a modem (`sending`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from hardware.types import SendOutcome
from sms_bridge.core import receipts, sending
from sms_bridge.core.events import status_json
from sms_bridge.core.model import Finished, Job, Order, OutboxKind, StatusEvent
from sms_bridge.core.ports import Transaction
from sms_bridge.core.sending import Begun, Verdict
from sms_bridge.core.settings import CoreSettings
from sms_bridge.core.states import OrderState, Stage


def is_plain(finished: Finished) -> bool:
    """Whether it is the whole message, for the first time, and was taken."""
    order = finished.job.order
    return (
        finished.result.outcome is SendOutcome.SENT
        and order.parts == 1
        and order.attempt == 1
        and order.stage is Stage.BUSY
    )


def begin(tx: Transaction, jobs: Sequence[Job], first: Sequence[bool], now: int, settings: CoreSettings) -> list[Begun]:
    """Commit that all parts of these jobs are being sent, unless they may not be; in the order of `jobs`."""
    fresh = [job for job, new in zip(jobs, first, strict=True) if new and job.order.attempt == 1]
    taken: set[int] = set()
    if fresh:
        route = fresh[0].route
        taken = tx.take_up([job.order.seq for job in fresh], route, now)
        tx.add_first_attempts([(job.order, job.route) for job in fresh if job.order.seq in taken], now)
    found = []
    for job, new in zip(jobs, first, strict=True):
        if new and job.order.seq in taken:
            tx.emit(OutboxKind.STATUS, _status(job.order, OrderState.SENDING, job.route, 0, now))
            found.append(Begun(job.order))
        else:
            found.append(_begin_one(tx, job, new, now, settings))
    return found


def finish(
    tx: Transaction,
    quick: Sequence[Finished],
    record: Sequence[Callable[[Transaction], Verdict | None]],
    now: int,
    settings: CoreSettings,
) -> list[Verdict | None]:
    """Commit what came of parts: `quick` are plain ones, `record` are the transactions of all others."""
    if quick:
        tx.end_first_attempts([(each.job.order.seq, each.message_id) for each in quick], now)
        for each in quick:
            tx.emit(OutboxKind.STATUS, _status(each.job.order, OrderState.SENT, each.job.route, 1, now))
        if tx.has_orphan_receipts(now - receipts.HELD_MS):
            _match_orphans(tx, quick, now, settings)
    return [work(tx) for work in record]


def took_up(begun: Mapping[Job, Begun], now: int) -> None:
    """Bring the orders that were begun all at once to where the journal is."""
    for job, came in begun.items():
        order = job.order
        if came.order is order:
            order.state, order.stage, order.state_at = OrderState.SENDING, Stage.BUSY, now
            order.modem, order.sim, order.route = None, job.sim, job.route
            order.not_before = order.bound_until = None


def _match_orphans(tx: Transaction, quick: Sequence[Finished], now: int, settings: CoreSettings) -> None:
    for each in quick:
        if each.message_id is None:
            continue
        (attempt,) = tx.attempts(each.job.order.seq)
        if receipts.match_orphans(tx, attempt, settings):
            order = tx.order(attempt.order_seq)
            if order is not None:
                sending.refresh(tx, order, now)


def _begin_one(tx: Transaction, job: Job, new: bool, now: int, settings: CoreSettings) -> Begun:
    begun = Begun(None)
    for index in job.wanted:
        begun = sending.begin(tx, job.order.seq, index, job.modem, job.sim, new, now, settings, job.route)
        if begun.order is None:
            return begun
        new = False
    return begun


def _status(order: Order, state: OrderState, route: str, sent: int, now: int) -> str:
    """The status without a change of `order`, which belongs to the loop."""
    return status_json(
        StatusEvent(
            id=order.id,
            to=order.to,
            state=state,
            ts=now,
            route=route,
            parts=order.parts,
            parts_sent=sent,
            encoding=order.encoding,
            attempt=1,
            transaction=order.transaction,
        )
    )
