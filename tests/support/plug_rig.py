"""A real `Pool` on a fake USB tree whose ttys are emulated modems: sticks are put into plugs and pulled out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hardware.emulator import Emulator
from hardware.modem import Modem, ModemConfig, PinLedger, RecoveryTools
from hardware.pdu import SubmitRequest, encode
from hardware.pool import Binding, MemoryRegister, Pool, PoolSettings
from hardware.types import ModemState, ModemStatus, SendResult
from hardware.usb.watcher import Watcher
from tests.support.modem_rig import DEADLINE, NUMBER, Sink, allowed
from tests.support.usb_tree import FakeUsb, Interface

EC25 = (0x2C7C, 0x0125)
POLL, SETTLE = 0.02, 0.02  # seconds; what the watcher's own waits are is its tests' business


class PoolEars:
    """Keeps what a pool tells."""

    def __init__(self) -> None:
        self.added: list[str] = []
        self.events: list[tuple[str | None, str, dict[str, object]]] = []
        self.states: list[tuple[str, ModemState]] = []
        self.real = 0

    def modem_added(self, modem: Modem) -> None:
        self.added.append(modem.config.name)

    def modem_changed(self, status: ModemStatus) -> None:
        if not self.states or self.states[-1] != (status.name, status.state):
            self.states.append((status.name, status.state))

    def modem_event(self, modem: str, event: str, data: dict[str, object]) -> None:
        self.events.append((modem, event, data))

    def device_event(self, event: str, data: dict[str, object]) -> None:
        self.events.append((None, event, data))

    def devices_changed(self) -> None:
        return

    def real_modem_seen(self) -> None:
        self.real += 1

    def of(self, event: str) -> list[dict[str, object]]:
        """The data of all events of that name, with `modem` where they have one."""
        return [{"modem": modem, **data} if modem else data for modem, name, data in self.events if name == event]


class Sticks:
    """Emulated modems as USB sticks: `put` one into a plug, `pull` it out."""

    def __init__(self, emulator: Emulator, usb: FakeUsb) -> None:
        self.emulator = emulator
        self.usb = usb
        self.where: dict[str, int] = {}

    def put(
        self,
        index: int,
        path: str,
        ids: tuple[int, int] = EC25,
        *,
        at: int = 2,
        serial: str | None = None,
        others: Iterable[Interface] = (),
        booted: bool = True,
        **names: Any,
    ) -> str:
        """Plug it in; its AT port is interface `at`. Returns the device node. `booted`: it answers at once."""
        modem = self.emulator.modems[index]
        modem.plug(booted=booted)
        interfaces = [*others, (at, "ff/00/00", "option", modem.line.slave_name)]
        self.usb.plug(path, *ids, sorted(interfaces, key=lambda one: one[0]), serial=serial, **names)
        self.where[path] = index
        return str(self.usb.nodes(path)[-1])

    def pull(self, path: str) -> int:
        """Unplug: line and device node are gone at the same moment; the index of the stick."""
        index = self.where.pop(path)
        self.usb.unplug(path)
        self.emulator.modems[index].unplug()
        return index

    def stick(self, path: str) -> Any:
        return self.emulator.modems[self.where[path]]


class PlugRig:
    def __init__(self, pool: Pool, sticks: Sticks, sink: Sink, ears: PoolEars, register: MemoryRegister) -> None:
        self.pool = pool
        self.sticks = sticks
        self.emulator = sticks.emulator
        self.usb = sticks.usb
        self.sink = sink
        self.ears = ears
        self.register = register

    def submits(self) -> list[dict[str, Any]]:
        rows = [json.loads(line) for line in self.emulator.ledger_path.read_text().splitlines()]
        return [row for row in rows if row["kind"] == "submit"]

    async def until(self, condition: Callable[[], object], seconds: float = DEADLINE) -> None:
        """Wait for what no call tells of."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.002)

    async def ready(self, name: str, seconds: float = DEADLINE) -> Modem:
        await self.state(name, ModemState.READY, seconds)
        return self.pool.modems[name]

    async def state(self, name: str, state: ModemState, seconds: float = DEADLINE) -> None:
        await self.until(lambda: name in self.pool.modems and self.pool.modems[name].status.state is state, seconds)

    async def view(self, path: str, state: ModemState, words: str = "", seconds: float = DEADLINE) -> Any:
        """What the list says of a plug, once it is in `state` for a reason with these words."""

        def found() -> list[Any]:
            return [
                view
                for view in self.pool.devices()
                if view.usb_path == path and view.state is state and words in (view.problem or "")
            ]

        await self.until(found, seconds)
        return found()[0]

    async def send(self, name: str, text: str = "hello", authorise: Any = None) -> SendResult:
        encoded = encode(SubmitRequest(NUMBER, text=text))
        return await self.pool.modems[name].send_part(encoded.pdus[0], encoded.lengths[0], authorise or allowed)


@asynccontextmanager
async def plug_rig(
    tmp_path: Path,
    personalities: Iterable[str] = ("ec25",),
    *,
    bindings: Iterable[Binding] = (),
    register: MemoryRegister | None = None,
    pins: PinLedger | None = None,
    latency: float = 0.0,
    adapters: bool = True,
    poll: float = POLL,
    settle: float = SETTLE,
    sticks: Sticks | None = None,
    late: Any = None,
    tools: Callable[[str], RecoveryTools] | None = None,
) -> AsyncIterator[PlugRig]:
    """A started pool with empty plugs; `sticks` of an earlier rig stay where they are and are not stopped."""
    emulator = sticks.emulator if sticks is not None else Emulator(list(personalities), tmp_path / "phones", seed=1)
    if sticks is None:
        emulator.network.latency = (latency, latency)
        await emulator.start()
        for modem in emulator.modems:
            modem.unplug()
    held = sticks or Sticks(emulator, FakeUsb(tmp_path / "usb"))
    sink, ears, kept = Sink(), PoolEars(), register or MemoryRegister()
    settings = PoolSettings(
        bindings=tuple(bindings),
        defaults=ModemConfig("", sweep_interval=30.0),
        adapters=adapters,
        sysfs=held.usb.sysfs,
        dev=held.usb.dev,
    )

    def watch() -> Watcher:
        return Watcher(sysfs=held.usb.sysfs, dev=held.usb.dev, poll=poll, settle=settle, uevents=None)

    pool = Pool(settings, sink=sink, listener=ears, register=kept, pins=pins, late=late, watch=watch, tools=tools)
    await pool.start()
    try:
        yield PlugRig(pool, held, sink, ears, kept)
    finally:
        await pool.stop(0.5)
        if sticks is None:
            await emulator.stop()
