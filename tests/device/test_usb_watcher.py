"""The watcher on a sysfs tree in which devices come, go, change and misbehave."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from hardware.usb.ports import UsbDevice, devices, path_order
from hardware.usb.watcher import Watcher
from tests.support.usb_tree import QUECTEL, FakeUsb, Interface

DEADLINE = 10.0  # seconds; what takes this long does not happen
NEVER = 3600.0  # seconds between polls: what is seen was heard
QUICK = 0.02
ADAPTER: list[Interface] = [(0, "ff/01/02", "ch341", None)]


class Log:
    """What was told, in its order, and that it makes sense."""

    def __init__(self) -> None:
        self.told: list[tuple[str, UsbDevice]] = []
        self.present: dict[str, UsbDevice] = {}
        self._more = asyncio.Event()

    def arrived(self, device: UsbDevice) -> None:
        assert device.path not in self.present
        self.present[device.path] = device
        self._add("arrived", device)

    def changed(self, device: UsbDevice) -> None:
        assert self.present[device.path].key == device.key
        self.present[device.path] = device
        self._add("changed", device)

    def left(self, device: UsbDevice) -> None:
        assert self.present.pop(device.path) == device
        self._add("left", device)

    def _add(self, what: str, device: UsbDevice) -> None:
        self.told.append((what, device))
        self._more.set()

    @property
    def words(self) -> list[str]:
        return [f"{what} {device.path}" for what, device in self.told]

    async def until(self, *words: str) -> None:
        """Wait until exactly these were told, since the beginning."""
        await self.when(lambda: len(self.told) >= len(words))
        assert self.words == list(words)

    async def when(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():
                self._more.clear()
                await self._more.wait()


@asynccontextmanager
async def watching(
    usb: FakeUsb, *, poll: float = QUICK, settle: float = QUICK, settle_cap: float = 0.2, netlink: object = None
) -> AsyncIterator[Log]:
    uevents = (lambda: netlink) if isinstance(netlink, socket.socket) else netlink
    watcher = Watcher(
        sysfs=usb.sysfs,
        dev=usb.dev,
        poll=poll,
        settle=settle,
        settle_cap=settle_cap,
        uevents=uevents,  # type: ignore[arg-type]
    )
    log = Log()
    task = asyncio.create_task(watcher.run(log.arrived, log.changed, log.left))
    try:
        yield log
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def usb(tmp_path: Path) -> FakeUsb:
    return FakeUsb(tmp_path)


@pytest.fixture
def netlink(usb: FakeUsb) -> Iterator[socket.socket]:
    """Where the tree tells its changes, as the kernel does."""
    ours, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    usb.uevents = kernel
    with ours, kernel:
        yield ours


async def test_what_is_there_at_the_start_arrives(usb: FakeUsb) -> None:
    usb.plug("1-1.10", 0x2C7C, 0x0125, QUECTEL)
    usb.plug("1-1.9", 0x1A86, 0x7523, ADAPTER)
    async with watching(usb, poll=NEVER) as log:
        await log.until("arrived 1-1.9", "arrived 1-1.10")
        # Each is read in a thread of its own: one whose driver hangs must not hold up the others.
        arrived = sorted((device for _, device in log.told), key=lambda device: path_order(device.path))
        assert arrived == devices(usb.sysfs, usb.dev)


async def test_a_composite_device_arrives_once_with_all_its_ports(usb: FakeUsb, netlink: socket.socket) -> None:
    async with watching(usb, poll=NEVER, settle=0.6, settle_cap=NEVER, netlink=netlink) as log:
        usb.plug("1-1", 0x2C7C, 0x0125)
        for interface in QUECTEL:
            await asyncio.sleep(0.02)
            usb.add_port("1-1", interface)
        await log.until("arrived 1-1")
        assert [port.interface for port in log.present["1-1"].ports] == [0, 1, 2, 3]


async def test_a_device_that_never_rests_arrives_at_the_cap(usb: FakeUsb) -> None:
    usb.plug("1-1", 0x2C7C, 0x0125, QUECTEL)
    async with watching(usb, settle=0.3, settle_cap=0.6) as log:
        for number in range(4, 250):
            usb.add_port("1-1", (number, "ff/00/00", "option", None))
            await asyncio.sleep(0.02)
            if log.told:
                break
        assert log.words == ["arrived 1-1"]


async def test_a_driver_that_is_still_being_loaded_is_waited_for(usb: FakeUsb) -> None:
    async with watching(usb, settle=QUICK, settle_cap=5.0) as log:
        usb.plug("1-1", 0x2C7C, 0x0125, [(n, "ff/00/00", None, None) for n in range(2)])
        await asyncio.sleep(0.3)
        assert log.told == []
        usb.add_port("1-1", (0, "ff/00/00", "option", None))
        usb.add_port("1-1", (1, "ff/00/00", "option", None))
        await log.until("arrived 1-1")
        assert len(log.present["1-1"].ports) == 2


async def test_a_device_that_no_driver_wants_arrives_without_ports(usb: FakeUsb) -> None:
    async with watching(usb) as log:
        usb.plug("1-1", 0x2C7C, 0x6005, [(2, "ff/00/00", None, None)])
        usb.plug("1-2", 0x12D1, 0x14DC, [(0, "02/06/00", "cdc_ether", None), (2, "08/06/50", "usb-storage", None)])
        usb.plug("1-3", 0x12D1, 0x1573, configuration=None)
        await log.when(lambda: len(log.told) == 3)
        assert [device.ports for device in log.present.values()] == [(), (), ()]
        assert log.present["1-3"].configuration is None


async def test_an_unplug_is_heard_at_once(usb: FakeUsb, netlink: socket.socket) -> None:
    usb.plug("1-1", 0x2C7C, 0x0125, QUECTEL)
    async with watching(usb, poll=NEVER, netlink=netlink) as log:
        await log.until("arrived 1-1")
        await asyncio.sleep(0.3)
        usb.unplug("1-1")
        await log.until("arrived 1-1", "left 1-1")
        usb.plug("1-1", 0x1A86, 0x7523, ADAPTER)
        await log.until("arrived 1-1", "left 1-1", "arrived 1-1")
        assert log.told[1][1] == log.told[0][1]


async def test_polling_alone_sees_the_same(usb: FakeUsb, caplog: pytest.LogCaptureFixture) -> None:
    def forbidden() -> socket.socket:
        raise PermissionError(1, "Operation not permitted")

    with caplog.at_level(logging.INFO, "hardware.usb"):
        async with watching(usb, netlink=forbidden) as log:
            usb.plug("1-1", 0x2C7C, 0x0125, QUECTEL)
            await log.until("arrived 1-1")
            usb.unplug("1-1")
            await log.until("arrived 1-1", "left 1-1")
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert "netlink: EPERM" in record.getMessage()


async def test_netlink_that_breaks_leaves_the_poll(
    usb: FakeUsb, netlink: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "hardware.usb"):
        async with watching(usb, poll=0.1, netlink=netlink) as log:
            assert usb.uevents is not None
            usb.uevents.shutdown(socket.SHUT_RDWR)
            netlink.shutdown(socket.SHUT_RDWR)
            usb.uevents = None
            usb.plug("1-1", 0x2C7C, 0x0125, QUECTEL)
            await log.until("arrived 1-1")
    assert [record.levelname for record in caplog.records] == ["INFO"]


async def test_a_device_replaced_between_two_looks_left_and_arrived(usb: FakeUsb) -> None:
    usb.plug("1-1", 0x2C7C, 0x0125, QUECTEL, serial="same")
    async with watching(usb, poll=0.3) as log:
        await log.until("arrived 1-1")
        usb.move("1-1", "1-1")
        await log.until("arrived 1-1", "left 1-1", "arrived 1-1")
        before, left, after = (device for _, device in log.told)
        assert left == before
        assert after.key != before.key
        assert [port.device for port in after.ports] == [port.device for port in before.ports]


async def test_a_stick_moved_and_renumbered(usb: FakeUsb) -> None:
    usb.plug("1-1", 0x2C7C, 0x0125, QUECTEL, serial="same")
    async with watching(usb) as log:
        await log.until("arrived 1-1")
        usb.unplug("1-1", held=["ttyUSB2"])  # somebody has not noticed yet
        usb.plug("1-4.1", 0x2C7C, 0x0125, QUECTEL, serial="same")
        await log.until("arrived 1-1", "left 1-1", "arrived 1-4.1")
        names = [Path(port.device).name for port in log.present["1-4.1"].ports]
        assert names == ["ttyUSB0", "ttyUSB1", "ttyUSB3", "ttyUSB4"]


async def test_two_of_the_same_are_two(usb: FakeUsb) -> None:
    async with watching(usb) as log:
        for path in ("1-1", "1-2"):
            usb.plug(path, 0x1A86, 0x7523, ADAPTER)
        await log.when(lambda: len(log.told) == 2)
        usb.unplug("1-1")
        await log.when(lambda: len(log.told) == 3)
        assert log.words[2] == "left 1-1"
        assert [port.device for port in log.present["1-2"].ports] == [str(usb.dev / "ttyUSB1")]


async def test_a_name_that_moves_to_another_stick_leaves_first(usb: FakeUsb) -> None:
    usb.plug("1-2", 0x1A86, 0x7523, ADAPTER)
    async with watching(usb, poll=0.3) as log:
        await log.until("arrived 1-2")
        usb.unplug("1-2")
        usb.plug("1-1", 0x1A86, 0x7523, ADAPTER)
        await log.until("arrived 1-2", "left 1-2", "arrived 1-1")
        assert log.told[0][1].ports[0].device == log.told[2][1].ports[0].device


async def test_ports_that_come_and_go_are_changes(usb: FakeUsb) -> None:
    usb.plug("1-1", 0x2C7C, 0x0125, QUECTEL)
    async with watching(usb) as log:
        await log.until("arrived 1-1")
        usb.drop_port("1-1", 2)
        await log.when(lambda: "changed 1-1" in log.words)
        await log.when(lambda: [port.interface for port in log.present["1-1"].ports] == [0, 1, 3])
        usb.add_port("1-1", QUECTEL[2])
        await log.when(lambda: len(log.present["1-1"].ports) == 4)
        usb.add_port("1-1", (4, "ff/ff/ff", "qmi_wwan", None))
        await log.when(lambda: len(log.present["1-1"].interfaces) == 5)
        assert set(log.words[1:]) == {"changed 1-1"}


async def test_ports_that_were_made_anew_under_their_old_names_are_a_change(usb: FakeUsb) -> None:
    """A reset of the device: whoever had a port open has lost it and may open it again."""
    usb.plug("1-1", 0x2C7C, 0x0125, QUECTEL)
    async with watching(usb, poll=0.3) as log:
        await log.until("arrived 1-1")
        for interface in QUECTEL:
            usb.drop_port("1-1", interface[0])
        for interface in QUECTEL:
            usb.add_port("1-1", interface)
        await log.until("arrived 1-1", "changed 1-1")
        assert log.told[0][1] == log.told[1][1]


async def test_what_goes_before_it_settled_was_never_there(usb: FakeUsb) -> None:
    async with watching(usb, settle=NEVER) as log:
        usb.plug("1-1", 0x2C7C, 0x0125, QUECTEL)
        await asyncio.sleep(0.1)
        usb.unplug("1-1")
        await asyncio.sleep(0.1)
        assert log.told == []


@pytest.mark.parametrize("file", ["idVendor", "idProduct", "busnum"])
async def test_a_half_built_device_arrives_when_it_is_whole(usb: FakeUsb, file: str) -> None:
    usb.plug("1-1", 0x2C7C, 0x0125, QUECTEL)
    attribute = usb.folder("1-1") / file
    whole = attribute.read_text()
    attribute.write_text("")
    async with watching(usb) as log:
        usb.plug("1-2", 0x1A86, 0x7523, ADAPTER)
        await log.until("arrived 1-2")
        attribute.write_text(whole)
        await log.until("arrived 1-2", "arrived 1-1")


async def test_a_device_whose_driver_hangs_hides_no_other(usb: FakeUsb) -> None:
    usb.plug("1-1", 0x2C7C, 0x0125, QUECTEL)
    serial = usb.folder("1-1") / "serial"
    os.mkfifo(serial)  # opening it blocks, as sysfs does while a driver holds the device
    async with watching(usb) as log:
        usb.plug("1-2", 0x1A86, 0x7523, ADAPTER)
        await log.until("arrived 1-2")
        usb.unplug("1-2")
        await log.until("arrived 1-2", "left 1-2")
        while True:  # the reader may not have come to it yet
            with suppress(OSError):
                writer = os.open(serial, os.O_WRONLY | os.O_NONBLOCK)
                break
            await asyncio.sleep(0.01)
        os.write(writer, b"0123\n")
        os.close(writer)
        await log.until("arrived 1-2", "left 1-2", "arrived 1-1")
        assert log.present["1-1"].serial == "0123"


async def test_a_listener_that_raises_does_not_end_the_watch(usb: FakeUsb, caplog: pytest.LogCaptureFixture) -> None:
    told, left = asyncio.Event(), asyncio.Event()

    def refuse(device: UsbDevice) -> None:
        told.set()
        raise RuntimeError("no")

    watcher = Watcher(sysfs=usb.sysfs, dev=usb.dev, poll=QUICK, settle=QUICK, uevents=None)
    task = asyncio.create_task(watcher.run(refuse, refuse, lambda _: left.set()))
    usb.plug("1-1", 0x2C7C, 0x0125, QUECTEL)
    async with asyncio.timeout(DEADLINE):
        await told.wait()
        usb.unplug("1-1")
        await left.wait()
    assert "telling that the USB device at 1-1 has arrived" in caplog.text
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_it_can_be_stopped_and_started_again(usb: FakeUsb) -> None:
    usb.plug("1-1", 0x2C7C, 0x0125, QUECTEL)
    for poll in (QUICK, NEVER):
        async with watching(usb, poll=poll) as log:
            await log.until("arrived 1-1")
    async with watching(usb):
        pass  # at once


@pytest.mark.parametrize("heard", [True, False])
async def test_however_devices_come_and_go_the_end_is_right(usb: FakeUsb, netlink: socket.socket, heard: bool) -> None:
    """Half of the changes come in the middle of a look; what was told always makes sense (`Log`)."""
    chance = random.Random(4)
    plugs = ["1-1", "1-2.1", "1-2.2", "2-1"]
    if not heard:
        usb.uevents = None

    def churn() -> None:
        inside: set[str] = set()
        for _ in range(150):
            path = chance.choice(plugs)
            if path in inside:
                held = [node.name for node in usb.nodes(path) if chance.random() < 0.2]
                usb.unplug(path, held=held)
                inside.remove(path)
            else:
                usb.plug(path, 0x2C7C, 0x0125, QUECTEL[: chance.randint(1, 4)])
                inside.add(path)
            if chance.random() < 0.2:
                usb.held.clear()
            if chance.random() < 0.3:
                threading.Event().wait(chance.random() * 0.05)

    async with watching(usb, netlink=netlink if heard else None, poll=NEVER if heard else QUICK, settle=0.005) as log:
        await asyncio.to_thread(churn)
        expected = {device.path: device for device in devices(usb.sysfs, usb.dev)}
        assert expected
        await log.when(lambda: log.present == expected)
