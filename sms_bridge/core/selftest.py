"""Self-tests: one modem texts another, which alone proves that messages go and come (domain A12).

A test is an order like any other, on the sender's lane, last in its queue. What comes of it stands in one row of the
journal, with the budget: a restart forgets neither. A test message is known by a code that only this bridge can make,
so it is kept from `sms/in` however late it comes, and nobody else's is.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Any

from hardware.types import Blame
from sms_bridge.core.clock import SET_AFTER, Clock, SystemClock
from sms_bridge.core.errors import CoreError
from sms_bridge.core.events import event_json
from sms_bridge.core.model import Accepted, OutboxKind, Rejected, SendRequest
from sms_bridge.core.ports import Journal, Reader, Transaction
from sms_bridge.core.settings import SelfTestSettings
from sms_bridge.core.states import HANDED_OVER, OnUnknown, OrderState, PartState, Stage
from sms_bridge.core.testbook import Book, Member, Outcome, Pair, Trial, blame, budget_left, loss, next_pair, summary

__all__ = ["SelfTestError", "SelfTests", "Started", "arrived"]

log = logging.getLogger(__name__)

ROW = "self_test"  # of the journal's `meta`
LOWEST = -128  # priority: everything else goes first
QUEUE_PATIENCE = 600  # s that a test waits for its modem; one that is so busy needs no test
ORPHAN = 60.0  # s after which a test without an order was never ordered: the bridge ended in between
ODD = 60.0  # s that a modem may take to say its number, or to be plugged in
REFRESH = 60.0  # s after which the book is read again: a late message may have changed it

_CODE = re.compile(r"\bself-test ([A-Z2-7]{8})-([A-Z2-7]{8})\b")
_OCTETS = 5  # eight letters

Submit = Callable[[Sequence[SendRequest]], Awaitable[list[Accepted | Rejected]]]


class SelfTestError(CoreError):
    """It cannot be done now; the text is for the person who asked."""


class Progress(Enum):
    """How far a test's order is."""

    ABSENT = auto()
    WAITS = auto()
    HANDED = auto()
    REFUSED = auto()
    SKIPPED = auto()


@dataclass(frozen=True, slots=True)
class Started:
    id: str
    sender: str
    receiver: str


