"""What an order has to pass before it is accepted, and again before it is sent: numbers, hours."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import tzinfo
from typing import NamedTuple

from sms_bridge.core import quiet
from sms_bridge.core.brakes import Brakes, Spent, Tally
from sms_bridge.core.clock import SET_AFTER
from sms_bridge.core.guards import AWAKE_SOURCES, OWN_SOURCES, GuardSettings, NumberRules, Refusal
from sms_bridge.core.model import Order
from sms_bridge.core.numbers import ContactBook
from sms_bridge.core.people import Contact, Group

TOLD = 600.0  # s for which health speaks of orders that were too many
_SETTLED = 16  # looks at most, until hours that hand over to each other have an end in common


class Wait(NamedTuple):
    """Quiet hours."""

    until: int  # UTC ms
    whose: str  # "@anna", "#family", "everybody"


class Guard:
    """Asked on the loop and in the writer's thread; what it knows is replaced, never changed."""

    def __init__(
        self,
        settings: GuardSettings,
        book: ContactBook,
        own_numbers: Callable[[], Collection[str]] = tuple,
        local: tzinfo | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        price_of: Callable[[str], float | None] = lambda number: None,
    ) -> None:
        """`local`: the machine's time zone; None: it is looked up, which reads a file. `price_of`: a part, at most."""
        self.rules = NumberRules(settings, own_numbers)
        self._brakes = Brakes(settings)
        self._monotonic = monotonic
        self._price_of = price_of
        self._tripped: dict[str, tuple[float, str]] = {}  # code -> when it refused last, and the text
        self._book = book
        self._local = local or quiet.local_zone()
        self._passed: dict[tuple[tuple[str, ...], str | None], tuple[int, int | None]] = {}
        self.adopt(settings)

    def adopt(self, settings: GuardSettings) -> None:
        """These hold from now on."""
        self.rules.adopt(settings)
        self._brakes.adopt(settings)
        self._settings = settings

    @property
    def quiet(self) -> bool:
        """There are quiet hours that an accepted order may still run into."""
        return bool(self._settings.quiet_hours) or self._book.any_quiet

    def refusal(self, source: str, number: str) -> Refusal | None:
        """Why nothing is sent to `number` (E.164, or a short code); None: it is."""
        return None if source in OWN_SOURCES else self.rules.refusal(number)

    def too_much(self, order: Order, tally: Tally) -> Refusal | None:
        """Why there are too many such orders; None: there are not. `tally` knows those of the same batch."""
        if order.source in OWN_SOURCES or self._urgent(-order.precedence, self._settings.urgent):
            return None
        who, now = self._book.who(order.to), self._monotonic()
        found = self._brakes.refusal(self._spent(order), who.per_day if who is not None else None, now, tally)
        if found is not None:
            self._tripped[found.code] = (now, found.text)
        return found

    def count(self, orders: Iterable[Order], age: float = 0.0) -> None:
        """These were accepted `age` seconds ago."""
        self._brakes.count(map(self._spent, orders), self._monotonic(), age, self._by_number)

    def heard(self, number: str) -> None:
        """`number` has written."""
        self._brakes.heard(number, self._monotonic())

    def restore(self, late: Iterable[tuple[float, str, str | bytes | None, int]]) -> None:
        """What was accepted before this process: (seconds ago, number, content, parts), oldest first."""
        now, by_number = self._monotonic(), self._by_number
        for age, number, content, parts in late:
            self._brakes.count([self._spend(number, content, parts)], now, age, by_number)

    def warnings(self) -> list[str]:
        """What a person should know, as sentences."""
        since = self._monotonic() - TOLD
        return [f"orders were rejected lately: {text}" for at, text in self._tripped.values() if at > since]

    def quiet_until(
        self, source: str, number: str, priority: int, at: int, groups: Sequence[str] | None = None
    ) -> Wait | None:
        """Whose hours forbid to write to `number` at `at` (UTC ms). `groups`: it was reached by these only."""
        if source in AWAKE_SOURCES or at < SET_AFTER or self._urgent(priority, self._settings.urgent):
            return None
        who = self._book.who(number)
        found: Wait | None = None
        for _ in range(_SETTLED):
            wait = self._of_person(number, who, priority, at) or self._of_groups(groups, priority, at)
            if wait is None:
                break
            found, at = wait, wait.until
        return found

    def held(self, order: Order, now: int) -> int | None:
        """As `core.holds` asks, of an order that is ready."""
        wait = self.quiet_until(order.source, order.to, -order.precedence, now)
        return wait.until if wait is not None else None

    def _of_person(self, number: str, who: Contact | None, priority: int, at: int) -> Wait | None:
        hours, zone = self._settings.quiet_hours, None
        if who is not None:
            if self._urgent(priority, who.priority_breaks_quiet):
                return None
            hours, zone = (hours if who.quiet_hours is None else who.quiet_hours), who.time_zone
        until = self._until(hours, zone, at) if hours else None
        if until is None:
            return None
        own = who is not None and who.quiet_hours is not None
        return Wait(until, f"@{self._book.name_of(number)}" if own else "everybody")

    def _of_groups(self, groups: Sequence[str] | None, priority: int, at: int) -> Wait | None:
        """Who is reached by several groups is written to when one of them may be."""
        waits = []
        for name in groups or ():
            group = self._book.group_details(name)
            until = self._of_group(group, priority, at) if group is not None else None
            if until is None:
                return None
            waits.append(Wait(until, f"#{name}"))
        return min(waits, default=None)

    def _of_group(self, group: Group, priority: int, at: int) -> int | None:
        if self._urgent(priority, group.priority_breaks_quiet):
            return None
        return self._until(group.quiet_hours, group.time_zone, at)

    def _until(self, hours: tuple[str, ...], zone: str | None, at: int) -> int | None:
        """Remembered for a minute: a thousand orders look at the same hours."""
        minute = at // 60_000
        known = self._passed.get((hours, zone))
        if known is not None and known[0] == minute:
            return known[1]
        name = zone or self._settings.time_zone
        until = quiet.until(quiet.windows(hours), quiet.zone(name) if name else self._local, at)
        if len(self._passed) > 1000:
            self._passed = {}
        self._passed[hours, zone] = (minute, until)
        return until

    def _urgent(self, priority: int, least: int | None) -> bool:
        return least is not None and priority >= least

    @property
    def _by_number(self) -> bool:
        return self._settings.per_recipient is not None or self._book.any_daily

    def _spent(self, order: Order) -> Spent:
        return self._spend(order.to, order.text if order.data is None else order.data, order.parts)

    def _spend(self, number: str, content: str | bytes | None, parts: int) -> Spent:
        return Spent(number, hash((number, content)), parts, parts * (self._price_of(number) or 0.0))
