"""The transactions of a send: begin a part, record what came of it, and what the order becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hardware.types import Action, SendError, SendOutcome, SendResult
from sms_bridge.core import receipts
from sms_bridge.core.events import status_json
from sms_bridge.core.lanes import home_lane, is_plan, lane_of_sim, plan_lane, routes_of, without
from sms_bridge.core.model import MODEMS, Attempt, Order, OutboxKind, StatusError
from sms_bridge.core.moves import move, status_of
from sms_bridge.core.ports import Transaction
from sms_bridge.core.reports import match_orphans
from sms_bridge.core.retry import Others, Retry, decide, is_exhausted
from sms_bridge.core.settings import CoreSettings
from sms_bridge.core.states import (
    HANDED_OVER,
    PART_RANK,
    POSSIBLY_SENT,
    OnUnknown,
    OrderState,
    PartState,
    Stage,
    may_move,
    part_may_move,
)

# A message of which a part is out is finished even a little after its deadline (domain E3.6).
MIDWAY_GRACE_MS = 120_000

_OUTCOMES = {
    SendOutcome.SENT: PartState.SENT,
    SendOutcome.NOT_SENT: PartState.NOT_SENT,
    SendOutcome.UNKNOWN: PartState.UNKNOWN,
}
# When a message was tried as a whole more than once, the surest good news counts; bad news only when all is bad.
_CERTAINTY = {
    OrderState.FAILED: 0,
    OrderState.UNKNOWN: 1,
    OrderState.SENT: 2,
    OrderState.DELIVERED: 3,
}

NOBODY = Others()
SOMEBODY = Others(frozenset({"*"}))  # no modem has that name
EXPIRED = StatusError("expired", "its deadline passed before it could be sent")
INCOMPLETE = StatusError("incomplete", "the SIM that had begun this message did not come back in time to finish it")
RESTARTED = SendError("restart", "the bridge was stopped while this part was being sent", Action.UNKNOWN)


@dataclass(slots=True)
class Verdict:
    """What the dispatcher does with an order after a transaction."""

    order: Order
    over: bool  # this modem is done with the order
    delay: float | None = None  # seconds until it may be claimed again; None: not again
    blocked: str | None = None  # this modem only after `delay`, others at once
    pending: tuple[int, ...] | None = None  # the parts still to send, when the order goes back


@dataclass(slots=True)
class Begun:
    """Whether a part may be written; when not, what becomes of its order, if that changed."""

    order: Order | None
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished part as plain values, for the writer thread."""

    order_seq: int
    generation: int
    part: int
    modem: str
    result: SendResult
    message_id: str | None = None
    route: str = MODEMS
    whole: bool = False  # all parts were handed over at once: none of the others waits for this one


def part_states(order: Order, attempts: Sequence[Attempt], generation: int | None = None) -> list[PartState]:
    """The state of each part in a generation, the present one if None: the best of all its attempts."""
    wanted = order.generation if generation is None else generation
    states = [PartState.QUEUED] * order.parts
    for attempt in attempts:
        if (
            attempt.generation == wanted
            and attempt.part < order.parts
            and PART_RANK[attempt.state] > PART_RANK[states[attempt.part]]
        ):
            states[attempt.part] = attempt.state
    return states


def pending_parts(order: Order, attempts: Sequence[Attempt]) -> list[int]:
    """The parts that may still be handed to the network: the guard against sending anything twice."""
    states = part_states(order, attempts)
    unknown = [0] * order.parts
    for attempt in attempts:
        if attempt.generation == order.generation and attempt.state is PartState.UNKNOWN:
            unknown[attempt.part] += 1
    return [
        index
        for index, state in enumerate(states)
        if state in (PartState.QUEUED, PartState.NOT_SENT)
        or (state is PartState.UNKNOWN and unknown[index] <= order.resends)
    ]


