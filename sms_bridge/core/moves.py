"""The one place where an order changes its state."""

from __future__ import annotations

import logging

from sms_bridge.core.errors import MoveError
from sms_bridge.core.model import Order, StatusError, StatusEvent
from sms_bridge.core.states import OrderState, may_move

log = logging.getLogger(__name__)


def move(order: Order, to: OrderState, now: int, error: StatusError | None = None) -> StatusEvent:
    """Move `order` to the state `to` and say so; MoveError when the table forbids it."""
    if not may_move(order.state, to):
        raise MoveError(f"order {order.seq} cannot go from {order.state} to {to}")
    if log.isEnabledFor(logging.DEBUG):
        log.debug("order %d: %s -> %s %s", order.seq, order.state, to, error.code if error else "")
    order.state = to
    order.state_at = now
    order.set_error(error)
    return status_of(order)


def status_of(order: Order) -> StatusEvent:
    """The order's present status, as it was when it was reached."""
    error = None
    if order.error_code is not None:
        error = StatusError(order.error_code, order.error_text or "", order.error_retryable)
    return StatusEvent(
        id=order.id,
        to=order.to,
        state=order.state,
        ts=order.state_at,
        route=order.route or ("modem" if order.modem else None),
        modem=order.modem,
        sim=None if order.route else order.sim,
        parts=order.parts,
        parts_sent=order.parts_sent,
        encoding=order.encoding,
        attempt=order.attempt,
        error=error,
        transaction=order.transaction,
    )
