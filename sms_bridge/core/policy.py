"""What a modem must look at before it takes an order: its SIM's limits, the conversation, the other modems."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date

from sms_bridge.core.choice import FIRST_GUESS, WEIGHT, Leave, Reason, Rival, Sticky, leaves
from sms_bridge.core.conversations import Conversations
from sms_bridge.core.model import ClaimantView, Order
from sms_bridge.core.ports import Reader, Transaction
from sms_bridge.core.queue import Entry
from sms_bridge.core.quota import NO_LIMITS, Full, Limits, Usage
from sms_bridge.core.settings import CoreSettings

RESTORED_MS = 26 * 3_600_000  # a day at its longest: what was counted within it is counted again at a start

HELD_LOOK = 60.0  # s after which an order that is held until a time of day is looked at again
EVEN = 1.3  # times the quickest modem's pace: below that no other one can be better than one that is free

UNTIL_TOLD = 2**62  # UTC ms: no time, but somebody, ends it

LimitsOf = Callable[[ClaimantView], Limits]
Held = Callable[[Order, int], int | None]
"""Until when (UTC ms) this order must not be sent, as of now (UTC ms); None: it may be."""


@dataclass(frozen=True, slots=True)
class UsageRow:
    """A day of a SIM, as the journal keeps it."""

    sim: str
    day: date
    parts: int


@dataclass(frozen=True, slots=True)
class RecipientRow:
    """The last day on which a SIM wrote to a number."""

    sim: str
    number: str
    day: date


@dataclass(slots=True)
class Changes:
    """What the journal does not know yet."""

    usage: list[UsageRow] = field(default_factory=list)
    recipients: list[RecipientRow] = field(default_factory=list)
    conversations: list[tuple[str, str, int]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.usage or self.recipients or self.conversations)

    def save(self, tx: Transaction) -> None:
        """Runs in the writer's thread."""
        tx.save_usage([(row.sim, row.day.isoformat(), row.parts) for row in self.usage])
        tx.save_recipients([(row.sim, row.number, row.day.isoformat()) for row in self.recipients])
        tx.save_conversations(self.conversations)


