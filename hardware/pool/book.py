"""The register in memory: what is known of modems is asked here, and written behind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

from hardware.pool import timeouts
from hardware.types import KnownModem, ModemRegister

__all__ = ["Book", "MemoryRegister"]

_LOG = logging.getLogger(__name__)


class MemoryRegister:
    """A register for one process: enough for tests."""

    def __init__(self) -> None:
        self.kept: dict[str, KnownModem] = {}

    async def load(self) -> list[KnownModem]:
        return list(self.kept.values())

    async def save(self, modem: KnownModem) -> None:
        self.kept[modem.key] = modem

    async def rename(self, modem: KnownModem, old: str) -> None:
        self.kept[modem.key] = modem

    async def forget(self, key: str) -> None:
        self.kept.pop(key, None)


class Book:
    """Answers at once; a disk that refuses costs no modem, only a log line, and is tried again."""

    def __init__(self, register: ModemRegister) -> None:
        self._register = register
        self._known: dict[str, KnownModem] = {}
        self._dirty: dict[str, None] = {}
        self._writer: asyncio.Task[None] | None = None
        self._failing = False

    async def load(self) -> None:
        """Raises what the register raises."""
        self._known = {modem.key: modem for modem in await self._register.load()}

    async def stop(self) -> None:
        """What is not written yet gets one more try."""
        writer, self._writer = self._writer, None
        if writer is not None:
            if self._failing:
                writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[KnownModem]:
        return iter(list(self._known.values()))

    def get(self, key: str) -> KnownModem | None:
        return self._known.get(key)

    def named(self, name: str) -> KnownModem | None:
        return next((modem for modem in self._known.values() if modem.name == name), None)

    def with_sim(self, iccid: str, *, but: str) -> KnownModem | None:
        """The modem that had this SIM last, if that is another than `but`."""
        others = [modem for modem in self._known.values() if modem.key != but]
        found = next((modem for modem in others if modem.iccid == iccid), None)
        return found or next((modem for modem in others if modem.previous_iccid == iccid), None)

    def put(self, modem: KnownModem) -> None:
        """Known from now on, written soon."""
        if self._known.get(modem.key) == modem:
            return
        self._known[modem.key] = modem
        self._dirty[modem.key] = None
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write(), name="modem register")

    async def rename(self, modem: KnownModem, old: str) -> None:
        """Durable when it returns; raises what the register raises, and then nothing has changed."""
        await self._register.rename(modem, old)
        self._known[modem.key] = modem

    async def forget(self, key: str) -> None:
        """As `rename`."""
        await self._register.forget(key)
        self._known.pop(key, None)
        self._dirty.pop(key, None)

    async def _write(self) -> None:
        while self._dirty:
            key = next(iter(self._dirty))
            modem = self._known[key]
            try:
                await self._register.save(modem)
            except Exception as error:  # whatever the store's reason
                if not self._failing:
                    _LOG.error("what is known of the modem %s cannot be kept: %s", modem.name or modem.key, error)
                self._failing = True
                await asyncio.sleep(timeouts.REGISTER_RETRY)
                continue
            self._failing = False
            if self._known.get(key) == modem:
                self._dirty.pop(key, None)
