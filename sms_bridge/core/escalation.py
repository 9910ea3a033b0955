"""Orders that go further when they come to nothing: one step after the other, each exactly once.

A step's order and the mark that it is made are one transaction. It stands in the journal from the order's acceptance
on, and whether it is still needed is looked at when its time has come.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from sms_bridge.core import ulid
from sms_bridge.core.asking import STEP_SOURCE, Asked, StepRow, StepState, Until
from sms_bridge.core.clock import from_ms, rfc3339
from sms_bridge.core.model import AUTO, Accepted, Order, SendRequest
from sms_bridge.core.ports import Reader
from sms_bridge.core.redaction import mask
from sms_bridge.core.states import OrderState
from sms_bridge.core.talk import Talk

_REACHED = {
    Until.SENT: frozenset({OrderState.SENT, OrderState.DELIVERED}),
    Until.DELIVERED: frozenset({OrderState.DELIVERED}),
}


def take(talk: Talk) -> bool:
    """Take the one step that is due first, if it is still needed; False: none is due."""
    due = talk.tx.steps_due(talk.now, 1)
    if not due:
        return False
    row = due[0]
    first = talk.tx.order(row.order_seq)
    orders = talk.tx.orders_of(first.id) if first is not None else []
    if first is None or _is_over(talk, row, orders):
        _end_all(talk, row.order_seq)
        return True
    row.made = f"{first.id}/e{row.n}"
    if talk.tx.orders_of(row.made):  # somebody gave that id to something else
        row.made = f"{row.made}-{ulid.new(talk.now)}"
    missing = [order for order in orders if not _reached(talk, order, row.until)]
    result = talk.order(_request(row, first, missing, talk.now))
    row.state = StepState.DONE if isinstance(result, Accepted) else StepState.FAILED
    talk.tx.save_step(row)
    step = row.step
    talk.transacted(
        "escalated",
        first.transaction,
        id=first.id,
        step=row.n,
        order=row.made,
        to=[each if each.startswith(("@", "#")) else mask(each) for each in step.to] or None,
        route=step.route,
        modem=step.modem,
        state=first.state.value,
        error=result.rejections[0].text if result.rejections else None,
    )
    return True


def fail(talk: Talk) -> None:
    """Put the step aside that is due first: a defect of ours must not hold up the others."""
    for row in talk.tx.steps_due(talk.now, 1):
        row.state = StepState.FAILED
        talk.tx.save_step(row)


def end(talk: Talk, id: str) -> int:
    """Nothing more is to be done about `id`: how many steps that were."""
    orders = talk.tx.orders_of(id)
    return _end_all(talk, orders[0].seq) if orders else 0


def made_by(reader: Reader, order_seq: int) -> list[str]:
    """The ids of the orders that its steps have made."""
    return [row.made for row in reader.steps(order_seq) if row.made is not None]


def describe(reader: Reader, order_seq: int) -> list[dict[str, object]]:
    """The steps of an order as `message/get` shows them."""
    return [
        {
            "step": row.n,
            "state": row.state.value,
            "due_at": rfc3339(row.due_at) if row.due_at is not None else None,
            "until": row.until.value,
            "order": row.made,
        }
        for row in reader.steps(order_seq)
    ]


def _is_over(talk: Talk, row: StepRow, orders: Sequence[Order]) -> bool:
    """Reached by the order itself, or by one of its steps; or too late for anybody."""
    if orders[0].deadline is not None and orders[0].deadline <= talk.now:
        return True
    families = [orders, *(talk.tx.orders_of(id) for id in made_by(talk.tx, row.order_seq))]
    return any(family and all(_reached(talk, order, row.until) for order in family) for family in families)


def _reached(talk: Talk, order: Order, until: Until) -> bool:
    question = talk.tx.question(order.seq)
    if question is not None and question.state is Asked.ANSWERED:
        return True
    return order.state in _REACHED.get(until, ())


def _end_all(talk: Talk, order_seq: int) -> int:
    waiting = [row for row in talk.tx.steps(order_seq) if row.state is StepState.WAITS]
    for row in waiting:
        row.state = StepState.OVER
        talk.tx.save_step(row)
    return len(waiting)


def _request(row: StepRow, first: Order, missing: Sequence[Order], now: int) -> SendRequest:
    """The step's order: as the first one, but for what the step says."""
    step = row.step
    deadline, expires_in = None, None
    if first.deadline is not None:
        if row.expires:
            expires_in = (first.deadline - now) / 1000
        else:
            deadline = from_ms(first.deadline)
    text = step.text if step.text is not None else first.text
    expect = row.expect if row.expect is None or text is not None else replace(row.expect, token=False)
    return SendRequest(
        to=step.to or tuple(order.to for order in missing),
        text=text,
        id=row.made,
        data=first.data if text is None else None,
        port=first.port if text is None or step.text is None else None,
        modem=step.modem or (first.modem_wanted if step.route is None else AUTO),
        route=step.route or (first.route_wanted if step.modem is None else AUTO),
        flash=first.flash,
        priority=-first.precedence,
        validity=first.validity or None,
        deadline=deadline,
        expires_in=expires_in,
        delivery_report=first.delivery_report,
        on_unknown=first.on_unknown,
        encoding=first.encoding_wanted if step.text is None else AUTO,
        transaction=json.loads(first.transaction),
        source=STEP_SOURCE,
        expect=expect,
    )
