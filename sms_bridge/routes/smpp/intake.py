"""What an account receives, on its way to the journal: answered after the commit, and only then (domain C2.3)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from sms_bridge.core import model
from sms_bridge.core.clock import Clock
from sms_bridge.core.errors import StoreError
from sms_bridge.core.model import InboundMessage
from sms_bridge.routes.smpp import receipts
from sms_bridge.routes.smpp.account import Delivery
from sms_bridge.routes.smpp.arrivals import message_of, receipt_of
from sms_bridge.routes.smpp.pdu import Status
from sms_bridge.routes.smpp.submit import Charset

log = logging.getLogger(__name__)

MOST_AT_ONCE = 200  # deliveries in one transaction
REPEATS_FOR = 300.0  # seconds after a bind or a failed commit in which a centre delivers again what it has no answer to


class Sink(Protocol):
    """`core.service.Service`. StoreError: nothing was committed."""

    async def receive_receipts(self, batch: list[model.Receipt]) -> None: ...

    async def receive_messages(self, batch: list[InboundMessage]) -> None: ...


class Intake:
    """One task, for the life of the route."""

    def __init__(
        self,
        route: str,
        charset: Charset,
        own: frozenset[str],
        sink: Sink,
        clock: Clock,
        *,
        known: Callable[[model.Receipt], Awaitable[bool]],
        heard: Callable[[InboundMessage], None],
    ) -> None:
        """`own`: the digits of our numbers; `known`: whether an order of ours has the id of a receipt; `heard`: told
        of each message that was stored."""
        self._route = route
        self._charset = charset
        self._own = own
        self._sink = sink
        self._clock = clock
        self._known = known
        self._heard = heard
        self._waiting: list[Delivery] = []
        self._wake = asyncio.Event()
        self._repeats_until = 0.0
        self._task: asyncio.Task[None] | None = None
        self._busy = False

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"intake-{self._route}")

    async def stop(self) -> None:
        """Ends between two commits: what was not answered is delivered again."""
        task, self._task = self._task, None
        if task is None:
            return
        self._waiting.clear()
        if not self._busy:
            task.cancel()
        self._wake.set()
        await asyncio.gather(task, return_exceptions=True)

    def bound(self) -> None:
        """A session began: what the one before did not answer comes again."""
        self._repeats_until = asyncio.get_running_loop().time() + REPEATS_FOR

    def take(self, deliveries: list[Delivery]) -> None:
        """Store these, then answer them."""
        self._waiting += deliveries
        self._wake.set()

    async def _run(self) -> None:
        while self._task is not None:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch = self._waiting[:MOST_AT_ONCE]
                del self._waiting[:MOST_AT_ONCE]
                self._busy = True
                await self._store(batch)
                self._busy = False

    async def _store(self, batch: list[Delivery]) -> None:
        try:
            await self._commit(batch)
        except StoreError as error:
            log.error("%s: what was received waits at the message centre: %s", self._route, error)
            self._answer(batch, Status.TEMPORARY_APP_ERROR)
        except Exception:  # a defect of ours: one message must not hold up the others
            if len(batch) > 1:
                log.exception("%s: a batch of messages could not be stored; they are stored one by one", self._route)
                for delivery in batch:
                    await self._store([delivery])
            else:
                log.exception("%s: a message could not be stored; the centre is asked to deliver it again", self._route)
                self._answer(batch, Status.TEMPORARY_APP_ERROR)
        else:
            self._answer(batch, Status.OK)

    async def _commit(self, batch: list[Delivery]) -> None:
        now = self._clock.now()
        may_repeat = asyncio.get_running_loop().time() < self._repeats_until
        told: list[model.Receipt] = []
        messages: list[InboundMessage] = []
        for delivery in batch:
            message = delivery.message
            receipt = receipts.parse(message)
            if receipt is not None:
                found = receipt_of(receipt, self._route, now, self._own)
                if receipt.marked or await self._known(found):
                    told.append(found)
                    continue
            elif receipts.is_marked(message):
                log.warning("%s: a receipt that names no message is dropped", self._route)
                continue
            messages.append(message_of(message, self._route, self._charset, now, may_repeat=may_repeat))
        if told:
            await self._sink.receive_receipts(told)
        if messages:
            await self._sink.receive_messages(messages)
            for stored in messages:
                self._heard(stored)

    def _answer(self, batch: list[Delivery], status: int) -> None:
        if status != Status.OK:
            self._repeats_until = asyncio.get_running_loop().time() + REPEATS_FOR
        for delivery in batch:
            delivery.reply(status)
