"""Orders of a restored journal: what was unfinished when the backup was made may have been sent since."""

from __future__ import annotations

from sms_bridge.core import sending
from sms_bridge.core.model import Attempt, Order, StatusError
from sms_bridge.core.ports import Transaction
from sms_bridge.core.states import POSSIBLY_SENT, PartState, Stage

RESTORED = StatusError(
    "restored", "it waited when the backup was made and may have been sent since; message/resend sends it"
)


def hold(tx: Transaction, order: Order, now: int, made_at: int) -> bool:
    """Make an unfinished order `unknown`, so that only a person sends it; False: its time is surely still to come.

    `made_at`: when the backup was made, UTC ms. A clock that stands before that proves nothing.
    """
    if order.stage is Stage.HELD and order.send_at is not None and order.send_at > now >= made_at:
        return False
    attempts = tx.attempts(order.seq)
    for attempt in attempts:
        if attempt.state is PartState.SENDING:
            attempt.state, attempt.ended_at = PartState.UNKNOWN, now
            attempt.error_code, attempt.error_text = RESTORED.code, RESTORED.text
            tx.save_attempt(attempt)
    own = [attempt for attempt in attempts if attempt.generation == order.generation]
    n = max((attempt.n for attempt in attempts), default=0)
    for part, state in enumerate(sending.part_states(order, own)):
        if state not in POSSIBLY_SENT:
            n += 1
            tx.add_attempt(_perhaps(order, n, part, now))
    sending.finalise(tx, order, now, RESTORED)
    return True


def _perhaps(order: Order, n: int, part: int, now: int) -> Attempt:
    """The try that may have been made by whoever went on with the journal of which this is a copy."""
    return Attempt(
        order.seq,
        n,
        order.generation,
        part,
        order.attempt,
        PartState.UNKNOWN,
        modem="",
        sim="",
        recipient=order.to,
        began_at=now,
        ended_at=now,
        error_code=RESTORED.code,
        error_text=RESTORED.text,
    )
