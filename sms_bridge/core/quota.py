"""How much a SIM may send: parts a minute, hour, day and month, and different recipients a month (domain B2, B3)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import NamedTuple

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
KEPT_DAYS = 62  # of counters: two bill cycles


@dataclass(frozen=True, slots=True)
class Limits:
    """None: no limit. Days and months are those of the machine's own time zone."""

    per_minute: int | None = None
    per_hour: int | None = None
    per_day: int | None = None
    per_month: int | None = None
    recipients_per_month: int | None = None
    cycle_day: int = 1  # of the month, 1 to 31, on which the month of the bill begins

    def __bool__(self) -> bool:
        return self != Limits(cycle_day=self.cycle_day)


NO_LIMITS = Limits()


class Full(NamedTuple):
    """A limit that stands in the way."""

    window: str  # "minute", "hour", "day", "month", "recipients"
    limit: int
    until: int  # UTC ms at which it may have room again

    @property
    def sentence(self) -> str:
        what = "different recipients a month" if self.window == "recipients" else f"parts a {self.window}"
        return f"the SIM's limit of {self.limit} {what} is reached"


class Usage:
    """What one SIM has sent, as far back as a limit may ask. Times are UTC ms."""

    def __init__(self, zone: tzinfo | None = None) -> None:
        self._zone = zone
        self._recent: deque[tuple[int, int]] = deque()  # (when, parts) of the last hour
        self.days: dict[date, int] = {}
        self.recipients: dict[str, date] = {}  # number -> the last day it was sent to

    def note(self, number: str, parts: int, now: int) -> date:
        """`parts` to `number` have been handed over, or are about to be; returns the day they count for."""
        self._forget(now)
        self._recent.append((now, parts))
        today = self.day_of(now)
        self.days[today] = self.days.get(today, 0) + parts
        self.recipients[number] = today
        return today

    def full(self, limits: Limits, number: str, parts: int, now: int) -> Full | None:
        """The limit that forbids `parts` more to `number`, the longest-lasting one first; None: it may go.

        A message that is larger than a limit may go when nothing else has used that window.
        """
        today = self.day_of(now)
        start = cycle_start(today, limits.cycle_day)
        if limits.recipients_per_month is not None and self.recipients.get(number, date.min) < start:
            known = sum(day >= start for day in self.recipients.values())
            if known >= limits.recipients_per_month:
                return Full("recipients", limits.recipients_per_month, self._ms(cycle_end(start, limits.cycle_day)))
        month = sum(count for day, count in self.days.items() if day >= start)
        if _over(month, parts, limits.per_month):
            return Full("month", limits.per_month or 0, self._ms(cycle_end(start, limits.cycle_day)))
        if _over(self.days.get(today, 0), parts, limits.per_day):
            return Full("day", limits.per_day or 0, self._ms(today + timedelta(days=1)))
        self._forget(now)
        for window, limit, span in (("hour", limits.per_hour, HOUR_MS), ("minute", limits.per_minute, MINUTE_MS)):
            if limit is not None and (until := self._sliding(limit, parts, span, now)) is not None:
                return Full(window, limit, until)
        return None

    def figures(self, limits: Limits, now: int) -> dict[str, dict[str, int]]:
        """Used and allowed, for each limit that is set."""
        today = self.day_of(now)
        start = cycle_start(today, limits.cycle_day)
        self._forget(now)
        used = {
            "minute": (limits.per_minute, sum(n for at, n in self._recent if at > now - MINUTE_MS)),
            "hour": (limits.per_hour, sum(n for _, n in self._recent)),
            "day": (limits.per_day, self.days.get(today, 0)),
            "month": (limits.per_month, sum(n for day, n in self.days.items() if day >= start)),
            "recipients": (limits.recipients_per_month, sum(day >= start for day in self.recipients.values())),
        }
        return {name: {"used": n, "limit": limit} for name, (limit, n) in used.items() if limit is not None}

    def restore(self, recent: Iterable[tuple[int, str]], now: int) -> None:
        """After a start: the parts of the last hours as (when, number), of which some may be counted already."""
        counted: dict[date, int] = {}
        for at, number in sorted(recent):
            day = self.day_of(at)
            counted[day] = counted.get(day, 0) + 1
            self.recipients[number] = max(day, self.recipients.get(number, date.min))
            self._recent.append((at, 1))
        for day, count in counted.items():
            self.days[day] = max(count, self.days.get(day, 0))
        self._forget(now)

    def day_of(self, ms: int) -> date:
        return datetime.fromtimestamp(ms / 1000, self._zone).date()

    def _sliding(self, limit: int, parts: int, span: int, now: int) -> int | None:
        """When a window of `span` ms has room for `parts`; None: now."""
        used = sum(n for at, n in self._recent if at > now - span)
        if not _over(used, parts, limit):
            return None
        for at, n in self._recent:
            if at > now - span:
                used -= n
                if not _over(used, parts, limit):
                    return at + span
        return now + span

    def _forget(self, now: int) -> None:
        while self._recent and self._recent[0][0] <= now - HOUR_MS:
            self._recent.popleft()
        if self._recent and self._recent[-1][0] > now:
            # The clock went back: what lies ahead of it happened before.
            self._recent = deque((min(at, now), n) for at, n in self._recent)
        if len(self.days) > KEPT_DAYS:
            oldest = self.day_of(now) - timedelta(days=KEPT_DAYS)
            self.days = {day: n for day, n in self.days.items() if day > oldest}
            self.recipients = {number: day for number, day in self.recipients.items() if day > oldest}

    def _ms(self, day: date) -> int:
        return int(datetime(day.year, day.month, day.day, tzinfo=self._zone).timestamp() * 1000)


def cycle_start(today: date, cycle_day: int) -> date:
    """The day on which the bill's month that `today` is in began."""
    this = _in_month(today.year, today.month, cycle_day)
    if today >= this:
        return this
    before = today.replace(day=1) - timedelta(days=1)
    return _in_month(before.year, before.month, cycle_day)


def cycle_end(start: date, cycle_day: int) -> date:
    """The first day of the next one."""
    after = start.replace(day=1) + timedelta(days=32)
    return _in_month(after.year, after.month, cycle_day)


def _in_month(year: int, month: int, day: int) -> date:
    """The 31st of a shorter month is its last day."""
    following = date(year + month // 12, month % 12 + 1, 1)
    last = (following - timedelta(days=1)).day
    return date(year, month, min(day, last))


def _over(used: int, parts: int, limit: int | None) -> bool:
    return limit is not None and used > 0 and used + parts > limit
