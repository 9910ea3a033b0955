"""The requests `contacts/…` and `groups/…`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Protocol

from sms_bridge.core.people import Contact, Group
from sms_bridge.mqtt.models import taken
from sms_bridge.mqtt.requests import Handler, answered
from sms_bridge.payloads.people import ContactName, ContactRequest, GroupName, GroupRequest, NothingMore


class BookPort(Protocol):
    """The contact book. Changes raise CoreError with a sentence."""

    def contacts(self) -> Mapping[str, tuple[Contact, bool]]:
        """Each with whether it stands in the configuration."""

    def groups(self) -> Mapping[str, tuple[Group, bool]]:
        """As `contacts`."""

    async def set_contact(self, name: str, contact: Contact) -> bool:
        """True: there was one."""

    async def set_group(self, name: str, group: Group) -> bool:
        """True: there was one."""

    async def remove_contact(self, name: str) -> None:
        """Forget it."""

    async def remove_group(self, name: str) -> None:
        """Forget it."""


def people_handlers(book: BookPort) -> dict[str, Handler]:
    """Handlers for `Requests`."""

    async def list_contacts(fields: dict[str, Any]) -> Any:
        taken(NothingMore, fields)
        return {"contacts": _shown("contact", book.contacts())}

    async def list_groups(fields: dict[str, Any]) -> Any:
        taken(NothingMore, fields)
        return {"groups": _shown("group", book.groups())}

    async def set_contact(fields: dict[str, Any]) -> Any:
        wanted = taken(ContactRequest, fields)
        entry = Contact(**wanted.model_dump(exclude={"contact"}))
        return {"contact": wanted.contact, "replaced": await answered(book.set_contact(wanted.contact, entry))}

    async def set_group(fields: dict[str, Any]) -> Any:
        wanted = taken(GroupRequest, fields)
        members = tuple(_member(each) for each in wanted.members)
        entry = Group(members, **wanted.model_dump(exclude={"group", "members"}))
        return {"group": wanted.group, "replaced": await answered(book.set_group(wanted.group, entry))}

    async def remove_contact(fields: dict[str, Any]) -> Any:
        name = taken(ContactName, fields).contact
        await answered(book.remove_contact(name))
        return {"contact": name}

    async def remove_group(fields: dict[str, Any]) -> Any:
        name = taken(GroupName, fields).group
        await answered(book.remove_group(name))
        return {"group": name}

    return {
        "contacts/list": list_contacts,
        "contacts/set": set_contact,
        "contacts/remove": remove_contact,
        "groups/list": list_groups,
        "groups/set": set_group,
        "groups/remove": remove_group,
    }


def _shown(key: str, entries: Mapping[str, tuple[Contact | Group, bool]]) -> list[dict[str, Any]]:
    return [{key: name, **asdict(entry), "read_only": fixed} for name, (entry, fixed) in entries.items()]


def _member(typed: str) -> str:
    """A contact's bare name as `@name`; numbers as they are."""
    text = typed.strip()
    return text if text.startswith("@") or re.fullmatch(r"[0-9+\s()./-]+", text) else f"@{text}"
