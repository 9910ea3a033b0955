"""A journal, the core and one SMPP route in this process, and a message centre: all but MQTT and the modems."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sms_bridge.config import Settings
from sms_bridge.config.smpp import SenderSettings, SmppSettings
from sms_bridge.core.clock import SystemClock
from sms_bridge.core.dispatcher import Dispatcher
from sms_bridge.core.model import Accepted, Rejected, SendRequest
from sms_bridge.core.routes import Routes
from sms_bridge.core.routing import RoutingSettings
from sms_bridge.core.service import Service
from sms_bridge.core.settings import CoreSettings
from sms_bridge.parts.smpp import Smpp
from sms_bridge.store.journal import Journal
from tests.support.smsc import Smsc

DEADLINE = 15.0  # seconds, on a loaded machine
NUMBER = "+36301234567"
OWN = "+36201112222"


@dataclass
class Rig:
    """`told` are the events; statuses and messages are read from the outbox."""

    journal: Journal
    dispatcher: Dispatcher
    service: Service
    smpp: Smpp
    told: list[tuple[str, dict[str, object]]]

    async def send(self, *ids: str, **fields: Any) -> list[Accepted | Rejected]:
        given: dict[str, Any] = {"to": (NUMBER,), "text": "x", "route": "smpp:backup", **fields}
        return await self.service.submit([SendRequest(**{**given, "id": id}) for id in ids])

    async def rows(self, kind: str) -> list[dict[str, Any]]:
        """What is to be published of this kind: status, in, event."""
        found = await self.journal.outbox_after(0, 100_000)
        return [json.loads(row.payload) for row in found if row.kind == kind]

    async def states(self, id: str) -> list[str]:
        return [row["state"] for row in await self.rows("status") if row["id"] == id]

    async def status(self, id: str, *states: str) -> dict[str, Any]:
        """The status of `id` once it is in one of `states`."""
        found: list[dict[str, Any]] = []

        async def there() -> bool:
            found[:] = [r for r in await self.rows("status") if r["id"] == id and r["state"] in states]
            return bool(found)

        await until(there)
        return found[-1]

    async def received(self, count: int = 1) -> list[dict[str, Any]]:
        async def there() -> bool:
            return len(await self.rows("in")) >= count

        await until(there)
        return await self.rows("in")


@asynccontextmanager
async def core(
    folder: Path, port: int, *, connected: bool = True, started: bool = True, **changed: Any
) -> AsyncIterator[Rig]:
    """The bridge's inside, with the account `backup` at this port. `changed` are keys of `SmppSettings`."""
    senders = changed.pop("senders", (SenderSettings(OWN),))
    account = SmppSettings(
        name="backup",
        host="127.0.0.1",
        port=port,
        system_id="bridge",
        password=changed.pop("password", "secret"),
        senders=senders,
        **changed,
    )
    settings = Settings(smpp=MappingProxyType({"backup": account}))
    clock, limits = SystemClock(), CoreSettings(default_region="HU", retry_base=0.05)
    journal = await Journal.open(folder, clock=clock)
    dispatcher = Dispatcher(journal, limits, clock, routes=Routes(RoutingSettings(settle=0.0)))
    told: list[tuple[str, dict[str, object]]] = []

    async def event(name: str, data: dict[str, object]) -> None:
        told.append((name, data))

    smpp = Smpp(settings, limits, journal, dispatcher, clock, event)
    service = Service(journal, dispatcher, limits, clock)
    await service.start()
    try:
        if started:
            await smpp.start(service)
        if started and connected:
            await until(lambda: smpp.up)
        yield Rig(journal, dispatcher, service, smpp, told)
    finally:
        await smpp.stop()
        await dispatcher.stop()
        await journal.close()


@asynccontextmanager
async def rig(folder: Path, **changed: Any) -> AsyncIterator[tuple[Rig, Smsc]]:
    """The same with a message centre in this process."""
    async with Smsc() as smsc, core(folder, smsc.port, **changed) as made:
        yield made, smsc


async def until(condition: Callable[[], Any], deadline: float = DEADLINE) -> None:
    """Until it is true; it may be asynchronous."""
    async with asyncio.timeout(deadline):
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            await asyncio.sleep(0.01)