class SelfTests:
    """`members`: the modems as they are now, in the order of the round. Call `start`, then `tick` each second."""

    def __init__(
        self,
        journal: Journal,
        submit: Submit,
        settings: SelfTestSettings | None = None,
        clock: Clock | None = None,
        *,
        members: Callable[[], Sequence[Member]],
    ) -> None:
        self._journal = journal
        self._submit = submit
        self._settings = settings or SelfTestSettings()
        self._clock = clock or SystemClock()
        self._members = members
        self._book = Book()
        self._seen: dict[str, float] = {}  # nonce -> since when, monotonic, its order is as it is
        self._handed: set[str] = set()
        self._read_at = self._started_at = self._clock.monotonic()
        self._complained = False
        self._odd_since: float | None = None  # since when there is a reason to complain
        self._lock = asyncio.Lock()  # one decision at a time: the budget must not be spent twice

    async def start(self) -> None:
        """Read the book; make the key when there is none. Before the first message is received. StoreError."""
        self._book = await self._journal.read(_load)
        if not self._book.key:
            fresh = secrets.token_hex(16)
            self._book = await self._journal.write(lambda tx: _with_key(tx, fresh))
        self._started_at = self._read_at = self._clock.monotonic()

    def recognise(self, text: str | None) -> str | None:
        """The nonce of a test message of this bridge; None: it is somebody's message."""
        found = _CODE.search(text) if text and self._book.key else None
        if found is None or not hmac.compare_digest(_seal(self._book.key, found[1]), found[2]):
            return None
        return found[1]

    async def tick(self) -> None:
        """Conclude what is over, begin what is due; cheap when nothing is. StoreError: later."""
        monotonic, now = self._clock.monotonic(), self._clock.now()
        if self._book.pending:
            await self._follow(monotonic, now)
        elif monotonic - self._read_at >= REFRESH:
            self._read_at = monotonic
            self._book = await self._journal.read(_load)
        if self._settings.every is None or now < SET_AFTER or monotonic - self._started_at < self._settings.settle:
            return
        async with self._lock:
            if self._book.clamp(now):
                self._book = await self._journal.write(partial(_clamp, now=now))
            members = self._taking_part()
            self._complain(members, monotonic)
            pair = next_pair(self._book.tests, members, now, self._settings)
            if pair is not None:
                try:
                    await self._begin(pair)
                except SelfTestError as error:
                    log.warning("%s", error)

    async def begin(self, sender: str | None = None, receiver: str | None = None) -> Started:
        """A test on request; whom nobody named is chosen. SelfTestError with a sentence."""
        async with self._lock:
            self._book = await self._journal.read(_load)  # a message may have come in this moment
            return await self._begin(self._asked_for(sender, receiver))

    def blame(self) -> dict[str, Blame]:
        """By modem; see `testbook.blame`."""
        return blame(self._book.tests)

    def summary(self) -> dict[str, dict[str, object]]:
        """Latency and loss of each modem that is there, as on `sms/bridge/health`."""
        there = {member.name for member in self._members()}
        return {name: sides for name, sides in summary(self._book.tests).items() if name in there}

    def _taking_part(self) -> list[Member]:
        wanted = self._settings.between
        return [member for member in self._members() if wanted is None or member.name in wanted]

    def _asked_for(self, sender: str | None, receiver: str | None) -> Pair:
        members = {member.name: member for member in self._members()}
        for name in (sender, receiver):
            if name is not None and name not in members:
                raise SelfTestError(f"there is no modem {name[:64]!r}; there are: {', '.join(members) or 'none'}")
        if self._book.pending:
            test = self._book.pending[0]
            raise SelfTestError(f"a self-test from {test.sender} to {test.receiver} is under way")
        count, period = self._settings.budget
        if budget_left(self._book.tests, self._clock.now(), self._settings) <= 0:
            raise SelfTestError(f"the budget of {count} in {period / 3600:g} hours is used up: see self_test.budget")
        return _chosen(members, sender, receiver)

    def _complain(self, members: Sequence[Member], monotonic: float) -> None:
        """Say why nothing will ever be sent: once, and only when it has been so for a while."""
        missing = sorted(set(self._settings.between or ()) - {member.name for member in members})
        usable = [member for member in members if member.usable]
        mute = usable and not any(member.number for member in usable)
        self._odd_since = monotonic if self._odd_since is None else self._odd_since
        if self._complained or not (missing or mute) or monotonic - self._odd_since < ODD:
            self._odd_since = self._odd_since if missing or mute else None
            return
        self._complained = True
        if missing:
            log.warning("self_test.between names %s: there is no such modem", ", ".join(missing))
        if mute:
            log.warning("no self-test can be sent: no modem's number is known; set `number:` of one, or of all")

    async def _begin(self, pair: Pair) -> Started:
        sender, receiver = pair
        number = next((m.number for m in self._members() if m.name == receiver), None)
        if number is None:
            raise SelfTestError(f"the number of {receiver} is not known: set `number:` for it")
        now = self._clock.now()
        test = Trial(_letters(secrets.token_bytes(_OCTETS)), sender, receiver, now)
        # First the book, then the order: what a crash in between costs is a test, not the budget.
        self._book = await self._journal.write(partial(_add, test=test))
        log.info("self-test from %s to %s", sender, receiver)
        (result,) = await self._submit([self._request(test, number)])
        if isinstance(result, Rejected):
            reason = "; ".join(rejection.text for rejection in result.rejections)
            raise SelfTestError(f"the self-test from {sender} to {receiver} was rejected: {reason}")
        return Started(test.id, sender, receiver)

    def _request(self, test: Trial, number: str) -> SendRequest:
        return SendRequest(
            to=(number,),
            text=f"sms-bridge self-test {test.nonce}-{_seal(self._book.key, test.nonce)}",
            id=test.id,
            modem=test.sender,
            priority=LOWEST,
            validity=max(300, int(self._settings.timeout)),
            expires_in=QUEUE_PATIENCE,
            delivery_report=False,
            on_unknown=OnUnknown.HOLD,
            source="self_test",
        )

    async def _follow(self, monotonic: float, now: int) -> None:
        """See how far the tests are; conclude those that refused, were never sent, or have waited for too long."""
        book, progress = await self._journal.read(_look)
        self._book, self._read_at = book, monotonic
        verdicts: dict[str, Outcome] = {}
        for nonce, how in progress.items():
            if how is Progress.HANDED and nonce not in self._handed:
                self._handed.add(nonce)
                self._seen[nonce] = monotonic
            waited = monotonic - self._seen.setdefault(nonce, monotonic)
            outcome = _verdict(how, waited, self._settings.timeout)
            if outcome is not None:
                verdicts[nonce] = outcome
        if verdicts:
            self._book = await self._journal.write(partial(_conclude, verdicts=verdicts, now=now))
        for nonce in self._seen.keys() - progress.keys():
            del self._seen[nonce]
            self._handed.discard(nonce)


def arrived(tx: Transaction, nonce: str, modem: str, received_at: int, now: int) -> None:
    """A test message was received by `modem`: write down how long it took, and tell it; once."""
    book = _load(tx)
    test = book.find(nonce)
    if test is None or test.outcome not in (Outcome.PENDING, Outcome.LOST, Outcome.REFUSED, Outcome.SKIPPED):
        return  # the network delivered it twice, or it is long forgotten
    test.latency = _latency(tx, test, received_at)
    in_time = test.outcome is Outcome.PENDING
    test.outcome = Outcome.ARRIVED if in_time else Outcome.LATE
    if modem != test.receiver:
        test.outcome = Outcome.ELSEWHERE
        log.warning("a self-test for %s came in at %s: check the number of %s", test.receiver, modem, test.receiver)
    _save(tx, book)
    _tell(tx, book, test, now, arrived_at=modem)


