"""Recipients as people type them, to E.164; nothing that could reach a modem unchecked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol

from sms_bridge.core.errors import NumberError

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_SHORT = re.compile(r"[0-9]{3,6}")
_DIALLED = re.compile(r"\+?[0-9]+")
_SEPARATORS = str.maketrans("", "", " -./()\u00a0\u2009\u202f\u2010\u2011\u2013")
_MAX_TYPED = 40  # no number that a person writes is longer
_CACHED = 4096

INVALID = "invalid_number"
UNKNOWN_CONTACT = "unknown_contact"


class ContactBook(Protocol):
    """Names for numbers."""

    def contact(self, name: str) -> str | None:
        """The number behind `@name`."""

    def group(self, name: str) -> tuple[str, ...] | None:
        """The members of `#name`, each as it would be typed."""

    def name_of(self, number: str) -> str | None:
        """The contact who has this E.164 number."""


class DictContactBook:
    """Contacts and groups as the configuration gives them."""

    def __init__(
        self,
        contacts: Mapping[str, str] | None = None,
        groups: Mapping[str, tuple[str, ...]] | None = None,
        region: str | None = None,
    ) -> None:
        self._contacts = dict(contacts or {})
        self._groups = dict(groups or {})
        self._region = region
        self._names: dict[str, str] | None = None

    def contact(self, name: str) -> str | None:
        return self._contacts.get(name)

    def group(self, name: str) -> tuple[str, ...] | None:
        return self._groups.get(name)

    def name_of(self, number: str) -> str | None:
        if self._names is None:
            self._names = {}
            for name, typed in self._contacts.items():
                try:
                    self._names.setdefault(resolve(typed, self._region), name)
                except NumberError:
                    continue  # the configuration's own check speaks about it
        return self._names.get(number)


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
