"""How much is too much: the same text again, two machines that answer each other, budgets (domain E8.5, E8.6).

Counted is what was accepted, on a clock that never jumps. The loop counts and asks, the writer's thread asks too.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple, TypeVar

from sms_bridge.core.guards import GuardSettings, Rate, Refusal
from sms_bridge.core.settings import DAY

T = TypeVar("T")

ANSWERED = 60.0  # s after a message within which an order to its sender is an answer to it
LONGEST = float(DAY)  # s; no rate looks further back
MOST = 1000  # in one rate; budgets know no bound
_KEYS = 10_000  # of one kind, until those that are over are forgotten


class Spent(NamedTuple):
    """An accepted order."""

    number: str
    content: int  # a hash of the number and the text, or the octets
    parts: int
    cost: float = 0.0  # in the money of the routes' costs; 0: nobody knows


class Tally:
    """What one batch asks for, before any of it is accepted."""

    def __init__(self) -> None:
        self.texts: dict[int, int] = {}
        self.numbers: dict[str, int] = {}
        self.messages = self.parts = 0
        self.cost = 0.0

    def add(self, order: Spent) -> None:
        self.texts[order.content] = self.texts.get(order.content, 0) + 1
        self.numbers[order.number] = self.numbers.get(order.number, 0) + 1
        self.messages += 1
        self.parts += order.parts
        self.cost += order.cost


class Brakes:
    """Times are seconds that pass."""

    def __init__(self, settings: GuardSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._texts: dict[int, list[float]] = {}
        self._numbers: dict[str, list[float]] = {}  # while somebody asks for them
        self._answers: dict[str, list[float]] = {}
        self._heard: dict[str, float] = {}  # number -> when it wrote last
        self._minutes: deque[list[float]] = deque()  # [minute, messages, parts, cost] of the last day

    def adopt(self, settings: GuardSettings) -> None:
        """These hold from now on; what was counted stays."""
        self._settings = settings

    def refusal(self, order: Spent, per_day: int | None, now: float, tally: Tally) -> Refusal | None:
        """Why it is too much; None: it is not, and is in `tally` now. `per_day`: the most for its number."""
        with self._lock:
            found = self._refusal(order, per_day, now, tally)
        if found is None:
            tally.add(order)
        return found

    def count(self, orders: Iterable[Spent], now: float, age: float = 0.0, by_number: bool = True) -> None:
        """These were accepted, `age` seconds ago. `by_number`: somebody may ask how many a number got."""
        at, by_text = now - max(0.0, age), self._settings.duplicates is not None
        with self._lock:
            for order in orders:
                if by_text:
                    _note(self._texts, order.content, at)
                if by_number:
                    _note(self._numbers, order.number, at)
                if at - self._heard.get(order.number, -ANSWERED) < ANSWERED:
                    _note(self._answers, order.number, at)
                minute = at // 60
                if not self._minutes or self._minutes[-1][0] < minute:
                    self._minutes.append([minute, 0, 0, 0])
                last = self._minutes[-1]
                last[1] += 1
                last[2] += order.parts
                last[3] += order.cost
            self._forget(now)

    def heard(self, number: str, now: float) -> None:
        """`number` has written."""
        with self._lock:
            self._heard[number] = now

    def _refusal(self, order: Spent, per_day: int | None, now: float, tally: Tally) -> Refusal | None:
        settings = self._settings
        if _over(settings.duplicates, self._texts.get(order.content), tally.texts.get(order.content, 0), now):
            what = "this text was sent to this number {} already: guards: duplicates: says how often it may be"
            return _too_much("duplicate_text", what, settings.duplicates)
        to_it = tally.numbers.get(order.number, 0)
        answering = now - self._heard.get(order.number, -ANSWERED) < ANSWERED
        if answering and _over(settings.loop, self._answers.get(order.number), to_it, now):
            what = "this number was answered {}: two machines may be answering each other. guards: loop: allows more"
            return _too_much("loop", what, settings.loop)
        daily = Rate(per_day, LONGEST) if per_day is not None else None
        for rate, where in ((daily, "its contact's per_day:"), (settings.per_recipient, "per_recipient:")):
            if _over(rate, self._numbers.get(order.number), to_it, now):
                return _too_much("recipient_limit", f"this number was written to {{}}: {where} allows more", rate)
        return self._budgets(order, now, tally)

    def _budgets(self, order: Spent, now: float, tally: Tally) -> Refusal | None:
        settings = self._settings
        for rate, unit, column, wanted in (
            (settings.messages, "messages", 1, tally.messages + 1),
            (settings.parts, "parts", 2, tally.parts + order.parts),
            (settings.money if order.cost else None, "money", 3, tally.cost + order.cost),
        ):
            if rate is not None:
                since = (now - rate.seconds) // 60
                if wanted + sum(row[column] for row in self._minutes if row[0] > since) > rate.most:
                    what = f"the budget of {rate.most} {unit} in {_spoken(rate.seconds)} is used up"
                    return Refusal("budget", f"{what} (guards: {unit}: allows more)", True)
        return None

    def _forget(self, now: float) -> None:
        while self._minutes and self._minutes[0][0] < (now - LONGEST) // 60:
            self._minutes.popleft()
        _shorten(self._texts, now)
        _shorten(self._numbers, now)
        _shorten(self._answers, now)
        if len(self._heard) > _KEYS:
            self._heard = {number: at for number, at in self._heard.items() if at > now - ANSWERED}


def _note(table: dict[T, list[float]], key: T, at: float) -> None:
    times = table.get(key)
    if times is None:
        table[key] = [at]
        return
    times.append(at)
    if len(times) > 2 * MOST:
        del times[:MOST]


def _shorten(table: dict[T, list[float]], now: float) -> None:
    """Forget what no rate looks at any more, or else the older half of the keys."""
    if len(table) > _KEYS:
        over = [key for key, times in table.items() if times[-1] < now - LONGEST]
        for key in over or list(table)[: _KEYS // 2]:
            del table[key]


def _over(rate: Rate | None, times: list[float] | None, more: int, now: float) -> bool:
    """Whether `more` besides what was counted leave no room for another one."""
    if rate is None:
        return False
    short = rate.most - more
    if short <= 0:
        return True
    return times is not None and len(times) >= short and times[-short] > now - rate.seconds


def _too_much(code: str, what: str, rate: Rate | None) -> Refusal:
    assert rate is not None
    return Refusal(code, what.format(f"{rate.most} times within {_spoken(rate.seconds)}"), True)


def _spoken(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"
