"""From an order to what a modem is given: the fields of its SMS-SUBMIT TPDUs (TS 23.040 9.2.2.2)."""

from __future__ import annotations

from hardware.pdu import PduError, SubmitRequest, encode
from sms_bridge.core.model import JobPart, Order

_MIN_VALIDITY = 5  # minutes; TP-VP knows no less (TS 23.040 9.2.3.12.1)


def parts_of(order: Order, wanted: tuple[int, ...], now: int) -> tuple[JobPart, ...]:
    """These parts of the message, encoded; PduError, ValueError."""
    encoded = encode(submit_request(order, now))
    if encoded.segments != order.parts:
        raise PduError(f"{encoded.segments} parts instead of {order.parts}")
    return tuple(JobPart(i, encoded.pdus[i], encoded.lengths[i]) for i in wanted)


def submit_request(order: Order, now: int) -> SubmitRequest:
    return SubmitRequest(
        number=order.to,
        text=order.text,
        data=order.data,
        encoding=order.encoding_wanted,
        ref=reference(order),
        validity_minutes=validity_minutes(order, now),
        status_report=order.delivery_report,
        flash=order.flash,
        port=order.port,
        reject_duplicates=order.resends > 0,
    )


def reference(order: Order) -> int:
    """The concatenation reference: durable because the row's number is; mixed so that no period repeats it."""
    return (order.seq + order.seq // 256 + 97 * order.generation) & 0xFF


def validity_minutes(order: Order, now: int) -> int | None:
    """TP-VP: the network must not deliver after the deadline either."""
    seconds = order.validity
    if order.deadline is not None:
        left = max(0, order.deadline - now) // 1000
        seconds = min(seconds, left) if seconds else left
    elif not seconds:
        return None
    return max(_MIN_VALIDITY, -(-seconds // 60))