class Policy:
    """Counters and conversations in memory; the journal gets them once a second, and gives them back at a start."""

    def __init__(self, settings: CoreSettings, limits_of: LimitsOf = lambda modem: NO_LIMITS) -> None:
        self._settings = settings
        self._limits_of = limits_of
        self._usage: dict[str, Usage] = {}
        self._paces: dict[str, float] = {}
        self._dirty_days: set[tuple[str, date]] = set()
        self._dirty_numbers: set[tuple[str, str]] = set()
        self._full: dict[tuple[str, str], Full] = {}  # (SIM, window) -> told already
        self._news: list[tuple[ClaimantView, Full]] = []
        self.conversations = Conversations(settings.sticky_ttl)
        self.held: Held | None = None  # None: nothing is held back, and nothing need be asked

    def adopt(self, settings: CoreSettings) -> None:
        """These hold from now on."""
        self._settings = settings
        self.conversations.ttl = settings.sticky_ttl

    def load(self, reader: Reader, now: int) -> None:
        """What the last process counted, and what it had no time to write down."""
        for sim, day, parts in reader.usage():
            self._of(sim).days[date.fromisoformat(day)] = parts
        for sim, number, day in reader.recipients():
            self._of(sim).recipients[number] = date.fromisoformat(day)
        recent: dict[str, list[tuple[int, str]]] = {}
        for sim, number, at in reader.parts_of_late(now - RESTORED_MS):
            recent.setdefault(sim, []).append((at, number))
        for sim, latest in recent.items():
            self._of(sim).restore(latest, now)
        self.conversations.load(reader.conversations())

    def pace_of(self, modem: str) -> float:
        """Seconds this modem takes for a part, of late."""
        found = self._paces.get(modem)
        if found is not None:
            return found
        return sum(self._paces.values()) / len(self._paces) if self._paces else FIRST_GUESS

    def took(self, modem: str, seconds: float) -> None:
        """A part was sent in `seconds`."""
        old = self._paces.get(modem, seconds)
        self._paces[modem] = old + WEIGHT * (seconds - old)

    def begun(self, sim: str, number: str, now: int) -> None:
        """A part is being handed over: it counts, whatever becomes of it."""
        day = self._of(sim).note(number, 1, now)
        self._dirty_days.add((sim, day))
        self._dirty_numbers.add((sim, number))
        if self.conversations.sim_of(number, now) != sim:
            self.conversations.note(number, sim, now)

    def received(self, sim: str, number: str, now: int) -> None:
        """`number` has written to this SIM: the answer comes from there."""
        self.conversations.note(number, sim, now)

    def full(self, modem: ClaimantView, number: str, parts: int, now: int) -> Full | None:
        """The limit of its SIM that forbids it; None: it may."""
        limits = self._limits_of(modem)
        if not limits:
            return None
        found = self._of(modem.sim).full(limits, number, parts, now)
        if found is not None and found.window not in ("minute", "recipients"):
            told = self._full.get((modem.sim, found.window))
            if told is None or told.until <= now:
                self._full[modem.sim, found.window] = found
                self._news.append((modem, found))
        return found

    def is_limited(self, modem: ClaimantView) -> bool:
        """Whether its SIM has any limit."""
        return bool(self._limits_of(modem))

    def full_for(self, modem: ClaimantView, order: Order, now: int) -> int:
        """For how many ms a limit of its SIM forbids this order."""
        found = self.full(modem, order.to, order.parts, now)
        return found.until - now if found is not None else 0

    def figures(self, modem: ClaimantView, now: int) -> dict[str, dict[str, int]]:
        """Used and allowed, for each limit that is set."""
        limits = self._limits_of(modem)
        return self._of(modem.sim).figures(limits, now) if limits else {}

    def nobody_is_better(self, me: ClaimantView, number: str, now: int) -> bool:
        """A first look, for the usual case: like modems, and nobody else's conversation."""
        if self.conversations.sim_of(number, now) not in (None, me.sim):
            return False
        paces = self._paces.values()
        return not paces or max(paces) < EVEN * min(paces)

    def leave(
        self, me: Rival, number: str, parts: int, waited: float, rivals: Sequence[Rival], now: int
    ) -> Leave | None:
        """Whether `me` leaves a message that anybody may send to another modem."""
        known = self.conversations.sim_of(number, now)
        return leaves(me, rivals, parts, known, waited, self._settings.sticky)

    def may_write(self, sim: str, number: str, now: int) -> bool:
        """Whether a message to `number` may come from this number of ours at all."""
        return self._settings.sticky is not Sticky.STRICT or self.conversations.sim_of(number, now) in (None, sim)

    def take_news(self) -> list[tuple[ClaimantView, Full]]:
        """Limits that were reached since the last call, each once a window."""
        news, self._news = self._news, []
        return news

    def take_changes(self) -> Changes:
        """What is to be written; the caller sees to it that it is."""
        days, self._dirty_days = self._dirty_days, set()
        numbers, self._dirty_numbers = self._dirty_numbers, set()
        return Changes(
            [UsageRow(sim, day, self._of(sim).days.get(day, 0)) for sim, day in days],
            [RecipientRow(sim, number, self._of(sim).recipients[number]) for sim, number in numbers],
            self.conversations.take_changed(),
        )

    def _of(self, sim: str) -> Usage:
        found = self._usage.get(sim)
        if found is None:
            found = self._usage[sim] = Usage()
        return found


