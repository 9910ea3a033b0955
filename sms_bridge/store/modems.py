"""The modems that were ever identified, in the journal: names must outlive a power cut."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from hardware.types import KnownModem
from sms_bridge.core.clock import from_ms, to_ms
from sms_bridge.core.ports import Reader, Transaction
from sms_bridge.store.journal import Journal
from sms_bridge.store.transaction import SqlReader

_COLUMNS = tuple(field.name for field in fields(KnownModem))
_TIMES = ("first_seen", "last_seen")
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM modems ORDER BY first_seen, key"
_REPLACE = f"INSERT OR REPLACE INTO modems ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"


class ModemTable:
    """Implements `hardware.types.ModemRegister`; StoreError when the disk refuses."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def load(self) -> list[KnownModem]:
        return await self._journal.read(_load)  # which a full disk does not refuse

    async def save(self, modem: KnownModem) -> None:
        row = _row(modem)
        await self._journal.write(lambda tx: _run(tx, _REPLACE, row))

    async def rename(self, modem: KnownModem, old: str) -> None:
        """Orders that wait for it by its old name wait for it by the new one."""
        row, new = _row(modem), modem.name
        assert new is not None

        def work(tx: Transaction) -> None:
            _run(tx, _REPLACE, row)
            tx.rename_modem(old, new)

        await self._journal.write(work)

    async def forget(self, key: str) -> None:
        await self._journal.write(lambda tx: _run(tx, "DELETE FROM modems WHERE key = ?", (key,)))


def _load(reader: Reader) -> list[KnownModem]:
    return [_modem(row) for row in _run(reader, _SELECT)]


def _run(reader: Reader, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
    assert isinstance(reader, SqlReader)
    return reader.run(sql, values)


def _row(modem: KnownModem) -> tuple[Any, ...]:
    return tuple(to_ms(getattr(modem, name)) if name in _TIMES else getattr(modem, name) for name in _COLUMNS)


def _modem(row: tuple[Any, ...]) -> KnownModem:
    values = dict(zip(_COLUMNS, row, strict=True))
    return KnownModem(**values | {name: from_ms(values[name]) for name in _TIMES})
