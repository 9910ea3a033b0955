"""The core's face to the edges: orders in, received messages in, timers, questions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from hardware.pdu import Deliver
from hardware.types import ReceivedPdu
from sms_bridge.core import (
    arrivals,
    details,
    escalation,
    inbound,
    replies,
    resending,
    retention,
    sending,
    submission,
    timekeeping,
)
from sms_bridge.core.brakes import Tally
from sms_bridge.core.clock import JUMP, SET_AFTER, STEP, Clock, SystemClock, from_ms, rfc3339
from sms_bridge.core.dispatcher import Dispatcher
from sms_bridge.core.errors import NumberError, StoreError
from sms_bridge.core.events import event_json, rejection_event, status_json
from sms_bridge.core.guarding import Guard
from sms_bridge.core.model import (
    Accepted,
    InboundMessage,
    InboxPage,
    Order,
    OutboxKind,
    Receipt,
    Rejected,
    Rejection,
    SendRequest,
    StatusError,
)
from sms_bridge.core.moves import move
from sms_bridge.core.numbers import ContactBook, DictContactBook, expand, normal_sender
from sms_bridge.core.plan import Facts
from sms_bridge.core.planning import Planning, leave_modems, put_anew, replan
from sms_bridge.core.ports import Journal, Transaction
from sms_bridge.core.settings import CoreSettings
from sms_bridge.core.states import POSSIBLY_SENT, OrderState, Stage
from sms_bridge.core.talk import Listener, Talk
from sms_bridge.core.talking import Talking

log = logging.getLogger(__name__)

TICK_LIMIT = 200  # rows that one tick works on; the next goes on
RECHECK = 30.0  # seconds after which due times are looked up whatever is thought to be known
PURGE_EVERY = 60.0  # seconds
PURGE_LIMIT = 200  # rows of each table in one go


class Service:
    """Everything that MQTT, the shell and the modems ask of the core."""

    def __init__(
        self,
        journal: Journal,
        dispatcher: Dispatcher,
        settings: CoreSettings | None = None,
        clock: Clock | None = None,
        *,
        contacts: ContactBook | None = None,
        knows_modem: Callable[[str], bool] = lambda name: True,
        own_number: Callable[[str], str | None] = lambda modem: None,
        clock_changed: Callable[[int], None] = lambda by: None,
        recognise: Callable[[str | None], str | None] = lambda text: None,
        guard: Guard | None = None,
        listener: Listener | None = None,
        own_numbers: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._journal = journal
        self._dispatcher = dispatcher
        self._settings = settings or CoreSettings()
        self._clock = clock or SystemClock()
        self._book = contacts or DictContactBook(
            self._settings.contacts, self._settings.groups, self._settings.default_region
        )
        self._own_book = contacts is None
        self._knows_modem = knows_modem
        self._own_number = own_number
        self._planning = Planning(dispatcher, self._clock.now)
        self._clock_changed = clock_changed  # told by how many ms
        self._guard = guard
        self._recognise = recognise  # the nonce of a self-test's message
        self._talking = Talking(
            journal,
            prepare=self._prepare,
            view=lambda: (self._settings, self._book),
            ordered=self._ordered,
            listener=listener,
            own_numbers=own_numbers,
        )
        self._next_due = 0  # UTC ms; nothing falls due before
        self._checked = -RECHECK
        self._purged = 0.0
        self._steady_since = self._clock.monotonic()  # or longer: the clock has not jumped since
        self._born = self._clock.monotonic()
        self._ran = 0  # ms that the bridge had run in all, before this process

    def warnings(self) -> list[str]:
        """What a person should know of a bridge that works, as sentences."""
        now = self._clock.now()
        if now >= SET_AFTER:
            return []
        shown = from_ms(now).strftime("%Y-%m-%d %H:%M")
        return [f"the clock of this computer is not set, it says {shown} UTC: check its network time"]

    def adopt(self, settings: CoreSettings) -> None:
        """These hold from now on: for the next order, the next message, the next tick."""
        self._settings = settings
        if self._own_book:
            self._book = DictContactBook(settings.contacts, settings.groups, settings.default_region)

    async def start(self) -> None:
        """Put in order what the last process left; before the first claim. StoreError: try again."""
        reading, settings = timekeeping.Reading.of(self._clock), self._settings
        followed, orders, self._ran = await self._journal.write(lambda tx: _recover(tx, reading, settings))
        if followed.by:
            log.warning("the clock has changed by %d s since the bridge ran last", followed.by // 1000)
        for warning in self.warnings():
            log.warning("%s", warning)
        if orders:
            log.warning("%d orders were being sent when the bridge ended", orders)
        await self._journal.read(lambda reader: self._dispatcher.policy.load(reader, reading.now))
        await self._plan_anew(reading.now)
        self._dispatcher.routes.started()

    async def submit(self, batch: Sequence[SendRequest]) -> list[Accepted | Rejected]:
        """Check and commit a batch of orders in one go; statuses are in the outbox when this returns.

        StoreError: nothing was committed, so nothing may be acknowledged.
        """
        now = self._clock.now()
        tally = Tally()
        prepared = [self._prepare(request, now, tally) for request in batch]
        results, ready = await self._journal.write(lambda tx: submission.store(tx, prepared, now))
        for item in prepared:
            for order in item.orders:
                if not order.seq:
                    break  # known before
                if order.stage is Stage.READY:
                    ready.append(order)
                self._note_due(order.send_at, order.deadline)
            self._count(item.orders)
            if item.orders and item.orders[0].seq:
                self._note_due(self._talking.accepted(item.request, now))
        if ready:
            self._dispatcher.offer(ready)
        return results

    async def _plan_anew(self, now: int) -> None:
        """Orders whose routes are not there any more, or that were taken before there was a choice."""
        lanes = list(await self._journal.read(lambda reader: reader.queues()))
        planner = self._planning.replanner
        for lane in self._planning.stale(lanes):
            after: tuple[int, int] | None = None
            while True:
                step = partial(replan, lane=lane, after=after, planner=planner, now=now)
                after = await self._journal.write(step)
                if after is None:
                    break
        self._dispatcher.learn_lanes(await self._journal.read(lambda reader: reader.queues()))

    async def reject(self, rejection: Rejection) -> None:
        """Publish a `rejected` status for input that never became a request."""
        payload = status_json(rejection_event(rejection, self._clock.now()))
        await self._journal.write(lambda tx: tx.emit(OutboxKind.STATUS, payload))

    async def receive(self, batch: list[ReceivedPdu]) -> None:
        """Commit what modems received: messages, reports, what cannot be understood. StoreError: nothing was."""
        if not batch:
            return
        items = [
            inbound.prepare(pdu, self._settings, self._book, self._own_number(pdu.modem), self._recognise)
            for pdu in batch
        ]
        now = self._clock.now()
        try:
            due, moved, said = await self._journal.write(lambda tx: self._store(tx, items, now))
        except StoreError:
            raise
        except Exception:
            log.exception("a batch of received messages could not be stored as it is; they are stored one by one")
            await self._receive_singly(items, now)
        else:
            self._stored(items, due, moved, said)

    def _store(
        self, tx: Transaction, items: list[inbound.Incoming], now: int, hear: bool = True
    ) -> tuple[int | None, list[int], list[Order]]:
        talk = self._talking.talk(tx, now)
        due, moved = inbound.store(tx, items, now, self._settings, self._talking.ear(talk, hear))
        return due, moved, talk.orders

    def _stored(self, items: list[inbound.Incoming], due: int | None, moved: list[int], said: list[Order]) -> None:
        self._note_due(due)
        self._dispatcher.forget(moved)  # one that waited for a second try needs none now
        for item in items:
            if isinstance(item.pdu.pdu, Deliver):
                self._heard(item.scope, inbound.sender_of(item))
        self._talking.ordered(said)

    async def receive_receipts(self, batch: Sequence[Receipt]) -> None:
        """Commit delivery receipts of routes, in any order and number of copies. StoreError: nothing was committed."""
        if batch:
            now, settings = self._clock.now(), self._settings
            moved = await self._journal.write(lambda tx: arrivals.store_receipts(tx, batch, now, settings))
            self._dispatcher.forget(moved)

    async def receive_messages(self, batch: Sequence[InboundMessage]) -> None:
        """Commit what routes received, each message once. StoreError: nothing was committed."""
        if not batch:
            return
        now, settings, book = self._clock.now(), self._settings, self._book

        def store(tx: Transaction, hear: bool = True) -> tuple[int | None, list[InboundMessage], list[Order]]:
            talk = self._talking.talk(tx, now)
            due, fresh = arrivals.store(tx, batch, now, settings, book, self._talking.ear(talk, hear))
            return due, fresh, talk.orders

        try:
            due, fresh, said = await self._journal.write(store)
        except StoreError:
            raise
        except Exception:
            log.exception("what follows from messages could not be done: they are published as they are")
            due, fresh, said = await self._journal.write(partial(store, hear=False))
        self._note_due(due)
        for message in fresh:
            self._heard(message.route, arrivals.sender_of(message, settings.default_region))
        self._talking.ordered(said)

    async def _receive_singly(self, items: list[inbound.Incoming], now: int) -> None:
        """Whatever one message does to us, it must not hold up the others, nor stay on the SIM for ever."""
        for item in items:
            for hear in (True, False):
                try:
                    due, moved, said = await self._journal.write(partial(self._store, items=[item], now=now, hear=hear))
                    self._stored([item], due, moved, said)
                    break
                except StoreError:
                    raise
                except Exception as error:
                    reason = f"it could not be processed: {type(error).__name__}"
            else:
                await self._journal.write(partial(inbound.set_aside, item=item, reason=reason, now=now))

    async def store(self, batch: list[ReceivedPdu]) -> None:
        """The modems' `InboundSink`."""
        await self.receive(batch)

    async def cancel(self, id: str) -> tuple[list[dict[str, Any]], int]:
        """Cancel what has not been begun of this id; the statuses after that, and how many orders this ended.

        No statuses: no such id.
        """
        now = self._clock.now()
        orders, cancelled, steps = await self._journal.write(lambda tx: _cancel(self._talking.talk(tx, now), id))
        self._dispatcher.forget(cancelled)
        return [details.status_of_order(order) for order in orders], len(cancelled) + steps

    async def resend(self, id: str, route: str | None = None) -> tuple[int, list[str]]:
        """A person decides that orders of unknown fate, or that failed, be sent once more.

        (How many of unknown fate go again, the ids of new orders for those that failed.) `route` is the one to take,
        AUTO any; None: as the order said. RouteError: it cannot take them, and nothing is changed.
        """
        now, planner = self._clock.now(), self._planning.replanner
        again, anew = await self._journal.write(lambda tx: resending.resend(tx, id, now, planner, route))
        for order in again:
            self._dispatcher.reconsider(order, None)
        self._dispatcher.offer(anew)
        return len(again), [order.id for order in anew]

    async def remove_modem(self, name: str) -> int:
        """End the orders that only this modem could have sent, as it will not come back; how many those were."""
        now, count = self._clock.now(), 0
        while gone := await self._journal.write(lambda tx: _remove_modem(tx, name, now)):
            self._dispatcher.forget(gone)
            count += len(gone)
        return count

    async def get(self, id: str) -> list[dict[str, Any]]:
        """The statuses of all orders of this id, with every attempt. Empty: no such id."""
        return await self._journal.read(lambda reader: details.of_id(reader, id))

    def explain(self, to: str, parts: int) -> list[dict[str, Any]]:
        """Which of the modems in service would send `parts` to `to` (as in orders), and why not the others.

        NumberError: there is no such recipient, or it is a group.
        """
        return self._dispatcher.explain(self._sole(to), parts)

    def plan(self, to: str, parts: int, **facts: Any) -> dict[str, Any]:
        """The routes that a message to `to` would take, and why not the others; `facts` as in `plan.Facts`.

        NumberError as in `explain`.
        """
        return self._planning.explain(Facts(self._sole(to), parts, **facts))

    def routes(self) -> list[dict[str, Any]]:
        """How each route is, for `sms/bridge/health`."""
        return self._dispatcher.routes.figures()

    def _sole(self, to: str) -> str:
        numbers = expand(to, self._settings.default_region, self._book)
        if len(numbers) != 1:
            raise NumberError("group", f"{to} has {len(numbers)} members: ask for one of them")
        return numbers[0]

    async def inbox(self, limit: int = 50, before: int | None = None) -> InboxPage:
        """Received messages, newest first; `before` is what the page before named as its `next`."""
        found = await self._journal.read(lambda reader: reader.inbox(limit + 1, before))
        page = found[:limit]
        return InboxPage([each.payload for each in page], page[-1].seq if len(found) > limit else None)

    def caller(self, number: object) -> dict[str, str | None]:
        """Who calls, as a received message tells its sender: `number` in the bridge's form, `contact`."""
        if not isinstance(number, str):
            return {"number": None, "contact": None}
        normal = normal_sender(number, self._settings.default_region)
        return {"number": normal, "contact": self._book.name_of(normal)}

    async def event(self, name: str, **data: Any) -> None:
        """Put a line for `sms/bridge/event` into the outbox, durably."""
        payload = event_json(name, self._clock.now(), data)
        await self._journal.write(lambda tx: tx.emit(OutboxKind.EVENT, payload))

    async def tick(self) -> None:
        """Do what has fallen due; cheap when nothing has. Call it about once a second."""
        await self._keep_time()
        monotonic, now = self._clock.monotonic(), self._clock.now()
        if now >= self._next_due or monotonic - self._checked >= RECHECK:
            await self._run_due(now)
            self._checked = monotonic
        if await self._talking.look(now):
            self._next_due = 0
        self._dispatcher.keep_counts()
        self._dispatcher.look_again()
        beyond = [order.seq for order in self._dispatcher.beyond_modems()]
        if beyond:
            moved = await self._journal.write(lambda tx: leave_modems(tx, beyond))
            for order in moved:
                self._dispatcher.moved(order)
        for change in self._dispatcher.routes.take_news():
            name = "route_up" if change.up else "route_down"
            log.warning("the route %s is %s%s", change.route, name[6:], f": {change.reason}" if change.reason else "")
            await self.event(name, route=change.route, reason=change.reason)
        for modem, full in self._dispatcher.policy.take_news():
            log.warning("%s: %s until %s", modem.name, full.sentence, rfc3339(full.until))
            await self.event(
                "quota_reached",
                modem=modem.name,
                iccid=modem.iccid,
                window=full.window,
                limit=full.limit,
                until=rfc3339(full.until),
            )
        if monotonic - self._purged >= PURGE_EVERY:
            self._purged = monotonic
            self._purge(now)

    async def _keep_time(self) -> None:
        """Follow the machine's clock: small corrections as they come, a jump together with all that it concerns."""
        by = self._clock.astray()
        self._clock.adopt(by)
        if abs(by) < STEP:
            return
        # No step of the loop between the jump and its transaction: all that was stamped before it is moved by it.
        reading, settings = timekeeping.Reading.of(self._clock), self._settings
        try:
            followed = await self._journal.write(lambda tx: timekeeping.follow(tx, reading, settings))
        except BaseException:
            self._clock.adopt(-by)  # it is tried again with the next tick, on the old time until then
            raise
        if abs(by) <= JUMP:
            return
        log.warning("the clock was changed by %d s, to %s", by // 1000, rfc3339(reading.now))
        self._next_due = 0
        self._steady_since = self._clock.monotonic()
        self._dispatcher.redate(followed.deadlines)
        self._clock_changed(by)

    async def _run_due(self, now: int) -> None:
        due = await self._journal.read(lambda reader: reader.next_due())
        if due is not None and due <= now:
            planning, planner = self._planning, self._planning.replanner
            ready, over = await self._journal.write(lambda tx: _due(tx, now, planning, planner))
            self._dispatcher.forget(over)
            self._dispatcher.offer(ready)
            await self._talking.escalate(now)
            # Apart, so that no stored message can hold up the orders.
            await self._expire(now)
            due = await self._journal.read(lambda reader: reader.next_due())
        self._next_due = due if due is not None else 2**62

    def _prepare(self, request: SendRequest, now: int, tally: Tally | None = None) -> submission.Prepared:
        guard, planner = self._guard, self._planning.planner
        return submission.prepare(
            request, now, self._settings, self._book, self._knows_modem, guard, tally, planner=planner
        )

    def _count(self, orders: Sequence[Order]) -> None:
        """Those of them that were accepted, and are new."""
        if self._guard is not None and orders:
            self._guard.count([order for order in orders if order.seq])

    def _heard(self, scope: str, number: str) -> None:
        self._dispatcher.heard_from(scope, number)
        if self._guard is not None:
            self._guard.heard(number)

    async def _expire(self, now: int) -> None:
        """Messages that wait for their parts, and questions for an answer, for long enough."""

        def expire(tx: Transaction, hear: bool = True) -> list[Order]:
            talk = self._talking.talk(tx, now)
            listen = self._talking.ear(talk, hear)
            inbound.expire(tx, now, self._settings, self._book, self._own_number, TICK_LIMIT, listen)
            replies.expire(talk, TICK_LIMIT)
            return talk.orders

        try:
            orders = await self._journal.write(expire)
        except StoreError:
            raise
        except Exception:
            log.exception("what follows from a message could not be done: it is published as it is")
            orders = await self._journal.write(partial(expire, hear=False))
        self._talking.ordered(orders)

    def _purge(self, now: int) -> None:
        settings = self._settings
        monotonic = self._clock.monotonic()
        age = retention.Age(
            ran=self._ran + int((monotonic - self._born) * 1000),
            now=now if monotonic - self._steady_since >= retention.STEADY else None,
        )

        def purge(tx: Transaction) -> None:
            # A full batch says that there is more: go on with the next commits, not in this one.
            if retention.purge(tx, settings, age, PURGE_LIMIT) >= PURGE_LIMIT:
                self._purged = 0.0

        self._journal.later(purge)

    def _ordered(self, orders: Sequence[Order]) -> None:
        self._count(orders)
        for order in orders:
            self._note_due(order.send_at, order.deadline)
        self._dispatcher.offer([order for order in orders if order.stage is Stage.READY])

    def _note_due(self, *times: int | None) -> None:
        for time in times:
            if time is not None and time < self._next_due:
                self._next_due = time


def _recover(
    tx: Transaction, reading: timekeeping.Reading, settings: CoreSettings
) -> tuple[timekeeping.Followed, int, int]:
    followed = timekeeping.follow(tx, reading, settings)
    orders = sending.recover(tx, reading.now, settings)
    if orders:
        tx.emit(OutboxKind.EVENT, event_json("recovery", reading.now, {"orders": orders}))
    return followed, orders, tx.ran()


def _due(tx: Transaction, now: int, planning: Planning, planner: submission.Planner) -> tuple[list[Order], list[int]]:
    """Orders that became ready, and those that ended."""
    ready: list[Order] = []
    over: list[int] = []
    for order in tx.orders_due(now, TICK_LIMIT):
        grace = sending.MIDWAY_GRACE_MS if order.bound_until is not None else 0
        if order.deadline is not None and order.deadline + grace <= now:
            sending.finalise(tx, order, now, sending.EXPIRED)
        elif order.bound_until is not None and order.bound_until <= now:
            sending.finalise(tx, order, now, sending.INCOMPLETE)
        elif order.stage is Stage.HELD:
            order.stage = Stage.READY
            tx.emit(OutboxKind.STATUS, status_json(move(order, OrderState.QUEUED, now)))
            tx.save_order(order)
            if planning.fits(order.lane) or put_anew(tx, order, planner, now):
                tx.start_steps(order.seq, now)
                ready.append(order)
            continue
        else:
            continue  # half-sent, and still within the grace after its deadline
        over.append(order.seq)
    return ready, over


def _cancel(talk: Talk, id: str) -> tuple[list[Order], list[int], int]:
    """The orders of this id, those that were cancelled, those of its steps included, and how many steps were."""
    orders = talk.tx.orders_of(id)
    if not orders:
        return [], [], 0
    steps = escalation.end(talk, id)
    made = escalation.made_by(talk.tx, orders[0].seq)
    family = [*orders, *(order for step in made for order in talk.tx.orders_of(step))]
    cancelled = _cancel_orders(talk.tx, family, talk.now)
    if steps or cancelled:
        replies.cancel(talk, family)
    return orders, cancelled, steps


def _cancel_orders(tx: Transaction, orders: Sequence[Order], now: int) -> list[int]:
    cancelled = []
    for order in orders:
        if order.stage not in (Stage.HELD, Stage.READY) or order.state is OrderState.UNKNOWN:
            continue
        if order.attempt > 1 and any(a.state in POSSIBLY_SENT for a in tx.attempts(order.seq)):
            continue
        order.stage = Stage.DONE
        error = StatusError("cancelled", "cancelled on request")
        tx.emit(OutboxKind.STATUS, status_json(move(order, OrderState.CANCELLED, now, error)))
        tx.save_order(order)
        cancelled.append(order.seq)
    return cancelled


def _remove_modem(tx: Transaction, name: str, now: int) -> list[int]:
    orders = tx.orders_for(name, TICK_LIMIT)
    error = StatusError("modem_removed", f"it was to be sent by {name}, which was removed")
    for order in orders:
        sending.finalise(tx, order, now, error)
    return [order.seq for order in orders]
