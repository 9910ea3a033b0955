"""The contacts and groups of the configuration, and those that were added by request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from sms_bridge.core.errors import CoreError
from sms_bridge.core.numbers import DictContactBook, expand, resolve
from sms_bridge.core.people import Contact, Group

MOST = 10_000  # added by request: names of one kind


class BookError(CoreError):
    """It was not changed; the text is for the person who asked."""


class PeopleTable(Protocol):
    """Where what was added is kept."""

    async def load(self) -> tuple[dict[str, Contact], dict[str, Group]]:
        """All of it."""

    async def save(self, name: str, entry: Contact | Group) -> None:
        """Insert or replace. StoreError: nothing changed."""

    async def remove(self, name: str, kind: type[Contact] | type[Group]) -> None:
        """Forget it. StoreError: nothing changed."""


class Book(DictContactBook):
    """A `ContactBook` whose readers, on any thread, see one state or the next, and nothing between them."""

    def __init__(
        self,
        contacts: Mapping[str, str | Contact],
        groups: Mapping[str, tuple[str, ...] | Group],
        region: str | None,
        table: PeopleTable,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """`changed`: told when somebody was added, changed or removed by request."""
        super().__init__(contacts, groups, region)
        self._table = table
        self._changed = changed
        self._fixed_contacts, self._fixed_groups = dict(contacts), dict(groups)
        self._own_contacts: dict[str, Contact] = {}
        self._own_groups: dict[str, Group] = {}

    async def start(self) -> None:
        """Learn what was added before. StoreError: try again."""
        self._own_contacts, self._own_groups = await self._table.load()
        self._renew()

    def adopt(
        self,
        contacts: Mapping[str, str | Contact],
        groups: Mapping[str, tuple[str, ...] | Group],
        region: str | None,
    ) -> None:
        """The configuration has these from now on; they go before what was added under the same name."""
        self._fixed_contacts, self._fixed_groups, self._region = dict(contacts), dict(groups), region
        self._renew()

    def contacts(self) -> dict[str, tuple[Contact, bool]]:
        """Each with whether it stands in the configuration, where alone it can be changed."""
        return {name: (entry, name in self._fixed_contacts) for name, entry in sorted(self._state.contacts.items())}

    def groups(self) -> dict[str, tuple[Group, bool]]:
        """As `contacts`."""
        return {name: (entry, name in self._fixed_groups) for name, entry in sorted(self._state.groups.items())}

    async def set_contact(self, name: str, contact: Contact) -> bool:
        """Add one, or replace one that was added; False: it is a new one. BookError, NumberError, StoreError."""
        self._check_free(name, "contact", self._own_contacts, self._fixed_contacts, self._state.groups)
        resolve(contact.number, self._region)
        known = name in self._own_contacts
        await self._table.save(name, contact)
        self._own_contacts[name] = contact
        self._renew()
        self._changed()
        return known

    async def set_group(self, name: str, group: Group) -> bool:
        """As `set_contact`. Its members are contacts (`@name`) and numbers."""
        self._check_free(name, "group", self._own_groups, self._fixed_groups, self._state.contacts)
        for member in group.members:
            if member.startswith("@") and member[1:] in self._state.groups:
                raise BookError(f"{member[1:]} is a group: list its members instead")
            expand(member, self._region, self)
        known = name in self._own_groups
        await self._table.save(name, group)
        self._own_groups[name] = group
        self._renew()
        self._changed()
        return known

    async def remove_contact(self, name: str) -> None:
        """BookError: there is none, or it is needed. StoreError."""
        self._check_own(name, "contact", self._own_contacts, self._fixed_contacts)
        used = sorted(group for group, entry in self._state.groups.items() if f"@{name}" in entry.members)
        if used:
            raise BookError(f"{name} is a member of {', '.join(used[:5])}: take it out there first")
        await self._table.remove(name, Contact)
        self._own_contacts.pop(name, None)
        self._renew()
        self._changed()

    async def remove_group(self, name: str) -> None:
        """As `remove_contact`."""
        self._check_own(name, "group", self._own_groups, self._fixed_groups)
        await self._table.remove(name, Group)
        self._own_groups.pop(name, None)
        self._renew()
        self._changed()

    def _renew(self) -> None:
        contacts = {name: c if isinstance(c, Contact) else Contact(c) for name, c in self._fixed_contacts.items()}
        groups = {name: g if isinstance(g, Group) else Group(g) for name, g in self._fixed_groups.items()}
        taken = contacts.keys() | groups.keys()
        contacts |= {name: entry for name, entry in self._own_contacts.items() if name not in taken}
        groups |= {name: entry for name, entry in self._own_groups.items() if name not in taken | contacts.keys()}
        self._take(contacts, groups)

    def _check_free(
        self, name: str, what: str, own: Mapping[str, Any], fixed: Mapping[str, Any], others: Mapping[str, Any]
    ) -> None:
        if name in fixed:
            raise BookError(f"the {what} {name} stands in the configuration: change it there, or ask for `options`")
        if name in others:
            raise BookError(f"{name} is the name of a {'group' if what == 'contact' else 'contact'}: choose another")
        if len(own) >= MOST and name not in own:
            raise BookError(f"there are {MOST} {what}s, and there may be no more")

    def _check_own(self, name: str, what: str, own: Mapping[str, Any], fixed: Mapping[str, Any]) -> None:
        if name in fixed:
            raise BookError(f"the {what} {name} stands in the configuration: take it out there")
        if name not in own:
            raise BookError(f"there is no {what} {name[:40]!a}")
