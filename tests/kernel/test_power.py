"""What can be done to a plug from outside, on the kernel that does it: reset, log off and on, current off and on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from hardware.at.channel import AtChannel
from hardware.at.types import Command
from hardware.usb.power import Outcome, PowerResult, PowerTools
from tests.kernel.lab import Plugged
from tests.kernel.test_watcher import watching
from tests.support.stack import wait_until

OFF = 0.5  # seconds without current; nothing here has a capacitor
BACK = 15.0  # seconds until a stick is there again

WAYS: dict[str, Callable[[PowerTools, str], Awaitable[PowerResult]]] = {
    "reset": PowerTools.reset,
    "logged off and on": PowerTools.reauthorise,
    "current": PowerTools.cycle,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["ec25", "sara"])
async def test_a_stick_comes_back_and_answers_whatever_was_done_to_its_plug(lab, name, way):
    stick = lab(name).sticks[0]
    async with watching() as told:
        stick.plug(1)
        before, _ = await told.next("arrived", stick, 0)
        result = await WAYS[way](PowerTools(off_time=OFF, pause=OFF), stick.path)
        assert result.outcome is Outcome.DONE, result.sentence
        await asyncio.to_thread(wait_until, lambda: bool(told.said[1:]), BACK, "the watcher has seen it")
        assert told.said[1][1].path == before.path
        assert stick.phone.imei in await asked(stick)


async def test_a_wedged_stick_is_taken_from_its_drivers_and_another_one_works_on(lab):
    """Its octets go nowhere and a close would wait for them; the neighbour must not notice."""
    bench = lab("sara", "ec25")
    wedged, other = bench.sticks
    wedged.plug(1)
    other.plug(2)
    channel = await AtChannel.open((await asyncio.to_thread(lambda: wedged.at_port)).device)
    try:
        wedged.call(wedged.line.stop_reading)
        channel.write_bytes(bytes(1 << 18), "<filling>")
        reset = asyncio.create_task(PowerTools(pause=OFF).reauthorise(wedged.path))
        assert other.phone.imei in await asked(other)
        assert (await reset).ok
    finally:
        assert await channel.close()
    wedged.unplug()
    wedged.plug(3)
    assert wedged.phone.imei in await asked(wedged)


async def test_the_hub_of_an_adapter_is_named_when_it_cannot_switch_a_port(lab):
    stick = lab("adapter").sticks[0]
    stick.plug("6.3")
    await asyncio.to_thread(lambda: stick.at_port)
    assert stick.path == "1-6.3"
    result = await PowerTools(off_time=OFF).cycle(stick.path)
    assert result.outcome is Outcome.NOT_SUPPORTED
    assert "1-6" in result.what
    assert result.fix


async def asked(stick: Plugged) -> str:
    """What it answers to the question for its IMEI."""
    port = await asyncio.to_thread(lambda: stick.at_port)
    channel = await AtChannel.open(port.device)
    try:
        return "".join((await channel.command(Command("AT+CGSN", timeout=5.0))).lines)
    finally:
        await channel.close()