def _chosen(members: Mapping[str, Member], sender: str | None, receiver: str | None) -> Pair:
    """Whom nobody named: the first that can. SelfTestError when nobody can."""
    if sender is not None and not members[sender].usable:
        raise SelfTestError(f"{sender} is not in service")
    if receiver is not None and members[receiver].number is None:
        raise SelfTestError(f"the number of {receiver} is not known: set `number:` for it")
    if receiver is not None and not members[receiver].usable:
        raise SelfTestError(f"{receiver} is not in service")
    usable = [member for member in members.values() if member.usable]
    numbered = [member.name for member in usable if member.number is not None]
    senders = [sender] if sender is not None else sorted((m.name for m in usable), key=lambda name: name == receiver)
    for name in senders:
        receivers = [receiver] if receiver is not None else sorted(numbered, key=lambda other: other == name)
        if receivers:
            return (name, receivers[0])
    why = "no modem is in service" if not usable else "no modem's number is known: set `number:` of one"
    raise SelfTestError(f"a self-test needs two modems, or one that texts itself: {why}")


def _verdict(how: Progress, waited: float, timeout: float) -> Outcome | None:
    """What a test has come to; None: it is still on its way. Monotonic time: a clock that jumps loses no message."""
    match how:
        case Progress.HANDED:
            return Outcome.LOST if waited >= timeout else None
        case Progress.REFUSED:
            return Outcome.REFUSED
        case Progress.SKIPPED:
            return Outcome.SKIPPED
        case Progress.ABSENT:
            return Outcome.SKIPPED if waited >= ORPHAN else None
        case Progress.WAITS:
            return None


def _look(reader: Reader) -> tuple[Book, dict[str, Progress]]:
    book = _load(reader)
    return book, {test.nonce: _progress(reader, test) for test in book.pending}


def _progress(reader: Reader, test: Trial) -> Progress:
    orders = reader.orders_of(test.id)
    if not orders:
        return Progress.ABSENT
    order = orders[0]
    attempts = reader.attempts(order.seq)
    if any(attempt.state in HANDED_OVER or attempt.state is PartState.UNKNOWN for attempt in attempts):
        return Progress.HANDED
    if order.stage is not Stage.DONE:
        return Progress.WAITS
    return Progress.REFUSED if order.state is OrderState.FAILED else Progress.SKIPPED


def _latency(tx: Transaction, test: Trial, received_at: int) -> float | None:
    """Seconds since the modem was given it; None when a clock that jumped makes nonsense of it."""
    orders = tx.orders_of(test.id)
    began = [attempt.began_at for attempt in tx.attempts(orders[0].seq)] if orders else []
    seconds = (received_at - began[-1]) / 1000 if began else -1.0
    return round(seconds, 1) if 0 <= seconds < 7 * 86_400 else None


def _load(reader: Reader) -> Book:
    return Book.loads(reader.meta(ROW))


def _save(tx: Transaction, book: Book) -> None:
    tx.set_meta(ROW, book.dumps())


def _with_key(tx: Transaction, key: str) -> Book:
    book = _load(tx)
    book.key = book.key or key
    _save(tx, book)
    return book


def _clamp(tx: Transaction, now: int) -> Book:
    book = _load(tx)
    book.clamp(now)
    _save(tx, book)
    return book


def _add(tx: Transaction, test: Trial) -> Book:
    book = _load(tx)
    book.tests.append(test)
    _save(tx, book)
    return book


def _conclude(tx: Transaction, verdicts: Mapping[str, Outcome], now: int) -> Book:
    book = _load(tx)
    for nonce, outcome in verdicts.items():
        test = book.find(nonce)
        if test is None or test.outcome is not Outcome.PENDING:
            continue  # it came in a moment ago
        test.outcome = outcome
        _tell(tx, book, test, now)
    _save(tx, book)
    return book


def _tell(tx: Transaction, book: Book, test: Trial, now: int, arrived_at: str | None = None) -> None:
    data: dict[str, Any] = {
        "sender": test.sender,
        "receiver": test.receiver,
        "outcome": test.outcome.value,
        "latency": test.latency,
        "loss": loss(book.tests, test.pair),
        "id": test.id,
    }
    if test.outcome is Outcome.ELSEWHERE:
        data["arrived_at"] = arrived_at
    tx.emit(OutboxKind.EVENT, event_json("self_test", now, data))


def _seal(key: str, nonce: str) -> str:
    return _letters(hmac.digest(key.encode(), nonce.encode(), hashlib.sha256)[:_OCTETS])


def _letters(octets: bytes) -> str:
    return base64.b32encode(octets).decode("ascii")
