"""A person decides that a message of unknown fate, or one that failed, be sent once more."""

from __future__ import annotations

from dataclasses import replace

from sms_bridge.core import submission, ulid
from sms_bridge.core.errors import RouteError
from sms_bridge.core.events import status_json
from sms_bridge.core.model import Order, OutboxKind
from sms_bridge.core.moves import status_of
from sms_bridge.core.ports import Transaction
from sms_bridge.core.states import OrderState, Stage


def resend(
    tx: Transaction, id: str, now: int, planner: submission.Planner, route: str | None
) -> tuple[list[Order], list[Order]]:
    """Orders of unknown fate that go once more, and new ones for those that failed: what is final stays so."""
    again, anew = [], []
    for order in tx.orders_of(id):
        if order.stage is not Stage.DONE or order.state not in (OrderState.UNKNOWN, OrderState.FAILED):
            continue
        if order.state is OrderState.FAILED:
            order = _copy(order, now)
            anew.append(order)
        else:
            order.generation += 1
            order.resends = 0
            order.attempt += 1
            order.failures = 0
            again.append(order)
        problem = submission.put_on_plan(order, planner, route)
        if problem is not None:
            raise RouteError(problem[1])
    for order in again:
        if order.deadline is not None and order.deadline <= now:
            order.deadline = None
            tx.drop_deadline(order.seq)
        order.stage = Stage.READY
        order.excluded = ""
        tx.save_order(order)
    if anew:
        tx.add_orders(anew)
        for order in anew:
            tx.emit(OutboxKind.STATUS, status_json(status_of(order)))
    return again, anew


def _copy(order: Order, now: int) -> Order:
    """The same message as an order of its own: without the deadline that has passed, under a new id."""
    return replace(
        order,
        seq=0,
        id=ulid.new(now),
        state=OrderState.QUEUED,
        stage=Stage.READY,
        send_at=None,
        deadline=order.deadline if order.deadline is not None and order.deadline > now else None,
        accepted_at=now,
        state_at=now,
        attempt=1,
        failures=0,
        generation=0,
        resends=0,
        parts_sent=0,
        modem=None,
        sim=None,
        route=None,
        excluded="",
        error_code=None,
        error_text=None,
        error_retryable=False,
    )
