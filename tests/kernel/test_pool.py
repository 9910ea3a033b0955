"""The pool on real plugs: sticks that come back renumbered, moved, all at once, in the middle of a send."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hardware.modem import Modem
from hardware.pool import MemoryRegister, Pool, PoolSettings
from hardware.types import ModemState, SendOutcome
from tests.kernel.lab import Plugged
from tests.kernel.test_sticks import READY, send
from tests.support.modem_rig import Listener, Sink
from tests.support.stack import wait_until

CYCLES = 20


class House(Listener):
    """What the pool tells."""

    def modem_added(self, modem: Modem) -> None: ...
    def devices_changed(self) -> None: ...
    def real_modem_seen(self) -> None: ...
    def device_event(self, event: str, data: dict[str, object]) -> None:
        self.events.append((event, data))


@asynccontextmanager
async def pool(**settings: Any) -> AsyncIterator[Pool]:
    house = Pool(PoolSettings(**settings), sink=Sink(), listener=House(), register=MemoryRegister())
    await house.start()
    try:
        yield house
    finally:
        await house.stop(1.0)


async def until(condition: Any, what: str, seconds: float = READY) -> None:
    await asyncio.to_thread(wait_until, condition, seconds, what)


@pytest.mark.timeout(300)
async def test_twenty_times_renumbered_and_moved_each_comes_back_under_its_own_name(lab, observe):
    bench = lab("ec25", "sim7600", "sara", "ft232r")
    sticks: list[Plugged] = bench.sticks
    ttys: dict[str, set[str]] = {}
    async with pool() as house:

        def modem_of(stick: Plugged) -> Modem | None:
            found = [modem for modem in house.modems.values() if modem.status.imei == stick.phone.imei]
            return found[0] if found and found[0].status.state is ModemState.READY else None

        names: dict[str, str] = {}
        for cycle in range(CYCLES):
            began = time.monotonic()
            for position, stick in enumerate(sticks if cycle % 2 else reversed(sticks)):  # another order, other ttys
                stick.plug((position * 2 + cycle) % 8)
            for stick in sticks:
                await until(lambda stick=stick: modem_of(stick), f"{stick.name} is ready in cycle {cycle}")
                modem = modem_of(stick)
                assert modem is not None
                assert names.setdefault(stick.name, modem.config.name) == modem.config.name
                assert (modem.status.usb_path, modem.status.port) == (stick.path, stick.at_port.device)
                ttys.setdefault(stick.name, set()).add(modem.status.port or "")
            observe("four sticks at once, insertion to all `ready`", time.monotonic() - began)
            text = f"cycle {cycle}"
            sender = modem_of(sticks[cycle % len(sticks)])
            assert sender is not None
            assert (await send(sender, text)).outcome is SendOutcome.SENT
            for stick in sticks:
                began = time.monotonic()
                modem = house.modems[names[stick.name]]
                stick.unplug()
                await until(lambda modem=modem: modem.status.state is ModemState.OFFLINE, f"{stick.name} is offline")
                observe("pulled out to `offline`", time.monotonic() - began)
        assert len(house.modems) == len(sticks)
    assert [row["text"] for row in bench.ledger("submit")] == [f"cycle {cycle}" for cycle in range(CYCLES)]
    assert any(len(seen) > 1 for seen in ttys.values())  # they were renumbered
