"""What the kernel makes of each stick, and the modem stack on ports that a real driver has made."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hardware.at.channel import AtChannel
from hardware.at.types import Command
from hardware.errors import PortLost
from hardware.modem import Modem, ModemConfig
from hardware.pdu import SubmitRequest, encode
from hardware.transport import SerialLink, open_port
from hardware.types import ModemState, SendOutcome, SendResult
from tests.kernel.lab import Plugged
from tests.kernel.sticks import STICKS
from tests.support.modem_rig import Listener, Sink, allowed
from tests.support.stack import wait_until

READY = 40.0  # seconds for an interview on a machine that is emulated too
FILLING = 1 << 18  # octets; more than the buffers of driver, gadget and terminal together
CLOSED = 10.0  # seconds for a driver to let go of a port whose stick is gone
STALL = 1.0  # seconds that the loop may stand still
NUMBER = "+36301234567"
DRIVERS = {
    "ec25": "option",
    "sim7600": "option",
    "e3372": "option",
    "sara": "cdc_acm",
    "ft232r": "ftdi_sio",
    "adapter": "ftdi_sio",
}


@pytest.mark.short
@pytest.mark.parametrize("name", DRIVERS)
async def test_its_driver_binds_and_the_phone_answers_behind_its_at_port(lab, name):
    stick = lab(name).sticks[0]
    stick.plug(1)
    port = await asyncio.to_thread(lambda: stick.at_port)
    assert driver_of(stick, port.interface) == DRIVERS[name]
    assert (port.vid_pid, port.product) == (stick.stick.vid_pid, stick.stick.product)
    if stick.stick.triplets:
        assert tuple(port.triplet for port in stick.ports) == stick.stick.triplets
    channel = await AtChannel.open(port.device)
    try:
        response = await channel.command(Command("AT+CGSN", timeout=5.0))
    finally:
        await channel.close()
    assert stick.phone.imei in "".join(response.lines)
    if len(stick.line.opened) > 1:  # what the device itself knows: no other port was touched
        assert [bool(count) for count in stick.line.opened] == [at == stick.stick.at for at in range(len(stick.ports))]


@pytest.mark.parametrize("name", ["cdrom", "hilink", "edl"])
def test_a_stick_that_is_no_modem_looks_as_it_does_in_the_field(lab, name):
    stick = lab(name).sticks[0]
    stick.plug(2)
    folder = Path("/sys/bus/usb/devices") / stick.path
    wait_until(lambda: (folder / f"{stick.path}:1.0").exists(), 10, "its first interface")
    assert (folder / "idProduct").read_text().strip() == f"{STICKS[name].pid:04x}"
    if name == "edl":
        wait_until(lambda: stick.ports, 10, "the port that qcserial makes of it")
        assert driver_of(stick, 0) == "qcserial"
    else:
        assert stick.ports == []


@pytest.mark.parametrize("name", ["ec25", "sara", "adapter"])
async def test_a_message_that_the_stick_took_before_it_was_pulled_out_is_unknown_and_the_next_one_is_sent(lab, name):
    bench = lab(name)
    stick = bench.sticks[0]
    stick.plug(1)
    port = await asyncio.to_thread(lambda: stick.at_port)
    async with modem_on(port.device) as modem:
        assert (await send(modem, "first")).outcome is SendOutcome.SENT
        stick.fault("unplug", on="accepted")
        assert (await send(modem, "second")).outcome is SendOutcome.UNKNOWN
        await asyncio.to_thread(wait_until, lambda: modem.status.state is ModemState.OFFLINE, 5, "it is offline")
        stick.plug(2)
        async with asyncio.timeout(READY):
            await modem.wait_ready()
        assert (await send(modem, "third")).outcome is SendOutcome.SENT
    assert [row["text"] for row in bench.ledger("submit")] == ["first", "second", "third"]


async def test_a_port_that_is_still_open_when_its_stick_comes_back_renumbers_it(lab):
    bench = lab("ec25")
    stick = bench.sticks[0]
    stick.plug(1)
    first = await asyncio.to_thread(lambda: stick.at_port)
    stale = os.open(first.device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        stick.unplug()
        stick.plug(1)
        second = await asyncio.to_thread(lambda: stick.at_port)
    finally:
        os.close(stale)
    assert second.device != first.device
    assert second.usb_path == first.usb_path
    async with modem_on(second.device) as modem:
        assert modem.status.imei == stick.phone.imei


@pytest.mark.parametrize("name", ["sara", "sim7600"])
async def test_a_stick_that_takes_no_more_octets_blocks_nobody_and_is_free_when_pulled_out(lab, name):
    stick = lab(name).sticks[0]
    stick.plug(3)
    port = await asyncio.to_thread(lambda: stick.at_port)
    threads = threading.active_count()
    link = await open_port(port.device, protocol_factory=Deaf)
    stick.call(stick.line.stop_reading)
    link.write(bytes(FILLING))
    async with watched_loop() as stalls:
        await asyncio.sleep(0.5)
        link.abort()
        await link.wait_closed(1.0)  # the driver may wait for the stick, and does so in a thread
        stick.unplug()
        assert await link.wait_closed(CLOSED)
    assert max(stalls) < STALL
    wait_until(lambda: threading.active_count() == threads, 5, "the threads that wrote and closed")


class Deaf:
    """Hears nothing."""

    def connection_made(self, link: SerialLink) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def connection_lost(self, error: PortLost | None) -> None: ...


def driver_of(stick: Plugged, interface: int) -> str:
    folder = Path("/sys/bus/usb/devices") / f"{stick.path}:1.{interface:x}"
    return (folder / "driver").resolve().name


async def send(modem: Modem, text: str) -> SendResult:
    encoded = encode(SubmitRequest(NUMBER, text=text))
    return await modem.send_part(encoded.pdus[0], encoded.lengths[0], allowed)


@asynccontextmanager
async def modem_on(device: str) -> AsyncIterator[Modem]:
    modem = Modem(ModemConfig("stick", device), sink=Sink(), listener=Listener())
    await modem.start()
    try:
        async with asyncio.timeout(READY):
            await modem.wait_ready()
        yield modem
    finally:
        await modem.stop(0.5)


@asynccontextmanager
async def watched_loop() -> AsyncIterator[list[float]]:
    """How long the loop stood still, in seconds."""
    stalls = [0.0]

    async def watch() -> None:
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(0.01)
            stalls.append(loop.time() - before - 0.01)

    task = asyncio.create_task(watch())
    try:
        yield stalls
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
