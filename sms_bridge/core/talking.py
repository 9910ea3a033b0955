"""The service's part in conversations: what follows from messages, questions whose time begins, steps that fall due."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

from sms_bridge.core import escalation, replies
from sms_bridge.core.drafts import Listen, unheard
from sms_bridge.core.errors import StoreError
from sms_bridge.core.model import Order, SendRequest
from sms_bridge.core.numbers import ContactBook, normal_sender
from sms_bridge.core.ports import Journal, Transaction
from sms_bridge.core.settings import CoreSettings
from sms_bridge.core.submission import Prepared
from sms_bridge.core.talk import Listener, NoListener, Talk

log = logging.getLogger(__name__)

LIMIT = 200  # rows that one tick works on; the next goes on
TRIES = 3  # of a step that cannot be taken through a defect of ours


class Talking:
    """`view`: the settings and contacts that hold now; `ordered`: told on the loop which orders a transaction made."""

    def __init__(
        self,
        journal: Journal,
        *,
        prepare: Callable[[SendRequest, int], Prepared],
        view: Callable[[], tuple[CoreSettings, ContactBook]],
        ordered: Callable[[Sequence[Order]], None],
        listener: Listener | None,
        own_numbers: Callable[[], Sequence[str]],
    ) -> None:
        self._journal = journal
        self._prepare = prepare
        self._view = view
        self._tell = ordered
        self._listener = listener or NoListener()
        self._own_numbers = own_numbers
        self._own: frozenset[str] = frozenset()  # as of the last tick: the writer's thread must not ask
        self._asking = True  # there may be questions whose message has not gone out
        self._failures = 0

    def talk(self, tx: Transaction, now: int) -> Talk:
        """For one transaction."""
        settings, book = self._view()
        return Talk(tx, now, settings, self._prepare, book, self._own)

    def ear(self, talk: Talk, hear: bool = True) -> Listen:
        """Who listens to the messages that a transaction stores; not `hear`: nobody."""
        return partial(replies.hear, talk, listener=self._listener) if hear else unheard

    def accepted(self, request: SendRequest, now: int) -> int | None:
        """An order was stored: when the first of its steps may fall due (UTC ms)."""
        self._asking = self._asking or request.expect is not None
        if request.escalate is None:
            return None
        return now + int(min(step.after for step in request.escalate.steps) * 1000)

    def ordered(self, orders: Sequence[Order]) -> None:
        """Orders that a transaction made beside its own work; after its commit."""
        if orders:
            self._asking = True
            self._tell(orders)

    async def look(self, now: int) -> bool:
        """Each second: True when the time of a question has begun. StoreError."""
        settings, _ = self._view()
        self._own = frozenset(normal_sender(each, settings.default_region) for each in self._own_numbers())
        if not self._asking:
            return False
        self._asking = False  # an order that is accepted meanwhile sets it again
        waiting = some = True
        try:
            waiting, some = await self._journal.read(lambda reader: replies.waiting(reader))
            if some:
                await self._journal.write(lambda tx: replies.begin(self.talk(tx, now), LIMIT))
        finally:
            self._asking = self._asking or waiting
        return some

    async def escalate(self, now: int) -> None:
        """Take the steps that are due, one in a commit. StoreError."""

        def take(tx: Transaction) -> tuple[bool, list[Order]]:
            talk = self.talk(tx, now)
            return escalation.take(talk), talk.orders

        for _ in range(LIMIT):
            try:
                more, orders = await self._journal.write(take)
            except StoreError:
                raise
            except Exception:
                log.exception("a step of an escalation could not be taken")
                self._failures += 1
                if self._failures < TRIES:
                    return  # with the next tick
                await self._journal.write(lambda tx: escalation.fail(self.talk(tx, now)))
                orders, more = [], True
            self._failures = 0
            self.ordered(orders)
            if not more:
                return
