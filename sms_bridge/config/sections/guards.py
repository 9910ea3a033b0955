"""`guards:` who may be written to, how often, and when."""

from __future__ import annotations

import re
from typing import Any

import voluptuous as vol

from sms_bridge.config.kinds import Flag, ListOf, Rate, Section, Several, Text, Whole, Wrong
from sms_bridge.config.sections.people import HOURS, ZONE
from sms_bridge.core.brakes import MOST
from sms_bridge.core.guards import GuardSettings
from sms_bridge.core.guards import Rate as Limit


def _digits(text: str) -> str:
    """Without what people put between digits."""
    return re.sub(r"[\s()./-]", "", text)


PREFIX = Text(
    r"\+[1-9][0-9]{0,14}",
    'how numbers begin, such as "+3690", in quotes',
    clean=_digits,
    raw=r"[\s()./-]*\+[\s()./-]*[1-9](?:[\s()./-]*[0-9]){0,14}[\s()./-]*",
    hint=lambda text: f'write "+{text}"' if re.fullmatch(r"[1-9][0-9]{0,14}", text) else "",
)


class _Country(Text):
    def __call__(self, value: Any) -> str:
        import phonenumbers  # here: it costs 30 ms, and only who names countries needs it

        letters = super().__call__(value)
        if letters not in phonenumbers.SUPPORTED_REGIONS:
            raise Wrong("is no country that has telephone numbers", "write GB" if letters == "UK" else "")
        return letters


COUNTRY = _Country(
    r"[A-Z]{2}",
    "a country's two letters, such as HU",
    clean=lambda text: text.strip().upper(),
    raw=r"\s*[A-Za-z]{2}\s*",
)
SHORT_CODE = Text(r"[0-9]{3,6}", 'a number of 3 to 6 digits, such as "1755", in quotes')


def _opt(key: str, description: str) -> Any:
    return vol.Optional(key, description=description)


GUARDS = Section(
    {
        _opt(
            "allow", "numbers that begin so may be written to, whatever stands below; the longest fitting one counts"
        ): (ListOf(PREFIX, 1000, '- "+8816"')),
        _opt("deny", "numbers that begin so may not"): ListOf(PREFIX, 1000, '- "+3690"'),
        _opt("allow_countries", "only numbers of these countries; all without it"): Several(
            COUNTRY, "all", 300, "- HU"
        ),
        _opt("deny_countries", "no numbers of these countries"): ListOf(COUNTRY, 300, "- CU"),
        _opt("allow_premium", "true: premium-rate and shared-cost numbers too"): Flag(),
        _opt("allow_satellite", "true: satellite and worldwide networks too"): Flag(),
        _opt("allow_own_numbers", "true: the numbers of the bridge's own SIMs too"): Flag(),
        _opt("short_codes", "short codes that may be written to, or all"): Several(SHORT_CODE, "all", 1000, '- "1755"'),
        _opt("urgent", "orders of this priority and above are sent though sending is paused, and in quiet hours"): (
            Whole(-128, 127)
        ),
        _opt("quiet_hours", "hours in which nothing is sent; orders wait for their end"): HOURS,
        _opt("duplicates", "the same text to the same number, at most; off"): Rate(MOST),
        _opt("loop", "orders to one number within a minute after a message from it, at most; off"): Rate(MOST),
        _opt("per_recipient", "messages to one number, at most"): Rate(MOST),
        _opt("messages", "messages in all, at most"): Rate(1_000_000),
        _opt("parts", "parts in all, at most"): Rate(1_000_000),
        _opt("money", "what they cost in all, at most, by the costs under routing"): Rate(1_000_000),
        _opt("time_zone", "of quiet hours; without it that of this machine"): ZONE,
    },
    "deny: [+3690]",
)


def guard_settings(data: dict[str, Any]) -> GuardSettings:
    """The checked section as settings."""
    given = dict(data)
    for key in ("allow", "deny", "deny_countries"):
        given[key] = tuple(data.get(key, ()))
    for key in ("duplicates", "loop", "per_recipient", "messages", "parts", "money"):
        if given.get(key) is not None:
            given[key] = Limit(*given[key])
    return GuardSettings(**given)
