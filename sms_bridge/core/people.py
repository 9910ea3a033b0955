"""Contacts and groups: who they are, and when and how they are written to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Contact:
    """A person behind a name. `quiet_hours` as `core.quiet.window` reads them."""

    number: str  # as it was typed
    name: str | None = None  # for people to read
    quiet_hours: tuple[str, ...] | None = None  # None: those of all; (): none
    time_zone: str | None = None  # None: that of all
    priority_breaks_quiet: int | None = None  # orders of this priority and above are sent all the same
    language: str | None = None  # ISO 639, such as hu
    transliterate: bool = False  # as if each order said so
    per_day: int | None = None  # messages in any 24 hours
    modem: str | None = None  # as if each order that names neither a modem nor a route said so
    route: str | None = None  # the first one for what names none; the others stay behind it

    @property
    def detailed(self) -> bool:
        """There is more to it than a number and a name."""
        return self != Contact(self.number, self.name)


@dataclass(frozen=True, slots=True)
class Group:
    """Several contacts (`@name`) and numbers."""

    members: tuple[str, ...]
    name: str | None = None
    quiet_hours: tuple[str, ...] = ()  # for what comes by way of this group
    time_zone: str | None = None
    priority_breaks_quiet: int | None = None
