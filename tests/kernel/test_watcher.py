"""The watcher on the kernel's own sysfs and netlink, without udev: what comes, what goes, how soon it is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hardware.modem.roles import Kind, examine
from hardware.usb.ports import UsbDevice
from hardware.usb.watcher import Watcher
from tests.kernel.lab import Plugged
from tests.support.stack import wait_until

TOLD = 10.0  # seconds; a machine that is emulated, on one that is busy
KINDS = {"cdrom": Kind.CDROM, "hilink": Kind.HILINK, "edl": Kind.RECOVERY}


class Told:
    """What the watcher said, and when; `path` tells the sticks from the guest's own hubs."""

    def __init__(self) -> None:
        self.said: list[tuple[str, UsbDevice, float]] = []

    def hear(self, what: str) -> Any:
        return lambda device: self.said.append((what, device, time.monotonic()))

    async def next(self, what: str, stick: Plugged, since: int) -> tuple[UsbDevice, float]:
        """The first `what` of the stick's plug at index `since` or later."""
        path = stick.path

        def found() -> tuple[UsbDevice, float] | None:
            return next(((d, at) for said, d, at in self.said[since:] if said == what and d.path == path), None)

        result: tuple[UsbDevice, float] = await asyncio.to_thread(wait_until, found, TOLD, f"{path} has {what}")
        return result


@asynccontextmanager
async def watching(**options: Any) -> AsyncIterator[Told]:
    told = Told()
    task = asyncio.create_task(
        Watcher(**options).run(told.hear("arrived"), told.hear("changed"), told.hear("left")), name="watcher"
    )
    try:
        yield told
    finally:
        task.cancel()
        await asyncio.wait({task})


@pytest.mark.short
async def test_each_stick_is_told_of_with_all_its_ports_and_is_gone_when_it_is_pulled_out(lab, observe):
    sticks = lab("ec25", "e3372", "sara", "ft232r", "adapter").sticks
    async with watching() as told:
        for cycle in range(2):
            for position, stick in enumerate(sticks):
                since, began = len(told.said), time.monotonic()
                stick.plug((position + cycle) % 5 + 1)
                device, at = await told.next("arrived", stick, since)
                assert (device.vid_pid, device.product) == (stick.stick.vid_pid, stick.stick.product)
                assert len(device.ports) == stick.stick.ports
                observe("insertion to `arrived`", at - began)
                if stick.name != "adapter":  # QEMU's calls itself by a name that says nothing of a modem
                    assert examine(device).candidates[0].device == device.ports[stick.stick.at].device
            for stick in sticks:
                since, began = len(told.said), time.monotonic()
                stick.unplug()
                observe("pulled out to `left`", (await told.next("left", stick, since))[1] - began)
    assert [what for what, *_ in told.said] == [what for _ in range(2) for what in ["arrived"] * 5 + ["left"] * 5]


async def test_the_poll_alone_sees_a_stick_that_changes_its_plug_between_two_looks(lab):
    stick = lab("sara").sticks[0]
    async with watching(uevents=None) as told:
        stick.plug(0)
        first, _ = await told.next("arrived", stick, 0)
        since = len(told.said)
        stick.unplug()
        stick.plug(0)
        await told.next("left", stick, since)
        second, _ = await told.next("arrived", stick, since)
        assert second.path == first.path
        assert second.key != first.key


@pytest.mark.parametrize("name", KINDS)
async def test_what_is_no_modem_is_reported_with_the_fix_and_has_no_port_that_may_be_opened(lab, name):
    stick = lab(name).sticks[0]
    async with watching() as told:
        stick.plug(6)
        device, _ = await told.next("arrived", stick, 0)
    examined = examine(device)
    assert examined.kind is KINDS[name]
    assert examined.problem
    assert examined.hint
    assert examined.candidates == ()
    assert [port.device for port, _ in examined.left_alone] == [port.device for port in device.ports]
    assert stick.line.opened == [0] * len(stick.line.opened)
