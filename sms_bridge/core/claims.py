"""What routes besides the modems ask of the dispatcher: many orders at once. A part of `Dispatcher`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from sms_bridge.core import batches
from sms_bridge.core.clock import Clock
from sms_bridge.core.commit import Commit
from sms_bridge.core.lanes import routes_of
from sms_bridge.core.model import MODEMS, ClaimantView, Finished, Job, Order
from sms_bridge.core.policy import Policy, RouteGate
from sms_bridge.core.ports import Journal, Transaction
from sms_bridge.core.queue import SCAN, Entry, OrderQueue
from sms_bridge.core.routes import Routes
from sms_bridge.core.sending import Begun, Verdict
from sms_bridge.core.settings import CoreSettings

NONE_BEGUN = -1
FULL_LONG_MS = 60_000  # a limit that is used up for longer than this is not waited for, where another route is up


class RouteClaims:
    """Mixed into `Dispatcher`, whose state it shares."""

    routes: Routes
    policy: Policy
    _journal: Journal
    _settings: CoreSettings
    _clock: Clock
    _queue: OrderQueue
    _jobs: dict[Job, int]
    _views: dict[str, ClaimantView]
    _watchers: dict[asyncio.Future[None], ClaimantView]
    _fill: Callable[[ClaimantView], None]
    _make_job: Callable[[Entry, ClaimantView], Job | None]
    _wake_at: Callable[[float], None]
    _begun: Callable[[Job, int, Begun], bool]
    _recording: Callable[[Finished], Callable[[Transaction], Verdict | None]]
    _note: Callable[[Finished], None]
    _apply: Callable[..., None]
    _now: Callable[[], float]

    def claim_many(self, view: ClaimantView, limit: int) -> list[Job]:
        """Up to `limit` orders that this route may send now, in their order; in memory only. For routes, not modems."""
        now = self._now()
        self._fill(view)
        gate = RouteGate(self.policy, view, self._clock.now(), now, self._wake_at)
        jobs: list[Job] = []
        limit = self.routes.allowance(view.route, limit, now)
        while len(jobs) < limit:
            entry = self._queue.first(view, now, gate)
            if entry is None:
                break
            self._queue.take(entry)
            job = self._make_job(entry, view)
            if job is not None:
                self._jobs[job] = NONE_BEGUN
                jobs.append(job)
        if jobs:
            self.routes.took(view.route, now)
        return jobs

    async def wait_for_work(self, view: ClaimantView) -> None:
        """Until `claim_many` may find something for this route. Takes nothing, so it may be cancelled at any time."""
        if self._has_work(view):
            return
        watcher: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watchers[watcher] = view
        try:
            await watcher
        finally:
            self._watchers.pop(watcher, None)

    def begin_many(self, jobs: Sequence[Job]) -> Commit[list[bool]]:
        """Commit that all parts of these jobs are being sent; False for a job that is over: nothing of it may leave.

        StoreError: nothing was committed, nothing may leave; release the jobs, or ask again.
        """
        known = [job for job in jobs if job in self._jobs]
        first = [self._jobs[job] == NONE_BEGUN for job in known]
        now = self._clock.now()
        work = partial(batches.begin, jobs=known, first=first, now=now, settings=self._settings)

        def committed(came: list[Begun]) -> list[bool]:
            begun = dict(zip(known, came, strict=True))
            batches.took_up(begun, now)
            return [job in begun and self._begun(job, job.wanted[-1], begun[job]) for job in jobs]

        return self._journal.commit(work, committed)

    def finish_many(self, finished: Sequence[Finished]) -> Commit[None]:
        """Commit what came of parts, of any jobs of one route, in one go. StoreError: not committed; offer it again."""
        now = self._clock.now()
        quick = [each for each in finished if batches.is_plain(each) and each.job in self._jobs]
        rest = [each for each in finished if not (batches.is_plain(each) and each.job in self._jobs)]
        record = [self._recording(each) for each in rest]
        work = partial(batches.finish, quick=quick, record=record, now=now, settings=self._settings)

        def committed(verdicts: list[Verdict | None]) -> None:
            for each in quick:
                self._jobs.pop(each.job, None)
                self._queue.drop(each.job.order.seq)
            if quick:
                self.routes.worked(quick[0].job.route, self._now(), len(quick))
            for each, verdict in zip(rest, verdicts, strict=True):
                self._note(each)
                self._apply(each.job, verdict, stays=True)  # other parts of it may be out

        return self._journal.commit(work, committed)

    def beyond_modems(self) -> list[Order]:
        """Orders that no modem in service may send for a while, because of its SIM's limits, and another route may."""
        now, wall = self._now(), self._clock.now()
        views = [self._views.get(name) for name in self.routes.in_service or ()]
        known = [view for view in views if view is not None]
        if not views or len(known) < len(views) or not all(self.policy.is_limited(view) for view in known):
            return []
        others = self.routes.up(now) - {MODEMS}
        return [
            entry.order
            for entry in self._queue.heads(lambda lane: self.routes.serves(lane, MODEMS, now), SCAN)
            if others.intersection(routes_of(entry.order.lane))
            and all(self.policy.full_for(view, entry.order, wall) > FULL_LONG_MS for view in known)
        ]

    def _has_work(self, view: ClaimantView) -> bool:
        self._fill(view)
        now = self._now()
        if not self.routes.allowance(view.route, 1, now):
            return False
        return (
            self._queue.first(view, now, RouteGate(self.policy, view, self._clock.now(), now, self._wake_at))
            is not None
        )