def begin(
    tx: Transaction,
    seq: int,
    part: int,
    modem: str,
    sim: str,
    first: bool,
    now: int,
    settings: CoreSettings,
    route: str = MODEMS,
) -> Begun:
    """Commit that `part` is now being sent, unless it may not be. `first`: the job has sent nothing yet."""
    order = tx.order(seq)
    if order is None or order.stage not in (Stage.READY, Stage.BUSY):
        return Begun(None)
    attempts = tx.attempts(seq)
    if first and order.stage is Stage.BUSY:
        # Begun by a commit whose success was never learnt, because the disk failed: it may have been written.
        return Begun(None, settle(tx, order, NOBODY, now, settings))
    if not first and order.stage is Stage.READY:
        return Begun(None, _as_it_is(order, attempts, now))
    if part not in pending_parts(order, attempts):
        return Begun(None, settle(tx, order, NOBODY, now, settings))
    touched = any(a.state in POSSIBLY_SENT and a.generation == order.generation for a in attempts)
    if order.deadline is not None and now >= order.deadline + (MIDWAY_GRACE_MS if touched else 0):
        _give_up(tx, order, attempts, now, EXPIRED)
        return Begun(None, Verdict(order, over=True))
    if first:
        _take_up(tx, order, modem, sim, now, route)
    n = attempts[-1].n + 1 if attempts else 1
    sending, own = PartState.SENDING, modem if route == MODEMS else ""
    tx.add_attempt(
        Attempt(seq, n, order.generation, part, order.attempt, sending, own, sim, order.to, now, route=route)
    )
    return Begun(order)


def record(tx: Transaction, outcome: Outcome, others: Others, now: int, settings: CoreSettings) -> Verdict | None:
    """Commit what came of a part; None when the order is gone."""
    order = tx.order(outcome.order_seq)
    if order is None:
        return None
    attempts = tx.attempts(order.seq, outcome.generation)
    current = _latest(attempts, outcome.part)
    result = outcome.result
    if current is None:
        return Verdict(order, over=True)
    state = _state_of(result, resent=order.resends > 0)
    moved = part_may_move(current.state, state)
    if moved:
        current.state = state
        current.ended_at = now
        if result.mr is not None:
            current.mr = result.mr
        if result.error is not None and state is not PartState.SENT:
            current.error_code, current.error_text = result.error.code, result.error.text
        if outcome.message_id is not None:
            current.message_id = outcome.message_id
        if state is PartState.SENT and order.delivery_report:
            match_orphans(tx, current)
            if current.message_id is not None and tx.has_orphan_receipts(now - receipts.HELD_MS):
                receipts.match_orphans(tx, current, settings)
        tx.save_attempt(current)
    if order.stage is Stage.DONE or outcome.generation != order.generation:
        # A late result for what was settled already: it may only make the order surer.
        refresh(tx, order, now)
        return _as_it_is(order, tx.attempts(order.seq, order.generation), now)
    if not moved:
        return _as_it_is(order, attempts, now)
    if any(a.state is PartState.SENDING for a in attempts):
        return Verdict(order, over=False)  # a late result, while a further part is on its way
    if state is PartState.NOT_SENT:
        return _not_sent(tx, order, attempts, result.error, outcome, others, now, settings)
    if outcome.whole:
        failed = _failed_part(order, attempts)
        if failed is not None:
            return _not_sent(tx, order, attempts, failed, outcome, others, now, settings)
    elif _has_next(order, attempts, outcome.part):
        return Verdict(order, over=False)
    return _complete(tx, order, attempts, outcome.modem, others, now, settings)


def settle(tx: Transaction, order: Order, others: Others, now: int, settings: CoreSettings) -> Verdict:
    """Put an order that a modem had begun with, and left, where it belongs: its rest waits for its SIM.

    What was `sending` may have been sent and is `unknown`, never queued again by itself (domain E3.2).
    """
    attempts = tx.attempts(order.seq, order.generation)
    for attempt in attempts:
        if attempt.state is PartState.SENDING:
            attempt.state = PartState.UNKNOWN
            attempt.ended_at = now
            attempt.error_code, attempt.error_text = RESTARTED.code, RESTARTED.text
            tx.save_attempt(attempt)
    if not pending_parts(order, attempts):
        return _complete(tx, order, attempts, order.modem or "", others, now, settings)
    return _requeue(tx, order, attempts, Retry(0.0, False, False), None, now, settings)


