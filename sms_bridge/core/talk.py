"""What follows from a received message, in the transaction that stores it: what it answers, and what is said back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from sms_bridge.core import submission
from sms_bridge.core.events import event_json
from sms_bridge.core.model import Accepted, Order, OutboxKind, Rejected, SendRequest
from sms_bridge.core.numbers import ContactBook
from sms_bridge.core.ports import Transaction
from sms_bridge.core.settings import CoreSettings
from sms_bridge.core.states import Stage


@dataclass(frozen=True, slots=True)
class Noted:
    """What is published with a message, and instead of its text."""

    in_reply_to: str | None = None
    reply: dict[str, Any] | None = None
    text: str | None = None  # None: as it came


@dataclass(frozen=True, slots=True)
class Heard:
    """A received message that is about to be published; times are UTC ms."""

    id: str
    sender: str  # E.164, or as it came
    contact: str | None
    text: str | None
    kind: str  # as `type` on `sms/in`
    sent_at: int | None  # by the network
    received_at: int
    partial: bool = False
    before: Noted | None = None  # it was published with less of it: what followed from that has happened


NOTHING = Noted()


@dataclass(slots=True)
class Talk:
    """One transaction's part in conversations. `orders` are what it made: the dispatcher is told after the commit."""

    tx: Transaction
    now: int  # UTC ms
    settings: CoreSettings
    prepare: Callable[[SendRequest, int], submission.Prepared]
    book: ContactBook
    own_numbers: frozenset[str] = frozenset()  # of the bridge's SIMs, E.164
    orders: list[Order] = field(default_factory=list)

    def order(self, request: SendRequest) -> Accepted | Rejected:
        """Store an order with what it follows from."""
        prepared = self.prepare(request, self.now)
        (result,), _ = submission.store(self.tx, [prepared], self.now)
        self.orders += [order for order in prepared.orders if order.seq]
        return result

    @property
    def ready(self) -> list[Order]:
        """Those that may be claimed at once."""
        return [order for order in self.orders if order.stage is Stage.READY]

    def event(self, name: str, **data: Any) -> None:
        """A line for `sms/bridge/event`."""
        self.tx.emit(OutboxKind.EVENT, event_json(name, self.now, data))

    def transacted(self, name: str, transaction: str, **data: Any) -> None:
        """The same about an order, with what its sender gave to be echoed (JSON text)."""
        self.event(name, **data, transaction=json.loads(transaction))


class Listener(Protocol):
    """Hears received messages before they are published. In the writer's thread, perhaps twice: see `Transaction`."""

    def masked(self, heard: Heard) -> str | None:
        """The text as it may be published, where it holds a secret; None: as it came."""

    def heard(self, talk: Talk, heard: Heard) -> Noted | None:
        """What is published of a message that was meant for it; None: it was not."""

    def answered(self, talk: Talk, heard: Heard, note: str, value: str | None) -> None:
        """The answer to a question that was asked with this note."""


class NoListener:
    """Nothing is meant for it."""

    def masked(self, heard: Heard) -> str | None:
        return None

    def heard(self, talk: Talk, heard: Heard) -> Noted | None:
        return None

    def answered(self, talk: Talk, heard: Heard, note: str, value: str | None) -> None:
        return None
