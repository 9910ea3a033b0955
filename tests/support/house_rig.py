"""The bridge without MQTT, in this process: journal, dispatcher, `Modems`, on emulated sticks in a fake USB tree."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hardware.emulator import Emulator
from hardware.modem import Modem
from hardware.pool import DeviceView
from hardware.types import ModemState
from hardware.usb.watcher import Watcher
from sms_bridge.config import ModemSettings, Settings
from sms_bridge.config.settings import UsbSettings, VirtualModemSettings
from sms_bridge.core.clock import SystemClock
from sms_bridge.core.dispatcher import Dispatcher
from sms_bridge.core.model import OutboxRow
from sms_bridge.core.queues import Queues
from sms_bridge.core.quota import NO_LIMITS, Limits
from sms_bridge.core.routes import Routes
from sms_bridge.core.service import Service
from sms_bridge.core.settings import CoreSettings
from sms_bridge.modems import Modems
from sms_bridge.routes.mending import Mending
from sms_bridge.store.journal import Journal
from sms_bridge.store.modems import ModemTable
from sms_bridge.store.pins import PinFile
from tests.support.modem_rig import DEADLINE
from tests.support.plug_rig import POLL, SETTLE, Sticks
from tests.support.usb_tree import FakeUsb

CORE = CoreSettings(retry_base=0.05, retry_cap=0.2, bound_wait=5.0)


@dataclass
class House:
    modems: Modems
    sticks: Sticks
    service: Service
    dispatcher: Dispatcher
    journal: Journal
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # by kind
    states: dict[str, str] = field(default_factory=dict)  # the newest one of each order

    @property
    def emulator(self) -> Emulator:
        return self.sticks.emulator

    @property
    def pool(self) -> Any:
        return self.modems._pool

    def told(self, rows: list[OutboxRow]) -> None:
        """What the journal publishes."""
        for row in rows:
            payload = json.loads(row.payload)
            self.rows.setdefault(row.kind, []).append(payload)
            if row.kind == "status":
                self.states[payload["id"]] = payload["state"]

    def published(self, kind: str) -> list[dict[str, Any]]:
        return self.rows.get(kind, [])

    def accepted(self) -> list[str]:
        """The texts that the network took, as often as it took them."""
        lines = self.emulator.ledger_path.read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        return [row["text"] for row in rows if row["kind"] == "submit" and row["accepted"]]

    def modem_in(self, path: str) -> Modem | None:
        """The modem that is in this plug."""
        plugged = self.pool._plugged.get(path)
        return self.pool.modems.get(plugged.name) if plugged is not None and plugged.name else None

    def state_in(self, path: str) -> ModemState | None:
        """What is in this plug: as its modem, or as a device that is none yet."""
        modem = self.modem_in(path)
        if modem is not None:
            return modem.status.state
        views: list[DeviceView] = [view for view in self.pool.devices() if view.usb_path == path]
        return views[0].state if views else None

    async def until(self, condition: Callable[[], object], seconds: float = DEADLINE) -> None:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.002)


@asynccontextmanager
async def house(
    tmp_path: Path,
    personalities: Iterable[str] = ("ec25", "ec25"),
    *,
    modems: Iterable[ModemSettings] = (),
    latency: float = 0.0,
    quota: Limits = NO_LIMITS,
    routes: Routes | None = None,
) -> AsyncIterator[House]:
    emulator = Emulator(list(personalities), tmp_path / "phones", (latency, latency), seed=1)
    await emulator.start()
    for stick in emulator.modems:
        stick.unplug()
    sticks = Sticks(emulator, FakeUsb(tmp_path / "usb"))
    usb = UsbSettings(sysfs=sticks.usb.sysfs, dev=sticks.usb.dev)
    settings = Settings(
        modems=tuple(modems),
        usb=usb,
        quota=quota,
        virtual_modems=VirtualModemSettings(count=0),
        data_dir=tmp_path / "data",
    )
    clock = SystemClock()
    journal = await Journal.open(settings.data_dir)

    async def nobody(_topic: str, _payload: str) -> bool:
        return False  # no plug obeys here

    def watch() -> Watcher:
        return Watcher(sysfs=usb.sysfs, dev=usb.dev, poll=POLL, settle=SETTLE, uevents=None)

    mending = Mending(settings.data_dir, lambda _: None, nobody)
    fleet = Modems(settings, PinFile(settings.data_dir / "pins"), clock, mending, watch=watch)
    dispatcher = Dispatcher(journal, CORE, clock, fleet.limits_of, routes)
    service = Service(journal, dispatcher, CORE, clock, knows_modem=fleet.__contains__, own_number=fleet.own_number)
    it = House(fleet, sticks, service, dispatcher, journal)
    journal.on_outbox(it.told)
    try:
        await service.start()
        await fleet.start(service, dispatcher, Queues(journal, dispatcher), ModemTable(journal))
        yield it
    finally:
        await fleet.stop(1.0)
        await dispatcher.stop()
        await journal.close()
        await emulator.stop()