def recover(tx: Transaction, now: int, settings: CoreSettings) -> int:
    """After a start: settle what modems had begun with; returns how many orders those were."""
    busy = tx.orders_busy()
    for order in busy:
        settle(tx, order, SOMEBODY, now, settings)  # which modems there are is not known yet
    return len(busy)


def refresh(tx: Transaction, order: Order, now: int) -> bool:
    """Move an order on where its parts have become surer; True when it moved."""
    if order.stage is Stage.BUSY or order.state not in (OrderState.SENDING, OrderState.SENT, OrderState.UNKNOWN):
        return False  # while a modem works on it, the end of that work looks at all parts
    attempts = tx.attempts(order.seq)
    state, error = _aggregate(order, attempts)
    if order.stage is Stage.READY:
        if state not in (OrderState.SENT, OrderState.DELIVERED):
            return False
        _finish(tx, order, attempts, now, None)  # it need not be tried again
        return True
    if not may_move(order.state, state):
        return False
    order.parts_sent = sum(s in HANDED_OVER for s in part_states(order, attempts))
    tx.emit(OutboxKind.STATUS, status_json(move(order, state, now, error)))
    tx.save_order(order)
    return True


def finalise(tx: Transaction, order: Order, now: int, error: StatusError) -> None:
    """End an order that waits: nothing more will be sent of it."""
    _give_up(tx, order, tx.attempts(order.seq, order.generation), now, error)


def _take_up(tx: Transaction, order: Order, modem: str, sim: str, now: int, route: str) -> None:
    """A modem or another route begins with the order, for the first time or once more."""
    order.sim, order.stage = sim, Stage.BUSY
    order.modem, order.route = (modem, None) if route == MODEMS else (None, route)
    order.not_before = order.bound_until = None
    if order.state is OrderState.QUEUED:
        tx.emit(OutboxKind.STATUS, status_json(move(order, OrderState.SENDING, now)))
    elif order.state is OrderState.SENDING:
        order.state_at = now
        tx.emit(OutboxKind.STATUS, status_json(status_of(order)))
    tx.save_order(order)


def _state_of(result: SendResult, *, resent: bool) -> PartState:
    error = result.error
    if result.outcome is SendOutcome.NOT_SENT and error and error.action is Action.TREAT_AS_SENT and resent:
        return PartState.SENT  # the SC has it already and refused the duplicate (CMS 197, domain E3.4)
    return _OUTCOMES[result.outcome]


def _latest(attempts: Sequence[Attempt], part: int) -> Attempt | None:
    for attempt in reversed(attempts):
        if attempt.part == part:
            return attempt
    return None


def _failed_part(order: Order, attempts: Sequence[Attempt]) -> SendError | None:
    """Of a message whose parts were handed over all at once: why one of them, at least, was not taken."""
    pending = pending_parts(order, attempts)
    for attempt in reversed(attempts):
        if attempt.part in pending and attempt.state is PartState.NOT_SENT:
            code, text = attempt.error_code or "failed", attempt.error_text or ""
            return SendError(code, text, Action.RETRY_SAME)
    return None


def _has_next(order: Order, attempts: Sequence[Attempt], part: int) -> bool:
    return any(index > part for index in pending_parts(order, attempts))


