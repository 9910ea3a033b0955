"""Recipients as people type them, to E.164; nothing that could reach a modem unchecked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol

from sms_bridge.core.errors import NumberError
from sms_bridge.core.people import Contact, Group

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_SHORT = re.compile(r"[0-9]{3,6}")
_DIALLED = re.compile(r"\+?[0-9]+")
_SEPARATORS = str.maketrans("", "", " -./()\u00a0\u2009\u202f\u2010\u2011\u2013")
_MAX_TYPED = 40  # no number that a person writes is longer
_CACHED = 4096

INVALID = "invalid_number"
UNKNOWN_CONTACT = "unknown_contact"


class ContactBook(Protocol):
    """Names for numbers, and what is to be known of who has them."""

    def contact(self, name: str) -> str | None:
        """The number behind `@name`."""

    def group(self, name: str) -> tuple[str, ...] | None:
        """The members of `#name`, each as it would be typed."""

    def name_of(self, number: str) -> str | None:
        """The contact who has this E.164 number."""

    @property
    def any_quiet(self) -> bool:
        """Somebody has quiet hours of their own."""

    @property
    def any_daily(self) -> bool:
        """Somebody may get so many messages a day."""

    def who(self, number: str) -> Contact | None:
        """What is known of the contact who has this E.164 number, if there is more than that."""

    def group_details(self, name: str) -> Group | None:
        """What is known of `#name`, if there is more than its members."""


class DictContactBook:
    """Contacts and groups as the configuration gives them."""

    def __init__(
        self,
        contacts: Mapping[str, str | Contact] | None = None,
        groups: Mapping[str, tuple[str, ...] | Group] | None = None,
        region: str | None = None,
    ) -> None:
        self._region = region
        self._take(
            {name: entry if isinstance(entry, Contact) else Contact(entry) for name, entry in (contacts or {}).items()},
            {name: entry if isinstance(entry, Group) else Group(entry) for name, entry in (groups or {}).items()},
        )

    @property
    def any_quiet(self) -> bool:
        return self._state.any_quiet

    @property
    def any_daily(self) -> bool:
        return self._state.any_daily

    def contact(self, name: str) -> str | None:
        found = self._state.contacts.get(name)
        return found.number if found is not None else None

    def group(self, name: str) -> tuple[str, ...] | None:
        found = self._state.groups.get(name)
        return found.members if found is not None else None

    def name_of(self, number: str) -> str | None:
        return self._state.names(self._region).get(number)

    def who(self, number: str) -> Contact | None:
        state = self._state
        if not state.detailed:
            return None
        name = state.names(self._region).get(number)
        return state.contacts[name] if name is not None else None

    def group_details(self, name: str) -> Group | None:
        found = self._state.groups.get(name)
        return found if found is not None and found.quiet_hours else None

    def _take(self, contacts: dict[str, Contact], groups: dict[str, Group]) -> None:
        self._state = _People(contacts, groups)


class _People:
    """All of a book at one time: read on several threads, so never changed but replaced."""

    def __init__(self, contacts: dict[str, Contact], groups: dict[str, Group]) -> None:
        self.contacts, self.groups = contacts, groups
        self.any_quiet = any(entry.quiet_hours for entry in contacts.values())
        self.any_daily = any(entry.per_day is not None for entry in contacts.values())
        self.detailed = any(entry.detailed for entry in contacts.values())
        self._names: dict[str, str] | None = None

    def names(self, region: str | None) -> dict[str, str]:
        """The contact who has each number. Made when it is first asked for: numbers without + take long to complete."""
        if self._names is None:
            names: dict[str, str] = {}
            for name, entry in self.contacts.items():
                try:
                    names.setdefault(resolve(entry.number, region), name)
                except NumberError:
                    continue  # the configuration's own check speaks about it
            self._names = names
        return self._names


def expand(typed: str, region: str | None, book: ContactBook) -> list[str]:
    """The E.164 numbers that one typed recipient stands for; NumberError with code and sentence."""
    if typed.startswith("#"):
        members = book.group(typed[1:])
        if members is None:
            raise NumberError(UNKNOWN_CONTACT, f"there is no group {_quoted(typed)}")
    elif typed.startswith("@"):
        # `#` cannot stand in a topic, so a group's bare name comes as `@name` too; a contact goes first.
        members = book.group(typed[1:]) if book.contact(typed[1:]) is None else None
        if members is None:
            return [_contact(typed, region, book)]
    else:
        return [resolve(typed, region)]
    return [_contact(m, region, book) if m.startswith("@") else resolve(m, region) for m in members]


def resolve(typed: str, region: str | None) -> str:
    """One typed number as E.164, or a short code of 3 to 6 digits as it is; NumberError otherwise."""
    if _E164.fullmatch(typed):
        return typed
    return _resolve(typed, region)


def is_suffix_match(ours: str, theirs: str) -> bool:
    """Whether a reported address may be our recipient: its last seven digits, short codes whole (A7.2)."""
    a, b = ours.lstrip("+"), theirs.lstrip("+")
    if len(a) < 7 or len(b) < 7:
        return a == b
    return a[-7:] == b[-7:]


def normal_sender(number: str, region: str | None) -> str:
    """A sender's address in the bridge's form; what is no subscriber's number stays as it came."""
    if _E164.fullmatch(number) or not number.isdigit() or not number.isascii() or len(number) < 7 or region is None:
        return number
    try:
        return _resolve(number, region)
    except NumberError:
        return number


@lru_cache(maxsize=_CACHED)
def _resolve(typed: str, region: str | None) -> str:
    if len(typed) > _MAX_TYPED:
        raise NumberError(INVALID, f"{_quoted(typed)} is too long for a phone number")
    number = typed.strip(" ").translate(_SEPARATORS)
    if not _DIALLED.fullmatch(number):
        raise NumberError(
            INVALID, f"{_quoted(typed)} is not a phone number: write digits, with + and the country code in front"
        )
    if _E164.fullmatch(number):
        return number
    if number.startswith("+"):
        raise NumberError(INVALID, f"{_quoted(typed)} is not a phone number: + takes 7 to 15 digits, the first not 0")
    if _SHORT.fullmatch(number):
        return number
    if region is None:
        raise NumberError(INVALID, f"{_quoted(typed)} has no country code: write it with +, or set default_region")
    return _complete(typed, number, region)


def _complete(typed: str, number: str, region: str) -> str:
    # Imported here: it costs 26 ms and most callers never need it.
    import phonenumbers

    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException as error:
        raise NumberError(INVALID, f"{_quoted(typed)} is not a phone number in {region}") from error
    if not phonenumbers.is_possible_number(parsed):
        raise NumberError(INVALID, f"{_quoted(typed)} is not a possible phone number in {region}")
    result: str = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    if not _E164.fullmatch(result):
        raise NumberError(INVALID, f"{_quoted(typed)} is not a phone number in {region}")
    return result


def _contact(typed: str, region: str | None, book: ContactBook) -> str:
    number = book.contact(typed[1:])
    if number is None:
        raise NumberError(UNKNOWN_CONTACT, f"there is no contact {_quoted(typed)}")
    return resolve(number, region)


def _quoted(typed: str) -> str:
    shown = typed if len(typed) <= 24 else typed[:24] + "…"
    return ascii(shown) if not shown.isprintable() else f"'{shown}'"
