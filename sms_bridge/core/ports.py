"""What the core needs of a store. Transactions run in the store's writer thread, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from sms_bridge.core.commit import Commit
from sms_bridge.core.model import (
    Attempt,
    Balance,
    ClockMark,
    Cutoffs,
    Handed,
    InboundPart,
    InboundSet,
    Order,
    OrphanReceipt,
    OrphanReport,
    OutboxRow,
    Quarantined,
    Receipt,
    Waits,
)
from sms_bridge.core.talkports import TalkReader, Talks

T = TypeVar("T")
R = TypeVar("R")


class Reader(TalkReader, Protocol):
    """A consistent view of the journal."""

    def orders_of(self, id: str) -> list[Order]:
        """All orders of one request, in their order."""

    def order(self, seq: int) -> Order | None:
        """One order."""

    def ready(self, lane: str, after: tuple[int, int] | None, limit: int) -> list[Order]:
        """Orders that may be claimed in `lane`, by (precedence, seq), beyond `after`."""

    def attempts(self, order_seq: int, generation: int | None = None) -> list[Attempt]:
        """The attempts of an order, oldest first; of all generations when None."""

    def next_due(self) -> int | None:
        """The earliest time at which a schedule, deadline, binding or reassembly ends (UTC ms)."""

    def counts(self) -> dict[str, int]:
        """Orders by state among the unfinished, and the number of outbox rows."""

    def inbox(self, limit: int, before: int | None = None) -> list[InboundSet]:
        """Received messages, newest first."""

    def balances(self) -> list[Balance]:
        """What is known of SIMs' accounts."""

    def avoided(self, order_seq: int) -> dict[str, int]:
        """The modems that leave this order to others, each with the time until when (UTC ms)."""

    def usage(self) -> list[tuple[str, str, int]]:
        """(SIM, local day as YYYY-MM-DD, parts) of the last two months."""

    def recipients(self) -> list[tuple[str, str, str]]:
        """(SIM, number, the last local day it was written to) of the last two months."""

    def parts_of_late(self, since: int) -> list[tuple[str, str, int]]:
        """(SIM, number, UTC ms) of the parts that were begun after `since`, among the latest orders."""

    def conversations(self) -> list[tuple[str, str, int]]:
        """(number, SIM, UTC ms), oldest first."""

    def queues(self) -> dict[str, int]:
        """Orders that wait for a modem or are in the hands of one, by lane."""

    def handed(self, orders: int, limit: int) -> list[Handed]:
        """What the network took of the latest `orders` orders that want a delivery report, newest first."""

    def meta(self, name: str) -> str | None:
        """A value that outlives the process; None: it was never set."""


class Upkeep(Protocol):
    """What is done with the tables as wholes, inside a transaction."""

    def purge(self, cutoffs: Cutoffs, limit: int) -> int:
        """Delete at most about `limit` rows of each table that may go; returns how many went."""

    def highest(self, table: str) -> int:
        """The highest number ever given in a table that `Cutoffs` names."""

    def age_notes(self, table: str) -> list[tuple[int, int]]:
        """(ms of running, highest number at that time), oldest first."""

    def add_age_note(self, table: str, ran: int, seq: int) -> None:
        """See `age_notes`."""

    def drop_age_notes(self, table: str, before: int) -> None:
        """Forget those older than `before` ms of running."""

    def ran(self) -> int:
        """For how many ms the bridge had run in all when that was noted last."""

    def note_ran(self, ran: int) -> None:
        """See `ran`."""

    def clock_mark(self) -> ClockMark | None:
        """The clock of the newest times in here; None in a new journal."""

    def set_clock_mark(self, mark: ClockMark) -> None:
        """See `clock_mark`."""

    def move_waits(self, by: int, now: int, most: Waits) -> None:
        """The clock jumped by `by` ms: move all waits with it; none ends later than `most` from now."""

    def move_expiries(self, by: int, boot: str) -> dict[int, int]:
        """Move what expires by the clock of this run of the machine; the deadlines of unfinished orders after that."""


class Routed(Protocol):
    """What routes besides the modems need, inside a transaction."""

    def attempts_by_id(self, route: str, ids: Sequence[str]) -> list[Attempt]:
        """Attempts that this route's service centre knows by these ids, in any case, oldest first; at most 1000."""

    def add_orphan_receipt(self, receipt: Receipt) -> None:
        """Keep a receipt that fits nothing yet."""

    def orphan_receipts(self, route: str, ids: Sequence[str]) -> list[OrphanReceipt]:
        """Kept receipts with one of these ids, in any case, oldest first."""

    def has_orphan_receipts(self, since: int) -> bool:
        """Whether any is kept that came after that time (UTC ms)."""

    def drop_orphan_receipt(self, seq: int) -> None:
        """It found its part."""

    def take_up(self, seqs: Sequence[int], route: str, now: int) -> set[int]:
        """Mark as being sent what is ready for the first time, and not too late, of these; which that was."""

    def add_first_attempts(self, orders: Sequence[tuple[Order, str]], now: int) -> None:
        """An attempt that is being sent for each part of these orders, which have none, on the route that is named."""

    def end_first_attempts(self, sent: Sequence[tuple[int, str | None]], now: int) -> None:
        """The one part of each of these orders (by seq) was taken, under this id: so was the order."""

    def arrived_before(self, key: bytes, at: int, window: int) -> bool:
        """Whether this came within `window` ms of `at` (UTC ms) before; noted when not."""


