"""Virtual modems for a first look without hardware: `sms-bridge emulate` as a child that ends with the bridge."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path

from sms_bridge.config.settings import VirtualModemSettings

START_DEADLINE = 15.0  # s; a Raspberry Pi with a cold SD card takes a few
STOP_DEADLINE = 3.0


class VirtualModemsError(Exception):
    """The emulator did not start."""


class VirtualModems:
    """The child process. What the emulated SIMs hold is gone with it."""

    def __init__(self, directory: Path, settings: VirtualModemSettings) -> None:
        self._directory = directory
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> list[str]:
        """The ports, once they answer. Raises VirtualModemsError."""
        low, high = self._settings.latency
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sms_bridge", "emulate", "--json", "--parent-watch"),
            *("--modems", str(self._settings.count), "--dir", str(self._directory), "--latency", f"{low:g}-{high:g}"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the bridge: the modems must outlive the last send
        )
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(START_DEADLINE):
                line = await self._process.stdout.readline()
            ports: list[str] = json.loads(line)["ports"]
        except (TimeoutError, ValueError, KeyError) as error:
            await self.stop()
            raise VirtualModemsError("the virtual modems did not start; `sms-bridge emulate` says why") from error
        return ports

    async def stop(self) -> None:
        """Idempotent."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_DEADLINE):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
