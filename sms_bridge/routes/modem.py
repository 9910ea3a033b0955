"""One modem's worker: takes the next order, hands it over part by part, has every step committed.

The next part is claimed and encoded while the modem works, and one transaction holds both "that was sent" and "this
is being sent" (docs/adr/0002): the journal costs one commit a part, which runs beside the wait for the prompt.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from hardware.modem import Modem
from hardware.types import Action, SendOutcome, SendResult
from sms_bridge.core.commit import Commit
from sms_bridge.core.dispatcher import Dispatcher
from sms_bridge.core.errors import StoreError
from sms_bridge.core.model import ClaimantView, Finished, Job, JobPart

log = logging.getLogger(__name__)

STORE_RETRY = 2.0  # s between attempts to record an outcome while the disk is full or read-only
LOST_PAUSE = 0.2  # s for a modem that does not answer to be taken out of service, before it is offered anything again
FAULT_PAUSE = 5.0  # s before work goes on after a defect of ours: a loop of tracebacks helps nobody


class ModemRoute:
    """Feeds one modem from the dispatcher for the life of the process."""

    def __init__(self, modem: Modem, dispatcher: Dispatcher) -> None:
        self._modem = modem
        self._dispatcher = dispatcher
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._idle = False
        self._unrecorded: Finished | None = None  # an outcome that rides with the next commit

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"route-{self._modem.status.name}")

    async def stop(self, grace: float) -> None:
        """Claim nothing more; a message under way may end within `grace` seconds, and its outcome is recorded."""
        self._stopping = True
        task, self._task = self._task, None
        if task is None:
            return
        if self._idle:
            task.cancel()
        done, _ = await asyncio.wait({task}, timeout=grace)
        if not done:
            log.warning("%s: the send under way did not end in time; it stands as unknown", self._modem.status.name)
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    def modem_changed(self) -> None:
        """Its SIM may be another one now, also while it waits for work."""
        self._dispatcher.renew(self._view())

    @staticmethod
    async def record_late(dispatcher: Dispatcher, token: object, result: SendResult) -> None:
        """What became known of a send that stands as unknown; `token` is what `send_part` was given."""
        match token:
            case (Job() as job, int() as index):
                await _record(dispatcher, Finished(job, index, result))

    async def _run(self) -> None:
        while True:
            try:
                if await self._step():
                    return
            except Exception:  # a defect of ours must not cost the modem its worker
                log.exception("%s: its worker failed and goes on", self._modem.status.name)
                await asyncio.sleep(FAULT_PAUSE)

    async def _step(self) -> bool:
        """One order, one outcome or one wait; True: it is time to stop, and nothing is left to be recorded."""
        job = self._next()
        if job is not None:
            before, self._unrecorded = self._unrecorded, None
            self._unrecorded = await self._work(job, before)
        elif self._unrecorded is not None:
            before, self._unrecorded = self._unrecorded, None
            await _record(self._dispatcher, before)
        elif self._stopping:
            return True
        else:
            await self._wait_for_work()
            if not self._modem.can_send:
                await asyncio.sleep(LOST_PAUSE)
        return False

    def _next(self) -> Job | None:
        if self._stopping or not self._modem.can_send:
            return None
        return self._dispatcher.try_claim(self._view())

    async def _wait_for_work(self) -> None:
        """Sleeps, cancelled by `stop`, until there may be something to do for a modem that can do it."""
        self._idle = True
        try:
            await self._modem.wait_ready()
            job = await self._dispatcher.claim(self._view())
        finally:
            self._idle = False
        # Back into its place in the queue: the modem may have gone meanwhile, and `_next` asks for it again at once.
        self._dispatcher.release(job)

    async def _work(self, job: Job, unrecorded: Finished | None) -> Finished | None:
        """Hand over the parts of `job`; returns the outcome that is not recorded yet."""
        part = job.after(None)
        while part is not None:
            try:
                written, unrecorded = await self._send(job, part, unrecorded)
            except Exception as error:
                if isinstance(error, StoreError):
                    log.error("%s: nothing more is sent: %s", self._modem.status.name, error)
                else:
                    log.exception("%s: an order could not be worked on", self._modem.status.name)
                await asyncio.sleep(STORE_RETRY if isinstance(error, StoreError) else FAULT_PAUSE)
                await self._leave(job, unrecorded)
                return None
            if not written:
                return unrecorded
            part = job.after(unrecorded)
        return unrecorded

    async def _send(self, job: Job, part: JobPart, before: Finished | None) -> tuple[bool, Finished | None]:
        """(whether `part` was begun, the outcome to record next). StoreError: nothing was committed."""
        begin: Commit[bool] | None = None

        async def authorise() -> bool:
            nonlocal begin
            begin = self._dispatcher.begin(job, part.index, before)
            return await begin

        try:
            result = await self._modem.send_part(part.pdu, part.length, authorise, token=(job, part.index))
        finally:
            if begin is not None and not begin.done:
                await _over(begin)
        if begin is None:  # the modem was lost before it was asked, or does not take this PDU
            of_message = result.error is not None and result.error.action is Action.BUG
            await self._leave(job, before, Finished(job, part.index, result) if of_message else None)
            await asyncio.sleep(LOST_PAUSE)
            return False, None
        if not begin.result():
            return False, None  # cancelled or expired; the same transaction recorded `before`
        if result.outcome is not SendOutcome.SENT and result.error is not None:
            log.info("%s: %s: %s", self._modem.status.name, result.outcome, result.error.code)
        return True, Finished(job, part.index, result)

    async def _leave(self, job: Job, *outcomes: Finished | None) -> None:
        """Give `job` back, after what is known of it: else its order is settled as if nobody knew."""
        for finished in outcomes:
            if finished is not None:
                await _record(self._dispatcher, finished)
        self._dispatcher.release(job)

    def _view(self) -> ClaimantView:
        status = self._modem.status
        return ClaimantView(status.name, status.iccid, status.imei)


async def _over(begin: Commit[bool]) -> None:
    """Until it is known whether it was committed, with whatever end."""
    with contextlib.suppress(StoreError):
        await begin


async def _record(dispatcher: Dispatcher, finished: Finished) -> None:
    """Commit an outcome alone, however long the disk refuses: it must not be forgotten."""
    while True:
        try:
            await dispatcher.finish(finished)
            return
        except StoreError as error:
            log.error("%s: an outcome waits to be recorded: %s", finished.job.modem, error)
        except Exception:  # a defect of ours: the order is settled as one whose outcome nobody knows
            log.exception("%s: an outcome could not be recorded", finished.job.modem)
            dispatcher.release(finished.job)
            return
        await asyncio.sleep(STORE_RETRY)
