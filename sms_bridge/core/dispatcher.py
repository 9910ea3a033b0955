"""Which modem sends what, and the commits around each part. Lives on the loop; the journal is the truth."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from hardware.pdu import PduError
from hardware.types import SendOutcome
from sms_bridge.core import sending, works
from sms_bridge.core.choice import Rival
from sms_bridge.core.claims import NONE_BEGUN, RouteClaims
from sms_bridge.core.clock import Clock, SystemClock
from sms_bridge.core.commit import Commit
from sms_bridge.core.errors import StoreError
from sms_bridge.core.lanes import is_common, is_plan, lane_of, lane_of_sim
from sms_bridge.core.model import MODEMS, ClaimantView, Finished, Job, Order, StatusError
from sms_bridge.core.policy import Gate, LimitsOf, Policy, why
from sms_bridge.core.ports import Journal, Transaction
from sms_bridge.core.queue import Entry, Lane, OrderQueue
from sms_bridge.core.quota import NO_LIMITS
from sms_bridge.core.retry import Others, speaks_of_route
from sms_bridge.core.routes import Routes
from sms_bridge.core.sending import Begun, Outcome, Verdict
from sms_bridge.core.settings import CoreSettings
from sms_bridge.core.states import Stage
from sms_bridge.core.tpdus import parts_of

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

LOAD_RETRY = 1.0  # seconds until a failed read of the journal is tried again
SEEN = 60.0  # seconds after which a modem that neither waits nor works is gone: a restart in place takes 20 to 40


class Dispatcher(RouteClaims):
    """Hands orders to modems: `claim`, then `begin` and a result for each part, `finish` after the last."""

    def __init__(
        self,
        journal: Journal,
        settings: CoreSettings | None = None,
        clock: Clock | None = None,
        limits_of: LimitsOf = lambda modem: NO_LIMITS,
        routes: Routes | None = None,
    ) -> None:
        self._journal = journal
        self._settings = settings or CoreSettings()
        self.policy = Policy(self._settings, limits_of)
        self._clock = clock or SystemClock()
        self.routes = routes or Routes()
        self.routes.changed = self._wake
        self._queue = OrderQueue(self._settings.window, self._serves)
        self._watchers: dict[asyncio.Future[None], ClaimantView] = {}  # routes that wait for something to claim
        self._waiters: dict[asyncio.Future[Job], ClaimantView] = {}
        self._jobs: dict[Job, int] = {}  # in the hands of a modem -> the last part that was begun, or NONE_BEGUN
        self._seen: dict[str, float] = {}  # modem -> loop time of its last claim
        self._views: dict[str, ClaimantView] = {}  # modem -> as it was then
        self._tasks: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._stopping = False

    @property
    def in_memory(self) -> int:
        """Orders that wait here or are being sent; the journal may hold more."""
        return len(self._queue)

    @property
    def sending(self) -> int:
        """Orders in the hands of modems."""
        return len(self._jobs)

    def holds_of_all(self, modem: str) -> int:
        """Orders that anybody might send, in the hands of this modem."""
        return sum(job.modem == modem and is_common(job.order.lane) for job in self._jobs)

    def adopt(self, settings: CoreSettings) -> None:
        """These hold from now on, also for what waits already."""
        self._settings = settings
        self.policy.adopt(settings)
        self._wake()

    async def stop(self) -> None:
        """End what runs here; claims that wait are cancelled. Idempotent."""
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for waiter in list(self._waiters):
            waiter.cancel()
        for watcher in list(self._watchers):
            watcher.cancel()
        self.keep_counts()
        while self._tasks:
            await asyncio.wait(self._tasks)  # commits under way: bounded by the journal

    async def claim(self, modem: ClaimantView) -> Job:
        """Wait for an order that this modem may send. In memory only: a crash gives it back."""
        job = self.try_claim(modem)
        if job is not None:
            return job
        waiter: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = modem
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.release(waiter.result())
            raise
        finally:
            self._waiters.pop(waiter, None)

    def renew(self, modem: ClaimantView) -> None:
        """What waits under that name has another SIM now: its limits, conversations and half-sent messages count."""
        for waiter, known in list(self._waiters.items()):
            if known.name == modem.name and known != modem:
                self._waiters[waiter] = modem
                self._wake()

    def try_claim(self, modem: ClaimantView) -> Job | None:
        """An order that this modem may send now, or None."""
        if modem.route != MODEMS:
            return next(iter(self.claim_many(modem, 1)), None)
        now = self._seen[modem.name] = self._now()
        self._views[modem.name] = modem
        gate = Gate(self.policy, modem, partial(self._rivals, modem.name), self._clock.now(), now, self._wake_at)
        while True:
            self._fill(modem)
            entry = self._queue.first(modem, now, gate)
            if entry is None:
                return None
            self._queue.take(entry)
            job = self._make_job(entry, modem)
            if job is not None:
                self._jobs[job] = NONE_BEGUN
                self.routes.took(MODEMS, now)
                return job

    def explain(self, number: str, parts: int) -> list[dict[str, Any]]:
        """For each modem in service: whether it would be the one for a message to `number`, and why."""
        modems = self._rivals(None)
        return [
            {
                "modem": view.name,
                "takes": takes,
                "reason": reason,
                "free_in": round(rival.free_in, 1),
                "seconds_per_part": round(rival.pace, 2),
            }
            for view, rival, takes, reason in why(self.policy, modems, number, parts, self._clock.now())
        ]

    def learn_lanes(self, names: Iterable[str]) -> None:
        """The journal has orders in these lanes."""
        for name in names:
            if is_plan(name):
                self._queue.lane(name)

    def heard_from(self, sim: str, number: str) -> None:
        """`number` has written to this SIM: whoever waits may be the one for it now."""
        now = self._clock.now()
        if self.policy.conversations.sim_of(number, now) != sim:
            self.policy.received(sim, number, now)
            self._wake()
        else:
            self.policy.received(sim, number, now)

    def look_again(self) -> None:
        """Once a second: no order waits for good because what it was left to a modem for has changed unseen."""
        if (self._waiters or self._watchers) and (len(self._queue) > len(self._jobs) or self._queue.unread):
            self._wake()

    def keep_counts(self) -> None:
        """Give the journal what was counted since the last time; about once a second."""
        changes = self.policy.take_changes()
        if changes:
            self._journal.later(changes.save)

    def begin(self, job: Job, index: int, finished: Finished | None = None) -> Commit[bool]:
        """Commit the outcome of the part before (of this job or another) and that part `index` is being sent.

        False: this part must not be written and the job is over; `finished` is committed all the same.
        StoreError: nothing was committed, neither may the part be written.
        """
        if self.policy.held is not None and self._jobs.get(job) == NONE_BEGUN and self._is_held(job.order):
            self.release(job)  # it was claimed before, and nothing of it is out
        if job not in self._jobs:
            return Commit.of(False) if finished is None else self._record(finished, False)
        record = self._recording(finished) if finished is not None else None
        begin = self._beginning(job, index)

        def committed(came: tuple[Verdict | None, Begun]) -> bool:
            verdict, begun = came
            if finished is not None:
                self._note(finished)
                self._apply(finished.job, verdict, stays=finished.job is job)
            return self._begun(job, index, begun)

        return self._journal.commit(lambda tx: (record(tx) if record else None, begin(tx)), committed)

    def finish(self, finished: Finished) -> Commit[None]:
        """Commit an outcome alone. StoreError: not committed; offer it again."""
        return self._record(finished, None)

    def release(self, job: Job) -> None:
        """Nothing of this job was written here: its order goes back, or its rest waits for its SIM."""
        begun = self._jobs.pop(job, None)
        self.routes.said_nothing(job.route)
        entry = self._queue.entries.get(job.order.seq)
        if begun is None or entry is None:
            return
        if begun == NONE_BEGUN:
            self._queue.push(entry)
            # Not at once: who gave it back may ask again now, and must not hand it round in a circle.
            asyncio.get_running_loop().call_soon(self._wake)
        else:
            entry.claimed = False  # nobody's, and in no lane until it is settled
            self._spawn(self._settle(job))

    def offer(self, orders: Iterable[Order]) -> None:
        """These have become ready in the journal."""
        taken = False
        for order in orders:
            if order.stage is Stage.READY:
                taken = self._queue.offer(order) or taken
        if taken:
            self._wake()

    def reconsider(self, order: Order, pending: tuple[int, ...] | None) -> None:
        """An order was made ready anew, whatever is known of it here."""
        self._queue.drop(order.seq)
        self._queue.push(Entry(order, pending))
        self._wake()

    def moved(self, order: Order) -> None:
        """The journal has an order that waits in another lane now; one that was claimed meanwhile is left alone."""
        entry = self._queue.entries.get(order.seq)
        if entry is not None and not entry.claimed:
            entry.order = order
            self._queue.push(entry)
            self._wake()

    def renamed(self, old: str, new: str) -> None:
        """The journal has renamed a modem that nothing is claimed for."""
        self._queue.rename(lane_of(old), lane_of(new))
        sims = (ClaimantView(name).sim for name in (old, new))
        self._queue.rename(*(lane_of_sim(sim) for sim in sims))
        self._seen.pop(old, None)
        self._views.pop(old, None)
        self._wake()

    def forget(self, seqs: Sequence[int]) -> None:
        """These are no longer ready in the journal; what a modem holds already is stopped by `begin`."""
        for seq in seqs:
            entry = self._queue.entries.get(seq)
            if entry is not None and not entry.claimed:
                self._queue.drop(seq)

    def redate(self, deadlines: Mapping[int, int]) -> None:
        """The deadlines of these orders (by seq) have moved with the clock: the network is told the new ones."""
        for seq, deadline in deadlines.items():
            entry = self._queue.entries.get(seq)
            if entry is not None:
                entry.order.deadline = deadline

    def _is_held(self, order: Order) -> bool:
        """The rest of a half-sent message is held by nothing."""
        held = self.policy.held
        return held is not None and order.bound_until is None and held(order, self._clock.now()) is not None

    def _begun(self, job: Job, index: int, begun: Begun) -> bool:
        """Bring memory to where the journal is: whether part `index` may be written."""
        if job not in self._jobs:
            return False
        if begun.order is None:
            self.routes.said_nothing(job.route)
            self._apply(job, begun.verdict)
            return False
        self._jobs[job] = index
        job.began = self._now()
        job.order = begun.order
        if job.route == MODEMS:
            self.policy.begun(job.sim, job.order.to, self._clock.now())
        entry = self._queue.entries.get(begun.order.seq)
        if entry is not None:
            entry.order = begun.order
        return True

    def _record(self, finished: Finished, result: R) -> Commit[R]:
        def committed(verdict: Verdict | None) -> R:
            self._note(finished)
            self._apply(finished.job, verdict, stays=finished.result.outcome is not SendOutcome.NOT_SENT)
            return result

        return self._journal.commit(self._recording(finished), committed)

    def _note(self, finished: Finished) -> None:
        """What a result says of who sent it."""
        result, job = finished.result, finished.job
        if result.outcome is SendOutcome.SENT:
            if result.seconds and job.route == MODEMS:
                self.policy.took(job.modem, result.seconds)
            self.routes.worked(job.route, self._now())
        elif result.outcome is SendOutcome.NOT_SENT and speaks_of_route(result.error):
            code = result.error.code if result.error is not None else "failed"
            self.routes.failed(job.route, self._now(), code)
        else:
            self.routes.said_nothing(job.route)

    def _beginning(self, job: Job, index: int) -> Callable[[Transaction], Begun]:
        return partial(
            sending.begin,
            seq=job.order.seq,
            part=index,
            modem=job.modem,
            sim=job.sim,
            first=self._jobs.get(job) == NONE_BEGUN,
            now=self._clock.now(),
            settings=self._settings,
            route=job.route,
        )

    def _recording(self, finished: Finished) -> Callable[[Transaction], Verdict | None]:
        job = finished.job
        outcome = Outcome(
            job.order.seq,
            job.order.generation,
            finished.index,
            job.modem,
            finished.result,
            finished.message_id,
            job.route,
            job.route != MODEMS,
        )
        begin = None
        if job in self._jobs and self._jobs[job] < finished.index:
            # It failed before it was begun, at the prompt or earlier: an attempt all the same.
            begin = self._beginning(job, finished.index)
        return partial(
            works.record_work,
            begin=begin,
            outcome=outcome,
            others=self._others(job.modem),
            now=self._clock.now(),
            settings=self._settings,
        )

    async def _settle(self, job: Job) -> None:
        """The modem left the job half-way."""
        seq, settings, others = job.order.seq, self._settings, self._others(job.modem)
        while not self._stopping:  # else the next start settles it
            settle = partial(works.settle_work, seq=seq, others=others, now=self._clock.now(), settings=settings)
            try:
                verdict = await self._journal.write(settle)
            except StoreError:
                await asyncio.sleep(LOAD_RETRY)
            else:
                self._apply(job, verdict)
                return

    def _apply(self, job: Job, verdict: Verdict | None, stays: bool = False) -> None:
        """Bring memory to where the journal is."""
        if verdict is not None and not verdict.over and (stays or job not in self._jobs):
            return  # the modem goes on with it, or it was settled before this outcome came and waits in the queue
        held = self._jobs.pop(job, None) is not None
        entry = self._queue.entries.get(job.order.seq)
        if not held and entry is not None and entry.claimed:
            return  # a late result, while another try of this order is under way
        self._queue.drop(job.order.seq)
        if verdict is None or verdict.delay is None:
            return
        entry = entry or Entry(verdict.order)
        entry.order, entry.pending = verdict.order, verdict.pending
        until = self._now() + verdict.delay
        if verdict.blocked is not None:
            entry.blocked[verdict.blocked] = until
            entry.not_before = 0.0
        else:
            entry.not_before = until if verdict.delay > 0 else 0.0
        self._queue.push(entry)
        self._wake_at(until)
        self._wake()

    def _rivals(self, me: str | None) -> list[tuple[ClaimantView, Rival]]:
        """The modems in service but `me`, with what they still have to do."""
        found = [
            (view, Rival(view.name, view.sim, 0.0, self.policy.pace_of(view.name)))
            for waiter, view in self._waiters.items()
            if view.name != me and view.route == MODEMS and not waiter.done()
        ]
        now = self._now()
        for job, begun in self._jobs.items():
            view = self._views.get(job.modem)
            if view is None or job.modem == me or any(known.name == job.modem for known, _ in found):
                continue
            pace = self.policy.pace_of(job.modem)
            left = sum(part.index >= begun for part in job.parts) * pace
            elapsed = now - job.began if job.began else 0.0
            # One that takes far longer than it used to will not be done any moment now.
            free_in = max(left - elapsed, 0.0) if elapsed < 2 * pace else left + elapsed
            found.append((view, Rival(view.name, view.sim, free_in, pace)))
        return found

    def _others(self, modem: str) -> Others:
        """Who works here besides this modem."""
        now = self._now()
        if self.routes.in_service is not None:
            return Others(self.routes.in_service - {modem}, self.routes.up(now))
        modems = {view.name for view in self._waiters.values() if view.route == MODEMS}
        modems.update(job.modem for job in self._jobs if job.route == MODEMS)
        # Between two jobs, or set up anew, it is there all the same.
        modems.update(name for name, at in self._seen.items() if at >= now - SEEN)
        return Others(frozenset(modems - {modem}), self.routes.up(now))

    def _serves(self, lane: str, by: ClaimantView) -> bool:
        return self.routes.serves(lane, by.route, self._now())

    def _fill(self, view: ClaimantView) -> None:
        for lane in self._queue.lanes(view):
            if self._queue.wants_more(lane):
                self._load(lane)

    def _make_job(self, entry: Entry, modem: ClaimantView) -> Job | None:
        order = entry.order
        wanted = tuple(range(order.parts)) if entry.pending is None else entry.pending
        if modem.route != MODEMS:
            return Job(order, modem.name, modem.sim, (), route=modem.route, wanted=wanted)
        try:
            parts = parts_of(order, wanted, self._clock.now())
        except (PduError, ValueError) as error:
            log.error("order %d cannot be encoded: %s", order.seq, error)
            self._spawn(self._fail(order, StatusError("not_encodable", f"it cannot be encoded: {error}")))
            return None
        return Job(order, modem.name, modem.sim, parts, wanted=wanted)

    async def _fail(self, order: Order, error: StatusError) -> None:
        now = self._clock.now()
        try:
            await self._journal.write(lambda tx: works.fail_work(tx, order.seq, error, now))
        except StoreError as failure:
            log.error("order %d stays as it is: %s", order.seq, failure)
        self._queue.drop(order.seq)

    def _load(self, lane: Lane) -> None:
        lane.loading = True
        lane.missed = False
        self._spawn(self._load_lane(lane))

    async def _load_lane(self, lane: Lane) -> None:
        window, after = self._settings.window, lane.boundary
        try:
            found = await self._journal.read(lambda reader: works.load_work(reader, lane.name, after, window))
        except Exception as error:
            log.error("orders cannot be read, it is tried again: %s", error)
            await asyncio.sleep(LOAD_RETRY)
            lane.loading = False
            self._wake()
            return
        now, wall = self._now(), self._clock.now()
        entries = []
        longest = max(self._settings.retry_cap, self._settings.bound_wait)  # whatever the clock says
        for order, pending, avoided in found:
            wait = min(max(0, (order.not_before or 0) - wall) / 1000, self._settings.retry_cap)
            blocked = {name: now + min((at - wall) / 1000, longest) for name, at in avoided.items() if at > wall}
            entries.append(Entry(order, pending, False, now + wait if wait else 0.0, blocked))
            for until in (now + wait, *blocked.values()):
                if until > now:
                    self._wake_at(until)
        self._queue.loaded(lane, entries, exhausted=len(found) < window)
        self._wake()

    def _wake(self) -> None:
        """Give ready orders to modems that wait, to the one that has waited longest first."""
        if self._stopping:
            return
        for waiter, modem in list(self._waiters.items()):
            if waiter.done():
                continue
            job = self.try_claim(modem)
            if job is not None:
                waiter.set_result(job)
        for watcher, view in list(self._watchers.items()):
            if not watcher.done() and self._has_work(view):
                watcher.set_result(None)

    def _wake_at(self, when: float) -> None:
        if self._stopping:
            return
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(when, self._timed)

    def _timed(self) -> None:
        self._timer = None
        now = self._now()
        later = [
            until
            for entry in self._queue.entries.values()
            if not entry.claimed and (entry.not_before or entry.blocked)
            for until in (entry.not_before, *entry.blocked.values())
            if until > now
        ]
        if later:
            self._wake_at(min(later))
        self._wake()

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
