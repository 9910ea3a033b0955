"""The pool on real plugs: sticks that look alike change places, and one that is wedged delays nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hardware.modem import Modem
from hardware.pool import MemoryRegister, Pool, PoolSettings
from hardware.types import ModemState, SendOutcome
from tests.kernel.lab import Plugged
from tests.kernel.test_sticks import READY, STALL, send, watched_loop
from tests.support.modem_rig import Listener, Sink
from tests.support.stack import wait_until


class Told(Listener):
    """What the pool tells."""

    def modem_added(self, modem: Modem) -> None: ...
    def devices_changed(self) -> None: ...
    def real_modem_seen(self) -> None: ...
    def device_event(self, event: str, data: dict[str, object]) -> None:
        self.events.append((event, data))


class House:
    """A pool, whose modems are spoken of by the stick that is one."""

    def __init__(self) -> None:
        self.pool = Pool(PoolSettings(), sink=Sink(), listener=Told(), register=MemoryRegister())

    def modem(self, stick: Plugged) -> Modem | None:
        found = [modem for modem in self.pool.modems.values() if modem.status.imei == stick.phone.imei]
        assert len(found) < 2
        return found[0] if found else None

    async def ready(self, stick: Plugged) -> Modem:
        """It, once it is ready in the plug that the stick is in."""

        def found() -> Modem | None:
            modem = self.modem(stick)
            fits = modem is not None and (modem.status.state, modem.status.usb_path) == (ModemState.READY, stick.path)
            return modem if fits else None

        modem: Modem = await until(found, f"{stick.name} is ready at {stick.path}")
        return modem


@asynccontextmanager
async def living() -> AsyncIterator[House]:
    house = House()
    await house.pool.start()
    try:
        yield house
    finally:
        await house.pool.stop(1.0)


async def until(condition: Callable[[], Any], what: str) -> Any:
    return await asyncio.to_thread(wait_until, condition, READY, what)


@pytest.mark.timeout(120)
async def test_two_with_the_same_usb_serial_change_plugs_and_keep_their_names(lab):
    bench = lab("sim7600", "sim7600")
    one, two = bench.sticks
    assert one.stick.serial == two.stick.serial
    async with living() as house:
        names = {}
        for sockets in ((1, 2), (2, 1), (1, 2)):
            one.plug(sockets[0])
            two.plug(sockets[1])
            for stick in (one, two):
                modem = await house.ready(stick)
                assert names.setdefault(stick.phone.imei, modem.config.name) == modem.config.name
                assert (await send(modem, stick.phone.imei)).outcome is SendOutcome.SENT
            for stick in (one, two):
                stick.unplug()
        assert len(names) == len(set(names.values())) == 2
    rows = bench.ledger("submit")
    assert [row["text"] for row in rows] == [row["imei"] for row in rows]  # each went through its own


@pytest.mark.timeout(120)
async def test_a_wedged_stick_delays_nobody_and_comes_back_in_another_plug(lab):
    bench = lab("sara", "ec25")
    wedged, other = bench.sticks
    async with living() as house:
        wedged.plug(1)
        other.plug(2)
        stuck, works = await house.ready(wedged), await house.ready(other)
        wedged.call(wedged.line.stop_reading)
        sending = asyncio.create_task(send(stuck, "x" * 100))
        async with watched_loop() as stalls:
            for turn in range(20):
                assert (await send(works, f"turn {turn}")).outcome is SendOutcome.SENT
            assert not sending.done()
            wedged.unplug()
            assert (await sending).outcome is SendOutcome.NOT_SENT  # its prompt never came
            wedged.plug(3)
            assert await house.ready(wedged) is stuck
        assert max(stalls) < STALL
        assert (await send(stuck, "again")).outcome is SendOutcome.SENT
    assert [row["text"] for row in bench.ledger("submit")] == [*(f"turn {turn}" for turn in range(20)), "again"]
