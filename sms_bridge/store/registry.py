"""What other programs know us by, in the journal: one JSON text a name, replaced as a whole."""

from __future__ import annotations

from sms_bridge.store.journal import Journal


class Registry:
    """A few rows of `meta`; StoreError when the disk refuses."""

    def __init__(self, journal: Journal, name: str) -> None:
        self._journal = journal
        self._name = name

    async def load(self) -> str | None:
        """None: there was never one."""
        return await self._journal.read(lambda reader: reader.meta(self._name))

    async def save(self, text: str) -> None:
        """Durable when it returns."""
        await self._journal.write(lambda tx: tx.set_meta(self._name, text))
