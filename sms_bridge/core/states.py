"""The states of an order and of a part, and the one table that says where each may go."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class OrderState(StrEnum):
    """The states that the outside sees."""

    QUEUED = "queued"
    SCHEDULED = "scheduled"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


class Stage(StrEnum):
    """What the dispatcher does with an order; never published."""

    HELD = "held"  # waits for its `send_at`
    READY = "ready"  # may be claimed
    BUSY = "busy"  # a modem has begun with it
    DONE = "done"  # nothing more will be sent


class PartState(StrEnum):
    """The certainty about one part (domain A3, E3)."""

    QUEUED = "queued"
    SENDING = "sending"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"
    SENT = "sent"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"


class OnUnknown(StrEnum):
    """What becomes of a part that may have been sent and was not confirmed."""

    HOLD = "hold"
    RESEND = "resend"
    FAILOVER = "failover"


class ReceiptState(StrEnum):
    """What a delivery receipt of a route says (SMPP 3.4 5.2.28, appendix B)."""

    DELIVERED = "delivered"
    FAILED = "failed"  # it will not be delivered: expired, deleted, undeliverable, rejected
    UNDERWAY = "underway"  # the service centre has it, no more is known
    NOTHING = "nothing"  # says nothing


_S = OrderState

MOVES: Mapping[OrderState, frozenset[OrderState]] = MappingProxyType(
    {
        # To `unknown` in a journal that was restored: it may have been sent after the backup was made.
        _S.SCHEDULED: frozenset({_S.QUEUED, _S.EXPIRED, _S.CANCELLED, _S.FAILED, _S.UNKNOWN}),
        _S.QUEUED: frozenset({_S.SENDING, _S.EXPIRED, _S.CANCELLED, _S.FAILED, _S.UNKNOWN}),
        _S.SENDING: frozenset({_S.SENT, _S.DELIVERED, _S.FAILED, _S.UNKNOWN, _S.EXPIRED, _S.CANCELLED}),
        # A late result or a status report may still tell what became of it (domain A7.5, E3.3).
        _S.UNKNOWN: frozenset({_S.SENT, _S.DELIVERED, _S.FAILED}),
        _S.SENT: frozenset({_S.DELIVERED, _S.FAILED}),
        _S.DELIVERED: frozenset(),
        _S.FAILED: frozenset(),
        _S.EXPIRED: frozenset(),
        _S.CANCELLED: frozenset(),
        _S.REJECTED: frozenset(),
    }
)

RANK: Mapping[OrderState, int] = MappingProxyType(
    {
        _S.SCHEDULED: 0,
        _S.QUEUED: 1,
        _S.SENDING: 2,
        _S.UNKNOWN: 3,
        _S.SENT: 4,
        _S.DELIVERED: 5,
        _S.FAILED: 5,
        _S.EXPIRED: 5,
        _S.CANCELLED: 5,
        _S.REJECTED: 5,
    }
)

_P = PartState

PART_MOVES: Mapping[PartState, frozenset[PartState]] = MappingProxyType(
    {
        _P.QUEUED: frozenset({_P.SENDING}),
        _P.SENDING: frozenset({_P.NOT_SENT, _P.UNKNOWN, _P.SENT, _P.DELIVERED, _P.UNDELIVERED}),
        _P.UNKNOWN: frozenset({_P.SENT, _P.DELIVERED, _P.UNDELIVERED}),
        _P.SENT: frozenset({_P.DELIVERED, _P.UNDELIVERED}),
        _P.NOT_SENT: frozenset(),
        _P.DELIVERED: frozenset(),
        _P.UNDELIVERED: frozenset(),
    }
)

PART_RANK: Mapping[PartState, int] = MappingProxyType(
    {
        _P.QUEUED: 0,
        _P.NOT_SENT: 1,
        _P.SENDING: 2,
        _P.UNKNOWN: 3,
        _P.SENT: 4,
        _P.UNDELIVERED: 5,
        _P.DELIVERED: 6,
    }
)

POSSIBLY_SENT: frozenset[PartState] = frozenset({_P.SENDING, _P.UNKNOWN, _P.SENT, _P.DELIVERED, _P.UNDELIVERED})
HANDED_OVER: frozenset[PartState] = frozenset({_P.SENT, _P.DELIVERED, _P.UNDELIVERED})


def may_move(state: OrderState, to: OrderState) -> bool:
    return to in MOVES[state]


def part_may_move(state: PartState, to: PartState) -> bool:
    return to in PART_MOVES[state]
