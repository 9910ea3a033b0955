"""Plugs that obey a topic: the power of a modem off and on, and on again after the worst.

What is switched off is written down before, and forgotten when the broker has the order to switch it on: a bridge that
is killed in between has it switched on at its next start.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol

__all__ = ["PowerSwitches", "Publish", "Switch"]

log = logging.getLogger(__name__)

RETRY = 1.0  # s between two tries to switch on what was left off: the broker may come later than the bridge

Publish = Callable[[str, str], Awaitable[bool]]
"""Topic and payload at QoS 1, not retained; True once the broker has it."""


class Switch(Protocol):
    """A plug: its topic, and the payloads that it obeys."""

    @property
    def topic(self) -> str: ...
    @property
    def off(self) -> str: ...
    @property
    def on(self) -> str: ...


class PowerSwitches:
    """Implements `hardware.modem.PowerSwitch` for the modems that have one. Use on the loop."""

    def __init__(self, switch_of: Callable[[str], Switch | None], publish: Publish, memory: Path) -> None:
        self._switch_of = switch_of
        self._publish = publish
        self._memory = memory
        self._off: dict[str, str] = {}  # topic -> what switches it on
        self._lock = asyncio.Lock()

    async def power(self, modem: str, on: bool) -> bool:
        """True once the broker has the order. What cannot be written down is not switched off."""
        switch = self._switch_of(modem)
        if switch is None:
            return False
        async with self._lock:
            if on:
                return await self._switch_on(switch.topic, switch.on)
            if not await self._remember({**self._off, switch.topic: switch.on}):
                return False
            self._off[switch.topic] = switch.on
            log.warning("%s: its power is switched off by %s", modem, switch.topic, extra={"modem": modem})
            return await self._publish(switch.topic, switch.off)

    async def restore(self) -> None:
        """Switch on what a bridge that was killed has left off; returns when all is on. To be run at the start."""
        left = await asyncio.get_running_loop().run_in_executor(None, _read, self._memory)
        async with self._lock:
            self._off = {**left, **self._off}
        for topic, payload in left.items():
            while True:
                async with self._lock:
                    if topic not in self._off or await self._switch_on(topic, payload):
                        break
                await asyncio.sleep(RETRY)
            log.warning("the power behind %s was left off, and is switched on", topic)

    async def _switch_on(self, topic: str, payload: str) -> bool:
        if not await self._publish(topic, payload):
            return False
        self._off.pop(topic, None)
        await self._remember(self._off)  # else it is switched on once more at the next start
        return True

    async def _remember(self, off: Mapping[str, str]) -> bool:
        try:
            await asyncio.get_running_loop().run_in_executor(None, _write, self._memory, dict(off))
        except OSError as error:
            log.error("%s cannot be written: %s: make room or mend the disk", self._memory, error)
            return False
        return True


def _read(file: Path) -> dict[str, str]:
    """What is off, whatever a power cut has left of the file."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {topic: payload for topic, payload in found.items() if isinstance(payload, str)}


def _write(file: Path, off: dict[str, str]) -> None:
    if not off:
        file.unlink(missing_ok=True)
        return
    fresh = file.with_suffix(".new")
    with fresh.open("w", encoding="utf-8") as out:
        json.dump(off, out)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)
