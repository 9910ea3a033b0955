"""Which PIN was tried on which SIM, in a file of its own: it must outlive even a journal that was moved aside."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sms_bridge.core.errors import StoreError

T = TypeVar("T")


class PinFile:
    """Implements `hardware.modem.config.PinLedger`; a line a key, digests only, never a PIN (domain A8.2)."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = asyncio.Lock()

    async def tried(self, key: str) -> bool:
        """Whether `key` was recorded and not taken back; an unreadable file counts as tried."""
        return key in await self._run(self._read)

    async def record(self, key: str) -> None:
        """Durable when it returns; StoreError when the disk refuses."""
        async with self._lock:
            await self._run(lambda: self._write(self._read() | {key}))

    async def accepted(self, key: str) -> None:
        async with self._lock:
            await self._run(lambda: self._write(self._read() - {key}))

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(None, work)
        except (OSError, UnicodeError) as error:
            raise StoreError(f"{self._file} cannot be used: {error}", hint="make room or mend the disk") from error

    def _read(self) -> frozenset[str]:
        try:
            return frozenset(self._file.read_text(encoding="ascii").split())
        except FileNotFoundError:
            return frozenset()

    def _write(self, keys: frozenset[str]) -> None:
        fresh = self._file.with_suffix(".new")
        with fresh.open("w", encoding="ascii") as out:
            out.writelines(f"{key}\n" for key in sorted(keys))
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(self._file)
        folder = os.open(self._file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