class Gate:
    """One modem's look at the queue: which orders it takes. Remembers what it has left to whom."""

    def __init__(
        self,
        policy: Policy,
        me: ClaimantView,
        rivals: Callable[[], list[tuple[ClaimantView, Rival]]],
        now: int,
        loop_time: float,
        wake_at: Callable[[float], None],
    ) -> None:
        self._policy = policy
        self._me = me
        self._make_rivals = rivals
        self._rivals: list[tuple[ClaimantView, Rival]] | None = None
        self._now = now
        self._time = loop_time
        self._wake_at = wake_at

    def may(self, entry: Entry, *, anybody: bool) -> bool:
        """Whether it takes this order; `anybody`: others may as well."""
        order = entry.order
        if _is_held(self._policy, entry, self._now, self._time, self._wake_at):
            return False
        full = self._policy.full(self._me, order.to, order.parts, self._now)
        if full is not None:
            self._wake_at(self._time + max(0.1, (full.until - self._now) / 1000))
            return False
        if not anybody:
            return True
        if self._policy.nobody_is_better(self._me, order.to, self._now):
            return True
        if not entry.since:
            entry.since = self._time
        rivals = [rival for view, rival in self._others() if self._eligible(view, entry)]
        mine = Rival(self._me.name, self._me.sim, 0.0, self._policy.pace_of(self._me.name))
        leave = self._policy.leave(mine, order.to, order.parts, self._time - entry.since, rivals, self._now)
        if leave is None:
            return True
        if leave.to is not None:
            leave.to.free_in += order.parts * leave.to.pace
        if leave.again is not None:
            self._wake_at(self._time + leave.again)
        return False

    def _eligible(self, view: ClaimantView, entry: Entry) -> bool:
        if entry.blocked.get(view.name, 0.0) > self._time:
            return False
        return self._policy.full(view, entry.order.to, entry.order.parts, self._now) is None

    def _others(self) -> list[tuple[ClaimantView, Rival]]:
        if self._rivals is None:
            self._rivals = self._make_rivals()
        return self._rivals


class RouteGate:
    """A route's look at the queue, where that is no pool of modems."""

    def __init__(
        self, policy: Policy, me: ClaimantView, now: int, loop_time: float, wake_at: Callable[[float], None]
    ) -> None:
        self._policy = policy
        self._me = me
        self._now = now
        self._time = loop_time
        self._wake_at = wake_at

    def may(self, entry: Entry, *, anybody: bool) -> bool:
        """Whether it takes this order: where `sticky` is strict, nobody writes from another number."""
        if _is_held(self._policy, entry, self._now, self._time, self._wake_at):
            return False
        return self._policy.may_write(self._me.sim, entry.order.to, self._now)


def _is_held(policy: Policy, entry: Entry, now: int, loop_time: float, wake_at: Callable[[float], None]) -> bool:
    """Whether this order must not be sent by anybody yet."""
    if policy.held is None or (until := policy.held(entry.order, now)) is None:
        return False
    if until < UNTIL_TOLD:
        # However many are held, they must not hide those behind them; looked at again should the clock jump.
        entry.not_before = loop_time + min(max(0.1, (until - now) / 1000), HELD_LOOK)
        wake_at(entry.not_before)
    return True


def why(
    policy: Policy, modems: Sequence[tuple[ClaimantView, Rival]], number: str, parts: int, now: int
) -> list[tuple[ClaimantView, Rival, bool, str]]:
    """Each modem in service with whether it would take a message to `number` now, and the reason in words."""
    full = {view.name: policy.full(view, number, parts, now) for view, _ in modems}
    able = [rival for view, rival in modems if full[view.name] is None]
    found = []
    for view, rival in modems:
        reached = full[view.name]
        if reached is not None:
            found.append((view, rival, False, reached.sentence))
            continue
        leave = policy.leave(rival, number, parts, 0.0, [other for other in able if other is not rival], now)
        if leave is not None:
            found.append((view, rival, False, leave.reason.value))
            continue
        sticks = policy.conversations.sim_of(number, now) == view.sim
        first = min(able, key=lambda one: one.done_in(parts)) is rival
        reason = Reason.STICKY if sticks else Reason.FIRST if first else Reason.ABLE
        found.append((view, rival, True, reason.value))
    return found
