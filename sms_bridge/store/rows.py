"""The columns of the journal's tables, in the order of the dataclasses' fields."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sms_bridge.core.model import Attempt, Balance, InboundPart, InboundSet, Order, OrphanReport
from sms_bridge.core.states import OnUnknown, OrderState, PartState, Stage

ORDER_FIXED = (
    "id", "recipient", "state", "stage", "lane", "precedence", "fingerprint", "text", "data", "port",
    "modem_wanted", "route_wanted", "flash", "validity", "send_at", "deadline", "delivery_report", "on_unknown",
    "encoding_wanted", "transaction_json", "source", "accepted_at", "parts", "encoding",
)  # fmt: skip
ORDER_CHANGING = (
    "state_at", "attempt", "failures", "generation", "resends", "parts_sent", "modem", "sim", "not_before",
    "bound_until", "excluded", "error_code", "error_text", "error_retryable", "route", "plan",
)  # fmt: skip
ORDER_COLUMNS = ", ".join(("seq", *ORDER_FIXED, *ORDER_CHANGING, "sender"))
ORDER_INSERT = (
    f"INSERT INTO orders ({ORDER_COLUMNS}) VALUES ({', '.join('?' * (2 + len(ORDER_FIXED) + len(ORDER_CHANGING)))})"
)
ORDER_UPDATE = (
    f"UPDATE orders SET {', '.join(f'{name} = ?' for name in ('state', 'stage', 'lane', *ORDER_CHANGING))} "
    "WHERE seq = ?"
)

ATTEMPT_COLUMNS = (
    "order_seq, n, generation, part, attempt, state, modem, sim, recipient, began_at, ended_at, mr, "
    "error_code, error_text, report_status, report_weak, route, message_id"
)
ATTEMPT_INSERT = f"INSERT INTO attempts ({ATTEMPT_COLUMNS}) VALUES ({', '.join('?' * 18)})"
ATTEMPT_UPDATE = (
    "UPDATE attempts SET state = ?, ended_at = ?, mr = ?, error_code = ?, error_text = ?, report_status = ?, "
    "report_weak = ?, message_id = ? WHERE order_seq = ? AND n = ?"
)

SET_COLUMNS = "seq, id, scope, modem, sender, state, received_at, sent_at, total, have, ref, bits, partial_at, payload"
SET_INSERT = f"INSERT INTO inbound ({SET_COLUMNS}) VALUES ({', '.join('?' * 14)})"
SET_UPDATE = "UPDATE inbound SET state = ?, sent_at = ?, have = ?, partial_at = ?, payload = ? WHERE seq = ?"
PART_COLUMNS = "seq, body_key, set_seq, number, raw, received_at, sent_at, storage, idx"
PART_INSERT = f"INSERT INTO inbound_parts ({PART_COLUMNS}) VALUES ({', '.join('?' * 9)})"
BALANCE_COLUMNS = "sim, amount, currency, expires, checked_at, asked_at, sms_times, low_told, expiry_told"
BALANCE_REPLACE = f"INSERT OR REPLACE INTO balances ({BALANCE_COLUMNS}) VALUES ({', '.join('?' * 9)})"
ORPHAN_COLUMNS = "seq, sim, mr, number, status, sent_at, received_at"


def order_values(order: Order, seq: int | None) -> tuple[Any, ...]:
    """An order as ORDER_INSERT takes it."""
    o = order
    return (
        seq, o.id, o.to, o.state.value, o.stage.value, o.lane, o.precedence, o.fingerprint, o.text, o.data, o.port,
        o.modem_wanted, o.route_wanted, o.flash, o.validity, o.send_at, o.deadline, o.delivery_report,
        o.on_unknown.value, o.encoding_wanted, o.transaction, o.source, o.accepted_at, o.parts, o.encoding,
        o.state_at, o.attempt, o.failures, o.generation, o.resends, o.parts_sent, o.modem, o.sim, o.not_before,
        o.bound_until, o.excluded, o.error_code, o.error_text, o.error_retryable, o.route, o.plan, o.sender,
    )  # fmt: skip


def order_changes(order: Order) -> tuple[Any, ...]:
    """An order as ORDER_UPDATE takes it."""
    o = order
    return (
        o.state.value, o.stage.value, o.lane, o.state_at, o.attempt, o.failures, o.generation, o.resends,
        o.parts_sent, o.modem, o.sim, o.not_before, o.bound_until, o.excluded, o.error_code, o.error_text,
        o.error_retryable, o.route, o.plan, o.seq,
    )  # fmt: skip


def order_from(row: Sequence[Any]) -> Order:
    values = list(row)
    values[3] = OrderState(values[3])
    values[4] = Stage(values[4])
    values[13] = bool(values[13])
    values[17] = bool(values[17])
    values[18] = OnUnknown(values[18])
    values[38] = bool(values[38])
    return Order(*values)


def attempt_values(attempt: Attempt) -> tuple[Any, ...]:
    a = attempt
    return (
        a.order_seq, a.n, a.generation, a.part, a.attempt, a.state.value, a.modem, a.sim, a.recipient,
        a.began_at, a.ended_at, a.mr, a.error_code, a.error_text, a.report_status, a.report_weak, a.route,
        a.message_id,
    )  # fmt: skip


def attempt_changes(attempt: Attempt) -> tuple[Any, ...]:
    a = attempt
    return (
        a.state.value, a.ended_at, a.mr, a.error_code, a.error_text, a.report_status, a.report_weak, a.message_id,
        a.order_seq, a.n,
    )  # fmt: skip


def attempt_from(row: Sequence[Any]) -> Attempt:
    values = list(row)
    values[5] = PartState(values[5])
    values[15] = bool(values[15])
    return Attempt(*values)


def set_from(row: Sequence[Any]) -> InboundSet:
    return InboundSet(*row)


def part_from(row: Sequence[Any]) -> InboundPart:
    return InboundPart(*row)


def orphan_from(row: Sequence[Any]) -> OrphanReport:
    return OrphanReport(*row)


def balance_values(balance: Balance) -> tuple[Any, ...]:
    b = balance
    return (
        b.sim, b.amount, b.currency, b.expires, b.checked_at, b.asked_at, json.dumps(b.sms_times), b.low_told,
        b.expiry_told,
    )  # fmt: skip


def balance_from(row: Sequence[Any]) -> Balance:
    values = list(row)
    values[6] = json.loads(values[6])
    values[7] = bool(values[7])
    return Balance(*values)
