"""Which numbers may be written to at all: prefixes, countries, premium rates, satellites, short codes (domain E8.5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from sms_bridge.core.premium import PREMIUM

# What a configuration asks for by itself: its own numbers are nobody's abuse.
OWN_SOURCES = frozenset({"self_test", "balance"})
# Who is answered has just written, and is awake.
AWAKE_SOURCES = OWN_SOURCES | {"answer", "command"}

_KNOWN = 4096  # numbers whose verdict is remembered

# Calling codes of no country: ITU-T E.164, list of assigned codes.
SATELLITE = ("+870", "+881", "+882", "+883")
WORLD_PREMIUM = ("+808", "+878", "+979")


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in any span of so many seconds, a day at most."""

    most: int
    seconds: float


SAME_TEXT = Rate(20, 3600.0)
ANSWERS = Rate(5, 600.0)


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """Who may be written to, how often, and what may wait."""

    allow: tuple[str, ...] = ()  # prefixes that may be written to, whatever else is said; the longest one counts
    deny: tuple[str, ...] = ()
    allow_countries: tuple[str, ...] | None = None  # ISO 3166; None: all
    deny_countries: tuple[str, ...] = ()
    allow_premium: bool = False  # and shared-cost
    allow_satellite: bool = False
    allow_own_numbers: bool = False
    short_codes: tuple[str, ...] | None = ()  # None: all
    urgent: int | None = None  # orders of this priority and above are held by no pause and no quiet hours
    quiet_hours: tuple[str, ...] = ()  # of everybody, as `core.quiet.window` reads them
    time_zone: str | None = None  # of quiet hours; None: the machine's
    duplicates: Rate | None = SAME_TEXT  # of one text to one number
    loop: Rate | None = ANSWERS  # orders to one number within a minute after a message of it
    per_recipient: Rate | None = None
    messages: Rate | None = None  # in all
    parts: Rate | None = None
    money: Rate | None = None  # by the costs of the routes, where those are known


class Refusal(NamedTuple):
    """Why this is not sent; `code` is stable, `text` says how to allow it."""

    code: str
    text: str
    retryable: bool = False


class NumberRules:
    """The lists. Pure; what it has found for a number it remembers."""

    def __init__(self, settings: GuardSettings, own_numbers: Callable[[], Collection[str]] = tuple) -> None:
        """`own_numbers`: those of the SIMs that are here, in E.164, as of now."""
        self._own_numbers = own_numbers
        self._look = lru_cache(maxsize=_KNOWN)(self._verdict)
        self.adopt(settings)

    def adopt(self, settings: GuardSettings) -> None:
        """These hold from now on."""
        self._settings = settings
        self._prefixes = dict.fromkeys(settings.allow, True) | dict.fromkeys(settings.deny, False)
        self._lengths = sorted({len(prefix) for prefix in self._prefixes}, reverse=True)
        self._look.cache_clear()

    def refusal(self, number: str) -> Refusal | None:
        """Why nobody may write to `number` (E.164, or a short code); None: they may."""
        found = self._look(number)
        if found is None and not self._settings.allow_own_numbers and number in self._own_numbers():
            return Refusal(
                "own_number",
                "this is the number of one of the bridge's own SIMs: it would write to itself"
                " (to allow it, set `guards: allow_own_numbers: true`)",
            )
        return found

    def _verdict(self, number: str) -> Refusal | None:
        if not number.startswith("+"):
            return self._short(number)
        for length in self._lengths:
            allowed = self._prefixes.get(number[:length])
            if allowed is not None:
                return None if allowed else _denied(number[:length])
        return self._expensive(number) or self._abroad(number)

    def _short(self, number: str) -> Refusal | None:
        allowed = self._settings.short_codes
        if allowed is None or number in allowed:
            return None
        return Refusal(
            "short_code",
            f"{number} is a short code, and may cost much more than a message"
            f' (to allow it, put "{number}" under `guards: short_codes:`)',
        )

    def _expensive(self, number: str) -> Refusal | None:
        code = number[:4]
        if code in SATELLITE and not self._settings.allow_satellite:
            return _expensive(code, "satellite and worldwide networks", "allow_satellite")
        if self._settings.allow_premium:
            return None
        if code in WORLD_PREMIUM:
            return _expensive(code, "worldwide premium and shared-cost services", "allow_premium")
        for digits in (2, 3, 4):
            pattern = _premium(number[1:digits])
            if pattern is not None and pattern.fullmatch(number, digits):
                return _expensive(number[: digits + 3], "premium and shared-cost services", "allow_premium")
        return None

    def _abroad(self, number: str) -> Refusal | None:
        allowed, denied = self._settings.allow_countries, self._settings.deny_countries
        if allowed is None and not denied:
            return None
        country = country_of(number)
        if country in denied:
            return Refusal(
                "denied_country",
                f"numbers of {country} are denied (to allow them, take {country} out of `guards: deny_countries:`)",
            )
        if allowed is None or country in allowed:
            return None
        if country is None:
            return Refusal(
                "denied_country",
                "this number belongs to no country that is known (to allow it, put its first digits under"
                " `guards: allow:`)",
            )
        return Refusal(
            "denied_country",
            f"numbers of {country} are not allowed (to allow them, put {country} under `guards: allow_countries:`)",
        )


def country_of(number: str) -> str | None:
    """The two letters of the country that an E.164 number belongs to; None: of none."""
    # Imported here: it costs 30 ms, and only lists of countries need it.
    import phonenumbers

    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return None
    found: str | None = phonenumbers.region_code_for_number(parsed)
    if found is None:
        # A number plan grows before its description does: what is of one country only is of that one.
        regions = phonenumbers.region_codes_for_country_code(parsed.country_code or 0)
        found = regions[0] if len(regions) == 1 else None
    return None if found == "001" else found


@lru_cache(maxsize=512)
def _premium(code: str) -> re.Pattern[str] | None:
    pattern = PREMIUM.get(int(code))
    return re.compile(pattern) if pattern is not None else None


def _denied(prefix: str) -> Refusal:
    return Refusal(
        "denied_prefix",
        f"numbers that begin with {prefix} are denied (to allow some of them, put a longer beginning under"
        " `guards: allow:`)",
    )


def _expensive(prefix: str, what: str, key: str) -> Refusal:
    return Refusal(
        "denied_prefix",
        f"this number is one of {what}, which cost much more than a message"
        f' (to allow it, put "{prefix}" under `guards: allow:`, or all of them with `{key}: true`)',
    )