def _not_sent(
    tx: Transaction,
    order: Order,
    attempts: Sequence[Attempt],
    error: SendError | None,
    outcome: Outcome,
    others: Others,
    now: int,
    settings: CoreSettings,
) -> Verdict:
    states = part_states(order, attempts)
    touched = any(s in POSSIBLY_SENT for s in states)
    who, route = outcome.modem, outcome.route
    more = route == MODEMS and bool(others.modems)
    retry = decide(order, error, settings, modem=who, others=more, bound=touched)
    if not touched and is_exhausted(order, error, retry, who, route, others):
        left = without(plan_lane(order), route)
        # Rather this route once more than one that is down.
        if left is not None and (retry is None or others.routes.intersection(routes_of(left))):
            return _move_on(tx, order, left, attempts)
    if retry is not None:
        return _requeue(tx, order, attempts, retry, who, now, settings)
    code, text = (error.code, error.text) if error else ("failed", "the modem did not take it")
    transient = error is None or error.action in (Action.RETRY_SAME, Action.RETRY_OTHER)
    _give_up(tx, order, attempts, now, StatusError(code, text, transient))
    return Verdict(order, over=True)


def _move_on(tx: Transaction, order: Order, lane: str, attempts: Sequence[Attempt]) -> Verdict:
    """The next routes of its plan try it, from the beginning and at once."""
    order.stage = Stage.READY
    order.lane = lane
    order.parts_sent = 0
    order.not_before = order.bound_until = None
    order.attempt += 1
    order.failures = 0
    order.excluded = ""
    tx.save_order(order)
    return Verdict(order, over=True, delay=0.0, pending=tuple(pending_parts(order, attempts)))


def _requeue(
    tx: Transaction,
    order: Order,
    attempts: Sequence[Attempt],
    retry: Retry,
    modem: str | None,
    now: int,
    settings: CoreSettings,
) -> Verdict:
    states = part_states(order, attempts)
    touched = any(s in POSSIBLY_SENT for s in states)
    delay_ms = int(retry.delay * 1000)
    order.stage = Stage.READY
    order.parts_sent = sum(s in HANDED_OVER for s in states)
    order.lane = lane_of_sim(order.sim) if touched and order.sim else plan_lane(order)
    order.bound_until = now + delay_ms + int(settings.bound_wait * 1000) if touched else None
    order.not_before = now + delay_ms if delay_ms and not retry.elsewhere else None
    order.attempt += 1
    if retry.counts:
        order.failures += 1
    blocked = None
    if retry.elsewhere and modem is not None:
        blocked = modem
        if retry.counts and modem not in order.excluded.split():
            order.excluded = f"{order.excluded} {modem}".strip()
        tx.avoid(order.seq, modem, now + delay_ms)
    tx.save_order(order)
    pending = tuple(pending_parts(order, attempts))
    return Verdict(order, over=True, delay=retry.delay, blocked=blocked, pending=pending)


def _complete(
    tx: Transaction,
    order: Order,
    attempts: Sequence[Attempt],
    modem: str,
    others: Others,
    now: int,
    settings: CoreSettings,
) -> Verdict:
    """All parts have been handed over or are of unknown fate, or the rest must not be sent."""
    states = part_states(order, attempts)
    if PartState.UNKNOWN in states:
        again = _unknown_policy(tx, order, attempts, modem, others, now, settings)
        if again is not None:
            return again
    _finish(tx, order, attempts, now, None)
    return Verdict(order, over=True)


def _unknown_policy(
    tx: Transaction,
    order: Order,
    attempts: Sequence[Attempt],
    modem: str,
    others: Others,
    now: int,
    settings: CoreSettings,
) -> Verdict | None:
    if order.on_unknown is OnUnknown.HOLD or order.failures + 1 >= settings.max_attempts:
        return None
    if order.on_unknown is OnUnknown.RESEND:
        delay = min(settings.retry_base * 2**order.failures, settings.retry_cap)
        order.resends += 1
        return _requeue(tx, order, attempts, Retry(delay, False, True), modem, now, settings)
    route = order.route or MODEMS
    if route == MODEMS and others.modems:
        order.generation += 1
        order.resends = 0
        return _requeue(tx, order, (), Retry(settings.bound_wait, True, True), modem, now, settings)
    left = without(plan_lane(order), route) if is_plan(plan_lane(order)) else None
    if left is None:
        return None
    order.generation += 1
    order.resends = 0
    return _move_on(tx, order, left, ())