class Transaction(Reader, Upkeep, Routed, Talks, Protocol):
    """All or nothing. May be rolled back and run again: work must have no effect but through this."""

    def known_ids(self, ids: Sequence[str]) -> set[str]:
        """Those of `ids` under which there are orders."""

    def add_orders(self, orders: Sequence[Order]) -> None:
        """Insert and give each its `seq`."""

    def save_order(self, order: Order) -> None:
        """Write what may change of an order."""

    def id_of_delivery(self, key: str) -> str | None:
        """The request id that came with this delivery key, if it is recent."""

    def add_delivery_keys(self, keys: Sequence[tuple[str, int]]) -> None:
        """Remember (delivery key, order seq)."""

    def orders_due(self, now: int, limit: int) -> list[Order]:
        """Orders whose `send_at`, `deadline` or `bound_until` has come."""

    def orders_busy(self) -> list[Order]:
        """Orders that a modem had begun with when the process ended."""

    def rename_modem(self, old: str, new: str) -> None:
        """What is not over and asked for this modem asks for `new`."""

    def orders_for(self, modem: str, limit: int) -> list[Order]:
        """Orders that nobody has begun with and that asked for this modem."""

    def add_attempt(self, attempt: Attempt) -> None:
        """Insert."""

    def save_attempt(self, attempt: Attempt) -> None:
        """Write what may change of an attempt."""

    def attempts_by_mr(self, sim: str, mr: int) -> list[Attempt]:
        """Attempts that the network took under this reference, newest first; the latest fifty."""

    def attempts_unknown(self, sim: str) -> list[Attempt]:
        """Attempts of unknown fate on this SIM, newest first."""

    def add_orphan(self, report: OrphanReport) -> None:
        """Keep a report that fits nothing yet."""

    def orphans(self, sim: str, mr: int) -> list[OrphanReport]:
        """Kept reports under this reference, oldest first."""

    def drop_orphan(self, seq: int) -> None:
        """It found its part."""

    def add_expiries(self, expiries: Sequence[tuple[int, int, int | None]]) -> None:
        """Remember (order seq, when it expires by this machine's clock, the deadline that it has besides)."""

    def drop_deadline(self, seq: int) -> None:
        """This order is to be sent all the same."""

    def avoid(self, order_seq: int, modem: str, until: int) -> None:
        """`modem` leaves this order to others until then (UTC ms)."""

    def contents(self, keys: Sequence[bytes]) -> dict[bytes, int]:
        """How many copies of each content came, of those that are known."""

    def note_contents(self, scope: str, copies: Mapping[bytes, int]) -> None:
        """These contents were on this SIM just now, so often in all."""

    def open_sets(self, scope: str, sender: str, ref: int, total: int, bits: int) -> list[InboundSet]:
        """Messages still in pieces under this key, newest first."""

    def set_parts(self, set_seq: int) -> list[InboundPart]:
        """The parts of one message, in order of their number."""

    def inbound_set(self, seq: int) -> InboundSet | None:
        """One received message."""

    def add_set(self, inbound: InboundSet) -> None:
        """Insert and give it its `seq`."""

    def save_set(self, inbound: InboundSet) -> None:
        """Write what may change of a received message."""

    def add_part(self, part: InboundPart) -> None:
        """Insert and give it its `seq`."""

    def drop_part(self, seq: int) -> None:
        """It cannot be read any more."""

    def sets_due(self, now: int, limit: int) -> list[InboundSet]:
        """Messages whose missing parts were waited for long enough."""

    def add_quarantined(self, item: Quarantined) -> bool:
        """Insert; False when the same content is there already."""

    def save_balance(self, balance: Balance) -> None:
        """Insert or replace."""

    def set_meta(self, name: str, value: str) -> None:
        """Keep a value."""

    def emit(self, kind: str, payload: str) -> None:
        """Put one message into the outbox, after those that are there."""

    def save_usage(self, rows: Sequence[tuple[str, str, int]]) -> None:
        """As `usage` gives them back."""

    def save_recipients(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """As `recipients` gives them back."""

    def save_conversations(self, rows: Sequence[tuple[str, str, int]]) -> None:
        """As `conversations` gives them back."""


class Journal(Protocol):
    """The durable store, as seen from the event loop."""

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction; returns after the commit. StoreError: nothing happened."""

    def commit(self, work: Callable[[Transaction], T], then: Callable[[T], R]) -> Commit[R]:
        """As `write`, but begun at once and finished whoever waits; `then` makes the result of it, on the loop."""

    async def read(self, work: Callable[[Reader], T]) -> T:
        """Run `work` on a read-only view, beside the writer."""

    def later(self, work: Callable[[Transaction], object]) -> None:
        """Run `work` with the next commit, or alone after a second; may be lost by a crash."""

    def on_outbox(self, callback: Callable[[list[OutboxRow]], None]) -> None:
        """Tell `callback`, on the loop and after the commit, which rows were added."""

    async def outbox_after(self, seq: int, limit: int) -> list[OutboxRow]:
        """Unpublished rows beyond `seq`, in order."""

    def outbox_done(self, seqs: Sequence[int]) -> None:
        """These were published; recorded lazily, so a crash may publish them once more."""
