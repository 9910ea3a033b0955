"""A real `Modem` on an emulated one, over a pseudo terminal, with a sink and a listener that remember."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hardware.emulator import Emulator
from hardware.modem import Modem, ModemConfig, PinLedger, RecoveryTools
from hardware.pdu import SubmitRequest, encode
from hardware.types import ModemState, ModemStatus, ReceivedPdu, SendResult

DEADLINE = 10.0  # seconds; what takes this long on an emulator without latency has failed
NUMBER = "+36301234567"


class Sink:
    """Keeps what it is given; `refuse` times it raises instead, `delay` seconds it takes."""

    def __init__(self) -> None:
        self.batches: list[list[ReceivedPdu]] = []
        self.times: list[float] = []
        self.refuse = 0
        self.refused = 0
        self.delay = 0.0

    @property
    def received(self) -> list[ReceivedPdu]:
        return [item for batch in self.batches for item in batch]

    @property
    def texts(self) -> list[str | None]:
        return [getattr(item.pdu, "text", None) for item in self.received]

    async def store(self, batch: list[ReceivedPdu]) -> None:
        self.times.append(time.monotonic())
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.refuse:
            self.refuse -= 1
            self.refused += 1
            raise OSError("disk full")
        self.batches.append(batch)


class Listener:
    """Keeps states and events in their order."""

    def __init__(self) -> None:
        self.states: list[ModemState] = []
        self.events: list[tuple[str, dict[str, object]]] = []

    def modem_changed(self, status: ModemStatus) -> None:
        if not self.states or self.states[-1] is not status.state:
            self.states.append(status.state)

    def modem_event(self, modem: str, event: str, data: dict[str, object]) -> None:
        self.events.append((event, data))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.events]


class Rig:
    def __init__(self, emulator: Emulator, modem: Modem, sink: Sink, listener: Listener) -> None:
        self.emulator = emulator
        self.modem = modem
        self.sink = sink
        self.listener = listener

    @property
    def phone(self) -> Any:
        return self.emulator.modems[0].phone

    @property
    def ledger(self) -> list[dict[str, Any]]:
        """What crossed the emulated network."""
        return [json.loads(line) for line in self.emulator.ledger_path.read_text().splitlines()]

    def submits(self) -> list[dict[str, Any]]:
        return [row for row in self.ledger if row["kind"] == "submit"]

    async def ready(self) -> None:
        async with asyncio.timeout(DEADLINE):
            await self.modem.wait_ready()

    async def until(self, condition: Callable[[], object], seconds: float = DEADLINE) -> None:
        """Wait for what no call tells of."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.002)

    async def state(self, state: ModemState, seconds: float = DEADLINE) -> None:
        await self.until(lambda: self.modem.status.state is state, seconds)

    async def looked_at(self, times: int) -> None:
        """It was asked for its SIM's state so many times more."""
        for _ in range(times):
            before = self.phone.counters.commands
            await self.until(lambda before=before: self.phone.counters.commands > before)  # type: ignore[misc]
            await asyncio.sleep(0.05)

    async def send(self, text: str = "hello", number: str = NUMBER, authorise: Any = None) -> list[SendResult]:
        """All parts of a text, in order."""
        encoded = encode(SubmitRequest(number, text=text))
        return [
            await self.modem.send_part(pdu, length, authorise or allowed)
            for pdu, length in zip(encoded.pdus, encoded.lengths, strict=True)
        ]

    def stored(self) -> int:
        """Messages that stand in the modem's storages."""
        return sum(len(storage.slots) for storage in self.phone.storages.values())


async def allowed() -> bool:
    return True


@asynccontextmanager
async def rig(
    tmp_path: Path,
    personality: str = "sim800l",
    *,
    start: bool = True,
    pins: PinLedger | None = None,
    late: Any = None,
    latency: float = 0.0,
    tools: RecoveryTools | None = None,
    **config: Any,
) -> AsyncIterator[Rig]:
    """An emulator with one modem and our `Modem` on it; both are gone afterwards."""
    emulator = Emulator([personality], tmp_path, latency=(latency, latency), seed=1)
    await emulator.start()
    sink, listener = Sink(), Listener()
    settings = ModemConfig("stick", emulator.ports[0], **{"sweep_interval": 30.0, **config})
    modem = Modem(settings, sink=sink, listener=listener, pins=pins, late=late, tools=tools)
    try:
        if start:
            await modem.start()
        yield Rig(emulator, modem, sink, listener)
    finally:
        await modem.stop(0.5)
        await emulator.stop()
