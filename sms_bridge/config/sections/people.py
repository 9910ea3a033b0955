"""`contacts:` and `groups:`: a number or a list, or all that there is to say about them."""

from __future__ import annotations

import re
from typing import Any

import voluptuous as vol

from sms_bridge.config.kinds import NAME, Either, Flag, Kind, ListOf, MapOf, Section, Text, Whole, Wrong, as_name
from sms_bridge.core import quiet
from sms_bridge.core.people import Contact, Group


def phone_digits(text: str) -> str:
    """Without what people put between digits."""
    return re.sub(r"[\s()./-]", "", text)


def member(text: str) -> str:
    """A group's member as `@name`, or a number without what people put between digits."""
    text = text.strip().removeprefix("@")
    return phone_digits(text) if re.fullmatch(r"\+?[0-9\s()./-]+", text) else f"@{text}"


class Hours:
    """Quiet hours: one text or a list of them, as a tuple."""

    _SHAPE = r"^\s*([A-Za-z]{3}([-,][A-Za-z]{3})* +)?[0-9]{1,2}:[0-9]{2} ?[-\u2013] ?[0-9]{1,2}:[0-9]{2}\s*$"
    json = {  # noqa: RUF012 # never changed
        "anyOf": [
            {"type": "string", "pattern": _SHAPE},
            {"type": "array", "items": {"type": "string", "pattern": _SHAPE}, "maxItems": quiet.MOST},
        ]
    }

    def __call__(self, value: Any) -> tuple[str, ...]:
        texts = [value] if isinstance(value, str) else value
        example = f'write {{key}}: "{quiet.EXAMPLE}", in quotes'
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise Wrong("must be hours, or a list of them", example)
        if len(texts) > quiet.MOST:
            raise Wrong(f"has {len(texts)} entries, and may have {quiet.MOST}")
        try:
            quiet.windows(tuple(texts))
        except quiet.QuietError as error:
            raise Wrong(str(error), example) from None
        return tuple(texts)


class Zone(Text):
    """The name of a time zone that this machine knows."""

    def __call__(self, value: Any) -> str:
        name = super().__call__(value)
        try:
            quiet.zone(name)
        except quiet.QuietError as error:
            raise Wrong(str(error), "the Debian package tzdata has them") from None
        return name


RAW_PHONE = r"[\s()./-]*\+?(?:[\s()./-]*[0-9]){3,15}[\s()./-]*"
PHONE = Text(r"\+?[0-9]{3,15}", "a phone number such as +36301234567", clean=phone_digits, raw=RAW_PHONE)
MEMBER = Text(
    rf"\+?[0-9]{{3,15}}|@{NAME}",
    "a contact's name or a phone number",
    clean=member,
    raw=rf"{RAW_PHONE}|\s*@?{NAME}\s*",
)
ALIAS = Text(
    rf"(?![0-9]+\Z){NAME}",
    "a name of a-z, 0-9, - and _ with at most 32 characters, one of them no digit",
    hint=lambda text: f"write {as_name(text)}" if re.search("[^0-9]", as_name(text)) else "",
)
HOURS = Hours()
ZONE = Zone(r"UTC|[A-Z][A-Za-z_]+(?:/[A-Za-z0-9_+-]+){1,2}", "a time zone such as Europe/Budapest")
LABEL = Text(r"[^\x00-\x1f\x7f]{1,100}", "one line of text")
MEMBERS = ListOf(MEMBER, 10_000, "- anna")


def _opt(key: str, description: str) -> Any:
    return vol.Optional(key, description=description)


_QUIET: dict[Any, Kind] = {
    _opt("time_zone", "of the quiet hours; without it that of `guards`"): ZONE,
    _opt("priority_breaks_quiet", "orders of this priority and above are sent in them too"): Whole(-128, 127),
}

CONTACT = Section(
    {
        vol.Required("number", description="in quotes"): PHONE,
        _opt("name", "for people to read"): LABEL,
        _opt("quiet_hours", "nothing is sent within them; without it those of `guards`; [] for none"): HOURS,
        **_QUIET,
        _opt("language", "what they read, such as hu"): Text(r"[a-z]{2,3}", "a language's two letters, such as hu"),
        _opt("transliterate", "true: characters that make messages longer are replaced"): Flag(),
        _opt("per_day", "messages in any 24 hours, at most"): Whole(1, 1000),
        _opt("route", "the route that is tried first for them"): Text(
            rf"modems|[a-z][a-z0-9]{{0,15}}:{NAME}", "modems, or an account such as smpp:backup"
        ),
        _opt("modem", "the modem that writes to them, where an order names none"): Text(
            rf"(?!auto\Z){NAME}", "the name of a modem"
        ),
    },
    'number: "+36301234567"',
)

GROUP = Section(
    {
        vol.Required("members", description="contacts and numbers"): MEMBERS,
        _opt("name", "for people to read"): LABEL,
        _opt("quiet_hours", "nothing that comes by way of the group is sent within them"): HOURS,
        **_QUIET,
    },
    "members: [anna, bela]",
)

CONTACTS = MapOf(ALIAS, Either(PHONE, CONTACT), 10_000, 'anna: "+36301234567"')
GROUPS = MapOf(ALIAS, Either(MEMBERS, GROUP), 1000, "family: [anna, bela]")


def contact(entry: str | dict[str, Any]) -> str | Contact:
    """A checked entry as a setting."""
    return entry if isinstance(entry, str) else Contact(**entry)


def group(entry: list[str] | dict[str, Any]) -> tuple[str, ...] | Group:
    """A checked entry as a setting."""
    if isinstance(entry, list):
        return tuple(entry)
    return Group(**{**entry, "members": tuple(entry["members"])})
