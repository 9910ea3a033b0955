"""One account's worker between dispatcher and message centre.

Nothing is written before "this is being sent" is committed. Orders are claimed, and what came of others is recorded, in
one transaction for all that has gathered meanwhile; a few more than there is room for are begun while the centre
answers, so that each answer is followed by the next submit at once (docs/adr/0008). What was begun and could not be
written is given back as surely not sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from hardware.types import Action, SendResult
from sms_bridge.core.clock import Clock
from sms_bridge.core.dispatcher import Dispatcher
from sms_bridge.core.errors import StoreError
from sms_bridge.core.model import ClaimantView, Finished, Job, Order
from sms_bridge.core.routing import Capabilities, RouteHealth
from sms_bridge.routes.smpp import pdu, submit
from sms_bridge.routes.smpp.account import Account, AccountSettings, Delivery, Link
from sms_bridge.routes.smpp.intake import Intake
from sms_bridge.routes.smpp.outcomes import OFFLINE, SENT, THROTTLED, not_sent, refused, together, unknown
from sms_bridge.routes.smpp.pace import Rate
from sms_bridge.routes.smpp.pdu import Message, PduError
from sms_bridge.routes.smpp.senders import NoSender, Sender, choose
from sms_bridge.routes.smpp.session import Answer
from sms_bridge.routes.smpp.status import OnSubmit, row_of
from sms_bridge.routes.smpp.submit import Style, Wanted

log = logging.getLogger(__name__)

STORE_RETRY = 2.0  # s between attempts to record while the disk is full or read-only
FAULT_PAUSE = 5.0  # s before work goes on after a defect of ours
LEAD = 0.005  # s that a commit takes, or more: what the centre answers in that time is begun before there is room
READY_PATIENCE = 5.0  # s that something begun waits for room, before it is given back as not sent
LOOK = 1.0  # s between looks at what waits
MOST_HELD = 50  # orders whose senders have used up their limit, before no more are claimed
MOST_AT_ONCE = 500  # orders in one transaction


@dataclass(frozen=True, slots=True)
class RouteSettings:
    """How an account is used."""

    account: AccountSettings
    style: Style = field(default_factory=Style)
    senders: tuple[Sender, ...] = ()
    vendor: Mapping[int, OnSubmit] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def name(self) -> str:
        return f"smpp:{self.account.name}"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            two_way=any(sender.answers for sender in self.senders) if self.senders else True,
            senders=tuple(sender.text for sender in self.senders),
            any_sender=not self.senders,
            throughput=self.account.rate,
        )


@dataclass(slots=True, eq=False)
class Unit:
    """One part of an order, or several that one PDU stands for; as many PDUs as it takes."""

    job: Job
    indexes: tuple[int, ...]
    messages: list[Message]
    results: list[SendResult | None]
    message_id: str | None = None
    bare: bool = False  # it is tried without what the centre did not like

    def outcome(self) -> SendResult | None:
        """None: something of it is under way."""
        done = [result for result in self.results if result is not None]
        if len(done) < len(self.results):
            return None
        return done[0] if len(done) == 1 else together(done)


Token = tuple[Unit, int]


class SmppRoute:
    """A `routes.base.Route`."""

    def __init__(
        self,
        settings: RouteSettings,
        dispatcher: Dispatcher,
        intake: Intake,
        clock: Clock,
        *,
        country_of: Callable[[str], str | None],
        known_number: Callable[[str], str | None],
        told: Callable[[Link, str], None],
        make_account: Callable[..., Account] = Account,
    ) -> None:
        """`known_number`: the number of ours that somebody wrote to last; `told`: how the account stands, in words."""
        self.settings = settings
        self.account = make_account(settings.account, self)
        self._dispatcher = dispatcher
        self._intake = intake
        self._clock = clock
        self._country_of = country_of
        self._known_number = known_number
        self._told = told
        self._view = ClaimantView(settings.name, route=settings.name)
        self._ready: deque[tuple[bytes, Token]] = deque()  # begun, and waiting for room
        self._ready_since = 0.0
        self._limits = {s.text: Rate(s.throughput) for s in settings.senders if s.throughput is not None}
        self._held: list[Job] = []  # claimed, while their senders have used up what they may
        self._finished: list[Finished] = []
        self._late: list[Finished] = []
        self._under_way = 0  # units that were begun and have no outcome
        self._wake = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._pace = Pace()

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def capabilities(self) -> Capabilities:
        return self.settings.capabilities

    def health(self) -> RouteHealth:
        """Whether it would take an order now."""
        if self._stopping:
            return RouteHealth(False, "the bridge is stopping")
        return RouteHealth(True) if self.account.is_up else RouteHealth(False, self.account.reason)

    def start(self) -> None:
        if self._task is None:
            self._intake.start()
            self.account.start()
            self._task = asyncio.create_task(self._run(), name=f"route-{self.name}")

    async def stop(self, grace: float) -> None:
        """Claim nothing more; wait for answers, unbind, record. Idempotent."""
        self._stopping = True
        task, self._task = self._task, None
        if task is None:
            return
        self._give_back("stopped", "the bridge was stopped before it was sent")
        await self.account.stop()  # bounded; whatever was not answered is told to be unknown by its end
        self._wake.set()
        done, _ = await asyncio.wait({task}, timeout=grace)
        if not done:
            log.warning("%s: what came of the last messages could not be recorded in time", self.name)
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        if self._watch is not None:
            self._watch.cancel()
        await self._intake.stop()

    # What the account tells.

    def answered(self, answers: list[Answer]) -> None:
        for answer in answers:
            self._answer(answer)
        self._pace.count(len(answers), asyncio.get_running_loop().time())
        if self._ready:
            self._write()
        self._wake.set()

    def late(self, answers: list[Answer]) -> None:
        """They make surer what stands as unknown."""
        for answer in answers:
            unit, place = answer.token
            unit.results[place] = self._result(unit, answer)
            if answer.status == 0 and answer.message_id:
                unit.message_id = answer.message_id
            outcome = unit.outcome()
            if outcome is not None:
                self._late += [Finished(unit.job, index, outcome, unit.message_id) for index in unit.indexes]
        self._wake.set()

    def received(self, deliveries: list[Delivery]) -> None:
        self._intake.take(deliveries)

    def ready(self) -> None:
        if self._ready:
            self._write()
        self._wake.set()

    def changed(self, link: Link, reason: str) -> None:
        if link is Link.BOUND:
            self._intake.bound()
        self._told(link, reason)
        self._wake.set()

    # The worker.

    async def _run(self) -> None:
        while True:
            try:
                if await self._step():
                    return
            except Exception:  # a defect of ours must not cost the account its worker
                log.exception("%s: its worker failed and goes on", self.name)
                await asyncio.sleep(FAULT_PAUSE)

    async def _step(self) -> bool:
        """One transaction, or one wait; True: it is time to stop and nothing is left to be recorded."""
        self._wake.clear()
        self._look()
        finished, self._finished = self._finished, []
        late, self._late = self._late, []
        units = [unit for job in self._claim() for unit in self._encode(job, finished)]
        if not (finished or late or units):
            if self._stopping and not self._under_way:
                return True
            await self._wait()
            return False
        self._under_way += len(units)
        record = self._dispatcher.finish_many([*finished, *late]) if finished or late else None
        begin = self._dispatcher.begin_many(list(dict.fromkeys(unit.job for unit in units))) if units else None
        if begin is not None:
            asked = asyncio.get_running_loop().time()
            try:
                allowed = await begin
            except StoreError as error:
                log.error("%s: nothing more is sent: %s", self.name, error)
                self._drop(units)
                for job in dict.fromkeys(unit.job for unit in units):
                    self._dispatcher.release(job)
                await asyncio.sleep(STORE_RETRY)
            else:
                self._pace.took(asyncio.get_running_loop().time() - asked)
                self._begun(units, allowed)
        if record is not None:
            try:
                await record
            except StoreError as error:
                log.error("%s: outcomes wait to be recorded: %s", self.name, error)
                self._finished[:0] = finished
                self._late[:0] = late
                await asyncio.sleep(STORE_RETRY)
        return False

    def _claim(self) -> list[Job]:
        held, self._held = self._held, []
        if self._stopping or not self.account.is_up:
            for job in held:
                self._dispatcher.release(job)
            return []
        limit = min(self._wanted() - len(held), MOST_AT_ONCE)
        if limit > 0 and len(held) < MOST_HELD:
            held += self._dispatcher.claim_many(self._view, limit)
        return held

    def _wanted(self) -> int:
        """How many orders to begin now: what there is room for, and what will have room in a moment."""
        if self._stopping or not self.account.is_up or len(self._held) >= MOST_HELD:
            return 0
        room = self.account.room
        ahead = min(self._pace.ahead(), self.account.window) if self.account.flows else 0
        return room + ahead - len(self._ready)

    async def _wait(self) -> None:
        """Until something happened, or there may be an order to claim."""
        if self._wanted() > 0 and self._watch is None:
            self._watch = asyncio.create_task(self._dispatcher.wait_for_work(self._view), name=f"work-{self.name}")
            self._watch.add_done_callback(self._watched)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience()):
                await self._wake.wait()

    def _patience(self) -> float | None:
        """Seconds until it is time to look again, whatever happens."""
        if self._held:
            now = asyncio.get_running_loop().time()
            soonest = min(limit.next_at(now) for limit in self._limits.values())
            return min(LOOK, max(0.001, soonest - now))
        return LOOK if self._ready else None

    def _watched(self, _task: asyncio.Task[None]) -> None:
        self._watch = None
        self._wake.set()

    def _begun(self, units: Sequence[Unit], allowed: Sequence[bool]) -> None:
        """Commited that they are being sent, as far as they may be."""
        jobs = dict(zip(dict.fromkeys(unit.job for unit in units), allowed, strict=True))
        may = [unit for unit in units if jobs[unit.job]]
        self._under_way -= len(units) - len(may)
        if not self._ready:
            self._ready_since = asyncio.get_running_loop().time()
        for unit in may:
            for place, message in enumerate(unit.messages):
                self._ready.append((pdu.message_body(message), (unit, place)))
        self._write()

    def _drop(self, units: Sequence[Unit]) -> None:
        self._under_way -= len(units)

    def _write(self) -> None:
        """Hand over what is ready, as far as there is room."""
        if not self._ready:
            return
        room = min(self.account.room, len(self._ready))
        if not room:
            return
        now = self._clock.now()
        batch: list[tuple[bytes, Token]] = []
        while self._ready and len(batch) < room:
            entry = self._ready.popleft()
            deadline = entry[1][0].job.order.deadline
            if deadline is not None and now >= deadline:
                self._end(entry[1], not_sent(OFFLINE, "its deadline passed while it waited", Action.RETRY_SAME))
            else:
                batch.append(entry)
        taken = self.account.submit(batch) if batch else 0
        self._ready.extendleft(reversed(batch[taken:]))
        if taken:
            self._ready_since = asyncio.get_running_loop().time()

    def _look(self) -> None:
        """Give back what cannot be written now."""
        if not self._ready:
            return
        if not self.account.is_up:
            self._give_back(OFFLINE, f"it was not sent: {self.account.reason}")
        elif asyncio.get_running_loop().time() - self._ready_since > READY_PATIENCE:
            self._give_back(THROTTLED, "the message centre takes nothing at present")

    def _give_back(self, code: str, text: str) -> None:
        while self._ready:
            _, token = self._ready.popleft()
            self._end(token, not_sent(code, text, Action.RETRY_SAME))

    # Outcomes.

    def _answer(self, answer: Answer) -> None:
        unit, place = answer.token
        if answer.status == 0:
            unit.message_id = answer.message_id or unit.message_id
            self._end(answer.token, SENT)
            return
        if answer.status is not None and not unit.bare:
            again = self._bare(unit.messages[place], answer.status)
            if again is not None:
                unit.bare = True
                unit.messages[place] = again
                self._ready.appendleft((pdu.message_body(again), answer.token))
                return
        self._end(answer.token, self._result(unit, answer))

    def _bare(self, message: Message, status: int) -> Message | None:
        """What to try at once instead, where the centre minds a detail (domain C3)."""
        match row_of(status, self.settings.vendor).submit:
            case OnSubmit.WITHOUT_TIMES if message.validity or message.schedule:
                return submit.without_times(message)
            case OnSubmit.WITHOUT_TLVS:
                return submit.without_tlvs(message)
        return None

    def _result(self, unit: Unit, answer: Answer) -> SendResult:
        if answer.status is None:
            return unknown(answer.why)
        if answer.status == 0:
            return SENT
        order = unit.job.order
        return refused(answer.status, order.attempt, order.failures, self.settings.vendor)

    def _end(self, token: Token, result: SendResult) -> None:
        unit, place = token
        unit.results[place] = result
        outcome = unit.outcome()
        if outcome is not None:
            self._under_way -= 1
            self._finished += [Finished(unit.job, index, outcome, unit.message_id) for index in unit.indexes]

    # Orders to PDUs.

    def _encode(self, job: Job, failed: list[Finished]) -> list[Unit]:
        """The units of an order; what cannot be written at all is added to `failed`."""
        try:
            sender = self._sender(job.order)
            units = units_of(job, self._messages(job.order, sender))
        except PduError as error:
            code = error.code if isinstance(error, NoSender) else "not_encodable"
            result = not_sent(code, error.reason, Action.FAIL_ROUTE)
        except Exception as error:  # a defect of ours: it must not hold up the others, nor come back for ever
            log.exception("%s: an order could not be written as PDUs", self.name)
            result = not_sent("not_encodable", f"it cannot be encoded: {type(error).__name__}", Action.FAIL_ROUTE)
        else:
            return units if self._may_carry(sender, job, units) else []
        failed += [Finished(job, index, result) for index in job.wanted]
        return []

    def _may_carry(self, sender: Sender, job: Job, units: Sequence[Unit]) -> bool:
        """Whether the sender's own limit lets the order go now; else it is held."""
        limit = self._limits.get(sender.text)
        if limit is None:
            return True
        now = asyncio.get_running_loop().time()
        room = limit.room(now)
        if room is not None and room < 1:
            self._held.append(job)
            return False
        limit.spend(sum(len(unit.messages) for unit in units), now)
        return True

    def _sender(self, order: Order) -> Sender:
        senders = self.settings.senders
        country = self._country_of(order.to) if any(s.countries is not None for s in senders) else None
        known = self._known_number(order.to) if len(senders) > 1 else None
        return choose(senders, order.sender, country, known)

    def _messages(self, order: Order, sender: Sender) -> list[Message]:
        wanted = Wanted(
            to=order.to,
            source=sender.address,
            text=order.text,
            data=order.data,
            port=order.port,
            encoding=order.encoding_wanted,
            flash=order.flash,
            report=order.delivery_report,
            validity=self._validity(order),
            reference=order.seq + 97 * order.generation,
        )
        found = submit.messages(wanted, self.settings.style)
        for message in found:
            pdu.message_body(message)  # whatever does not fit is found before it is said to be sent
        return found

    def _validity(self, order: Order) -> int | None:
        """Seconds: the centre must not deliver after the deadline either."""
        if order.deadline is None:
            return order.validity or None
        left = max(1, (order.deadline - self._clock.now()) // 1000)
        return min(order.validity, left) if order.validity else left


class Pace:
    """How many answers come, of late, in a second and at once: what is begun ahead follows that."""

    def __init__(self) -> None:
        self._burst = self._burst_before = 0  # the most answers at once, in this second and in the one before
        self._second = 0.0
        self._speed = 0.0
        self._commit = 0.0  # seconds
        self._since = 0.0
        self._count = 0

    def count(self, answers: int, now: float) -> None:
        self._count += answers
        if now - self._second >= 1:
            self._second, self._burst_before, self._burst = now, self._burst, 0
        self._burst = max(answers, self._burst)
        elapsed = now - self._since
        if elapsed >= 0.1:
            speed = self._count / elapsed
            self._speed = speed if elapsed > 1 else 0.5 * self._speed + 0.5 * speed
            self._since, self._count = now, 0

    def ahead(self) -> int:
        """At least one."""
        lead = max(LEAD, self._commit)
        return max(1 + int(self._speed * lead), self._burst, self._burst_before)

    def took(self, seconds: float) -> None:
        """A commit took so long."""
        self._commit = 0.8 * self._commit + 0.2 * seconds


def units_of(job: Job, messages: Sequence[Message]) -> list[Unit]:
    """PDUs by the parts that the journal counts: usually one for one.

    Where there are fewer, as with a payload, the last one stands for all further parts; where there are more, the last
    part has what is left over.
    """
    parts, count = job.order.parts, len(messages)
    wanted = set(job.wanted)
    units = []
    for place in range(min(parts, count)):
        last = place == min(parts, count) - 1
        indexes = tuple(range(place, parts)) if last else (place,)
        own = list(messages[place:]) if last else [messages[place]]
        if wanted.intersection(indexes):
            units.append(Unit(job, tuple(sorted(wanted.intersection(indexes))), own, [None] * len(own)))
    return units