def _give_up(tx: Transaction, order: Order, attempts: Sequence[Attempt], now: int, error: StatusError) -> None:
    """Nothing more will be sent of it: expired or failed when that is sure, else what its parts say."""
    if order.generation:
        attempts = tx.attempts(order.seq)
    if any(a.state in POSSIBLY_SENT for a in attempts):
        _finish(tx, order, attempts, now, error)
        return
    _leave_queue(order)
    to = OrderState.EXPIRED if error.code == "expired" else OrderState.FAILED
    if may_move(order.state, to):
        tx.emit(OutboxKind.STATUS, status_json(move(order, to, now, error)))
    tx.save_order(order)


def _finish(tx: Transaction, order: Order, attempts: Sequence[Attempt], now: int, error: StatusError | None) -> None:
    if order.generation:
        attempts = tx.attempts(order.seq)
    _leave_queue(order)
    states = part_states(order, attempts)
    order.parts_sent = sum(s in HANDED_OVER for s in states)
    state, found = _aggregate(order, attempts)
    if (
        order.state is OrderState.SENDING
        and state in (OrderState.DELIVERED, OrderState.FAILED)
        and all(s in HANDED_OVER for s in states)
    ):
        # Reports overtook the results: that all was sent is said first.
        tx.emit(OutboxKind.STATUS, status_json(move(order, OrderState.SENT, now)))
    if may_move(order.state, state):
        cause = (error or found) if state in (OrderState.FAILED, OrderState.UNKNOWN) else None
        tx.emit(OutboxKind.STATUS, status_json(move(order, state, now, cause)))
    tx.save_order(order)


def _leave_queue(order: Order) -> None:
    order.stage = Stage.DONE
    order.lane = home_lane(order)
    order.not_before = order.bound_until = None


def _aggregate(order: Order, attempts: Sequence[Attempt]) -> tuple[OrderState, StatusError | None]:
    """What is known of the message: the best of what any of its generations says."""
    verdicts = [
        _aggregate_parts(part_states(order, attempts, g), [a for a in attempts if a.generation == g])
        for g in range(order.generation + 1)
    ]
    return max(verdicts, key=lambda verdict: _CERTAINTY[verdict[0]])


def _aggregate_parts(states: Sequence[PartState], own: Sequence[Attempt]) -> tuple[OrderState, StatusError | None]:
    """What the parts of one generation together say (domain A7.6, E3.6)."""
    if PartState.UNKNOWN in states or PartState.SENDING in states:
        return OrderState.UNKNOWN, _error_of(own, PartState.UNKNOWN)
    if PartState.QUEUED in states or PartState.NOT_SENT in states:
        return OrderState.FAILED, _error_of(own, PartState.NOT_SENT)
    if PartState.UNDELIVERED in states:
        return OrderState.FAILED, _error_of(own, PartState.UNDELIVERED)
    if all(s is PartState.DELIVERED for s in states):
        return OrderState.DELIVERED, None
    return OrderState.SENT, None


def _error_of(attempts: Sequence[Attempt], state: PartState) -> StatusError | None:
    for attempt in reversed(attempts):
        if attempt.state is state and attempt.error_code is not None:
            return StatusError(attempt.error_code, attempt.error_text or "")
    return None


def _as_it_is(order: Order, attempts: Sequence[Attempt], now: int) -> Verdict:
    """The verdict for an order that nothing is to be changed of."""
    if order.stage is not Stage.READY:
        return Verdict(order, over=order.stage is Stage.DONE)
    delay = max(0, (order.not_before or now) - now) / 1000
    return Verdict(order, over=True, delay=delay, pending=tuple(pending_parts(order, attempts)))
