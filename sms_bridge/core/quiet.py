"""Hours in which nobody is written to: windows of the week in a time zone, daylight saving included (domain F3)."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EXAMPLE = "22:00-07:00"
MOST = 28  # windows of one list

_MINUTES = 24 * 60
_FORM = re.compile(
    r"(?:(?P<days>[a-z]{3}(?:[-,][a-z]{3})*) +)?(?P<h1>\d{1,2}):(?P<m1>\d\d) ?[-\u2013] ?(?P<h2>\d{1,2}):(?P<m2>\d\d)"
)
_LOCALTIME = Path("/etc/localtime")
_SOME_DAY = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp() * 1000)
_CHAIN = 64  # windows that follow each other without a gap; more is a week without an hour to write in


class QuietError(ValueError):
    """No such hours; the text says what to write."""


@dataclass(frozen=True, slots=True)
class Window:
    """From `begin` on each of `days` (0: Monday) to the next `end`; minutes after midnight, `end` up to 24:00."""

    days: tuple[int, ...]
    begin: int
    end: int


@lru_cache(maxsize=256)
def window(text: str) -> Window:
    """`22:00-07:00`, `sat-sun 22:00-09:00`, `mon,wed 12:00-13:00`; on those days it begins. QuietError."""
    found = _FORM.fullmatch(text.strip().lower())
    if found is None:
        raise QuietError(f'hours look like "{EXAMPLE}" or "sat-sun {EXAMPLE}"')
    begin, end = (60 * int(found[f"h{n}"]) + int(found[f"m{n}"]) for n in "12")
    if begin >= _MINUTES or end > _MINUTES or int(found["m1"]) > 59 or int(found["m2"]) > 59:
        raise QuietError("hours go from 00:00 to 24:00")
    if begin == end:
        raise QuietError("it ends when it begins: 00:00-24:00 is the whole day")
    return Window(_days(found["days"]), begin, end)


@lru_cache(maxsize=256)
def windows(texts: tuple[str, ...]) -> tuple[Window, ...]:
    """A list of them; QuietError also when there is no hour of the week left to write in."""
    found = tuple(window(text) for text in texts)
    if _end(found, UTC, _SOME_DAY) is None:
        raise QuietError("they leave no hour of the week to write in")
    return found


@lru_cache(maxsize=64)
def zone(name: str) -> tzinfo:
    """The time zone of that name; QuietError. Reads a file, once."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise QuietError("there is no such time zone here: write one such as Europe/Budapest") from None


def local_zone() -> tzinfo:
    """That of the machine. Reads a file."""
    name = os.environ.get("TZ", "").removeprefix(":")
    if name:
        with suppress(QuietError):
            return zone(name)
    try:
        with _LOCALTIME.open("rb") as file:
            return ZoneInfo.from_file(file)
    except (OSError, ValueError):
        return UTC


def until(windows: Sequence[Window], zone: tzinfo, now: int) -> int | None:
    """When the quiet hours that it is in end (UTC ms); None: it is in none."""
    end = _end_of_one(windows, zone, now)
    if end is None:
        return None
    return _end(windows, zone, now) or end


def _end(windows: Sequence[Window], zone: tzinfo, now: int) -> int | None:
    """The end of windows that follow each other; None when there is no end to them."""
    for _ in range(_CHAIN):
        end = _end_of_one(windows, zone, now)
        if end is None:
            return now
        now = end
    return None


def _end_of_one(windows: Sequence[Window], zone: tzinfo, now: int) -> int | None:
    today = datetime.fromtimestamp(now / 1000, zone).date()
    ends = []
    for each in windows:
        for day in (today, today - timedelta(days=1)):
            if day.weekday() in each.days:
                over = each.end <= each.begin
                end = _instant(day + timedelta(days=over), each.end, zone, last=True)
                if _instant(day, each.begin, zone, last=False) <= now < end:
                    ends.append(end)
    return max(ends, default=None)


def _instant(day: date, minutes: int, zone: tzinfo, *, last: bool) -> int:
    """A time on a wall as UTC ms: the first or the last of two where clocks go back, their jump where they go on."""
    wall = datetime.combine(
        day + timedelta(days=minutes // _MINUTES), time(minutes % _MINUTES // 60, minutes % 60), zone
    )
    first, second = (round(wall.replace(fold=fold).timestamp() * 1000) for fold in (0, 1))
    if first <= second:
        return second if last else first
    # No clock shows it: from `second`, by the time after the jump, to `first`, by the time before it.
    shift = wall.replace(fold=1).utcoffset()
    low, high = second // 60_000, first // 60_000
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle * 60, zone).utcoffset() == shift:
            high = middle
        else:
            low = middle
    return high * 60_000


def _days(text: str | None) -> tuple[int, ...]:
    if text is None:
        return tuple(range(7))
    found: set[int] = set()
    for span in text.split(","):
        names = span.split("-")
        if len(names) > 2 or any(name not in DAYS for name in names):
            raise QuietError(f"days are {', '.join(DAYS)}, as in sat-sun or mon,wed")
        first, last = DAYS.index(names[0]), DAYS.index(names[-1])
        found |= {day % 7 for day in range(first, last + 1 if last >= first else last + 8)}
    return tuple(sorted(found))
