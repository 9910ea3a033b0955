"""Contacts and groups that were added by request, in the journal."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any

from sms_bridge.core.people import Contact, Group
from sms_bridge.core.ports import Reader, Transaction
from sms_bridge.store.journal import Journal
from sms_bridge.store.transaction import SqlReader

_KINDS: dict[str, type[Contact] | type[Group]] = {"contact": Contact, "group": Group}
_NAMES = {kind: name for name, kind in _KINDS.items()}


class PeopleTable:
    """Implements `core.book.PeopleTable`; StoreError when the disk refuses."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def load(self) -> tuple[dict[str, Contact], dict[str, Group]]:
        contacts: dict[str, Contact] = {}
        groups: dict[str, Group] = {}
        for kind, name, details in await self._journal.read(_load):
            entry = _entry(_KINDS[kind], json.loads(details))
            if isinstance(entry, Contact):
                contacts[name] = entry
            else:
                groups[name] = entry
        return contacts, groups

    async def save(self, name: str, entry: Contact | Group) -> None:
        row = (_NAMES[type(entry)], name, json.dumps(asdict(entry), ensure_ascii=False))
        await self._journal.write(
            lambda tx: _run(tx, "INSERT OR REPLACE INTO people (kind, name, details) VALUES (?, ?, ?)", row)
        )

    async def remove(self, name: str, kind: type[Contact] | type[Group]) -> None:
        row = (_NAMES[kind], name)
        await self._journal.write(lambda tx: _run(tx, "DELETE FROM people WHERE kind = ? AND name = ?", row))


def _entry(kind: type[Contact] | type[Group], details: dict[str, Any]) -> Contact | Group:
    """What a newer version wrote besides is left out: an older one must start all the same."""
    known = {field.name for field in fields(kind)}
    given: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in details.items() if key in known}
    return kind(**given)


def _load(reader: Reader) -> list[Any]:
    assert isinstance(reader, SqlReader)
    return reader.run("SELECT kind, name, details FROM people ORDER BY kind, name")


def _run(tx: Transaction, sql: str, values: tuple[str, ...]) -> None:
    assert isinstance(tx, SqlReader)
    tx.run(sql, values)
