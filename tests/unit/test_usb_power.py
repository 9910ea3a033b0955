"""Taking a modem's current away: what is possible, what is refused, and that it always comes back."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from hardware.usb import usbfs
from hardware.usb.hubs import PortPower, Switching, characteristics, parent_of, port_power
from hardware.usb.power import Autosuspend, Outcome, PowerTools, may_cut
from tests.support.usb_tree import QUECTEL, FakeUsb, Interface

# wHubCharacteristics as `lsusb -v` shows them, in a hub descriptor (USB 2.0 11.23.2.1)
VL805 = bytes.fromhex("0929 04 e900 32 64 00 ff")  # a Raspberry Pi 4's own: says each port by itself
GANGED = bytes.fromhex("0929 04 e000 32 64 00 ff")
INDIVIDUAL = bytes.fromhex("0929 07 a900 32 64 00 ff")
NONE = bytes.fromhex("0929 04 0a00 01 00 00 ff")
SUPERSPEED = bytes.fromhex("0c2a 04 0900 32 00 00 0000 0000")
QUICK = 0.01
DISK: list[Interface] = [(0, "08/06/50", "usb-storage", None)]
FORBIDDEN = "/proc/sys/kernel/version"  # not even root may write to it


@pytest.fixture
def usb(tmp_path: Path) -> FakeUsb:
    return FakeUsb(tmp_path)


def kernel(descriptor: bytes) -> Callable[[int, int, Any], Any]:
    """Every hub says this of itself; a reset is well."""

    def ioctl(_file: int, request: int, argument: Any) -> Any:
        if request == usbfs.USBDEVFS_RESET:
            return 0
        assert request == usbfs.USBDEVFS_CONTROL
        kind, number, value, _, length, _, address = usbfs.CONTROL_TRANSFER.unpack(argument)
        assert (kind, number) == (0xA0, 6)
        assert value >> 8 == descriptor[1]
        ctypes.memmove(address, descriptor, min(length, len(descriptor)))
        return argument

    return ioctl


def tools(usb: FakeUsb, descriptor: bytes = INDIVIDUAL, **options: Any) -> PowerTools:
    defaults: dict[str, Any] = {
        "off_time": QUICK,
        "pause": QUICK,
        "uhubctl": "/nowhere/uhubctl",
        "ioctl": kernel(descriptor),
    }
    return PowerTools(sysfs=usb.sysfs, dev=usb.dev, **(defaults | options))


@contextmanager
def written(*files: Path) -> Iterator[dict[Path, list[str]]]:
    """What is written to each of these, piece by piece, as sysfs gets it."""
    said: dict[Path, list[str]] = {file: [] for file in files}
    ending = threading.Event()

    def listen(file: Path) -> None:
        while True:
            descriptor = os.open(file, os.O_RDONLY)  # until somebody writes
            while piece := os.read(descriptor, 1):
                said[file].append(piece.decode())
            os.close(descriptor)
            if ending.is_set():
                return

    threads = []
    for file in files:
        file.unlink()
        os.mkfifo(file)
        threads.append(threading.Thread(target=listen, args=(file,)))
        threads[-1].start()
    try:
        yield said
    finally:
        ending.set()
        for file, thread in zip(files, threads, strict=True):
            while thread.is_alive():
                with suppress(OSError):
                    os.close(os.open(file, os.O_WRONLY | os.O_NONBLOCK))
                thread.join(0.01)


def until(condition: Callable[[], object]) -> None:
    while not condition():
        time.sleep(QUICK)


def switch(usb: FakeUsb, path: str) -> Path:
    return usb.port(path) / "disable"


# Which hub, and what it can


@pytest.mark.parametrize(
    ("path", "parent"),
    [("1-1.3", ("1-1", 3)), ("1-2", ("usb1", 2)), ("3-1.4.10", ("3-1.4", 10)), ("12-7", ("usb12", 7))],
)
def test_the_hub_of_a_plug(path: str, parent: tuple[str, int]) -> None:
    assert parent_of(path) == parent


@pytest.mark.parametrize(
    ("descriptor", "switching"),
    [
        (VL805, Switching.INDIVIDUAL), (INDIVIDUAL, Switching.INDIVIDUAL), (SUPERSPEED, Switching.INDIVIDUAL),
        (GANGED, Switching.GANGED), (NONE, Switching.NONE), (b"", Switching.UNKNOWN), (NONE[:4], Switching.UNKNOWN),
        (b"\x09\x02" + NONE[2:], Switching.UNKNOWN),
    ],
)  # fmt: skip
def test_what_a_hub_claims(descriptor: bytes, switching: Switching) -> None:
    assert characteristics(descriptor) is switching


def look(usb: FakeUsb, path: str, descriptor: bytes = INDIVIDUAL) -> PortPower:
    power = port_power(path, usb.sysfs, usb.dev, kernel(descriptor))
    assert power is not None
    return power


def test_a_port_that_is_switched_by_itself_takes_nobody_along(usb: FakeUsb) -> None:
    usb.hub("1-1")
    usb.plug("1-1.2", 0x2C7C, 0x0125, QUECTEL)
    usb.plug("1-1.3", 0x2C7C, 0x0125, QUECTEL)
    power = look(usb, "1-1.3")
    assert (power.hub, power.port, power.switching) == ("1-1", 3, Switching.INDIVIDUAL)
    assert (power.files, power.shared, power.harmed) == ((switch(usb, "1-1.3"),), (), None)
    assert look(usb, "1-1.4").files == (switch(usb, "1-1.4"),)  # nothing need be in it


def test_both_halves_of_a_usb_3_socket(usb: FakeUsb) -> None:
    usb.hub("1-1")
    usb.hub("2-1", speed=5000)
    usb.peers("1-1.3", "2-1.3")
    usb.plug("1-1.3", 0x2C7C, 0x0125, QUECTEL)
    assert look(usb, "1-1.3").files == (switch(usb, "1-1.3"), switch(usb, "2-1.3"))
    assert look(usb, "2-1.3", SUPERSPEED).files == (switch(usb, "1-1.3"), switch(usb, "2-1.3"))


def test_ports_that_are_switched_together_take_all_along(usb: FakeUsb) -> None:
    usb.hub("1-1", ports=2)
    usb.hub("2-1", ports=2, speed=5000)
    for number in (1, 2):
        usb.peers(f"1-1.{number}", f"2-1.{number}")
    usb.plug("1-1.1", 0x2C7C, 0x0125, QUECTEL)
    usb.hub("1-1.2")
    usb.plug("1-1.2.4", 0x12D1, 0x1506, QUECTEL[:1])
    power = look(usb, "1-1.1", GANGED)
    assert power.switching is Switching.GANGED
    assert power.shared == ("1-1.2.4",)
    assert set(power.files) == {switch(usb, f"{hub}.{port}") for hub in ("1-1", "2-1") for port in (1, 2)}


def test_a_hub_that_may_not_be_asked_is_judged_by_what_the_kernel_offers(usb: FakeUsb) -> None:
    usb.hub("1-1")
    usb.hub("1-2", switches=False)
    for hub, switching in (("1-1", Switching.UNKNOWN), ("1-2", Switching.NONE)):
        node = next((usb.dev / "bus/usb/001").glob(f"*{(usb.folder(hub) / 'devnum').read_text().strip()}"))
        node.unlink()
        usb.plug(f"{hub}.1", 0x2C7C, 0x0125, QUECTEL)
        usb.plug(f"{hub}.2", 0x2C7C, 0x0125, QUECTEL)
        power = port_power(f"{hub}.1", usb.sysfs, usb.dev)
        assert power is not None
        assert power.switching is switching
    unknown = port_power("1-1.1", usb.sysfs, usb.dev)
    assert unknown is not None
    assert unknown.shared == ("1-1.2",)  # as if they were switched together


def test_the_sockets_of_a_raspberry_pi_4_are_one_whatever_its_hub_says(usb: FakeUsb) -> None:
    usb.model("Raspberry Pi 4 Model B Rev 1.4")
    usb.hub("usb1", ports=1)
    usb.hub("usb2", speed=5000)
    usb.hub("1-1", 0x2109, 0x3431)
    for number in range(1, 5):
        usb.peers(f"1-1.{number}", f"2-{number}")
    usb.plug("1-1.1", 0x2C7C, 0x0125, QUECTEL)
    usb.plug("2-3", 0x2C7C, 0x0801, QUECTEL)
    usb.hub("1-1.2", 0x0424, 0x2514)  # one that somebody plugged in, with a switch for each port
    usb.plug("1-1.2.1", 0x12D1, 0x1506, QUECTEL[:1])
    usb.plug("1-1.2.2", 0x12D1, 0x1506, QUECTEL[:1])
    power = look(usb, "1-1.1", VL805)
    assert power.switching is Switching.GANGED
    assert power.shared == ("1-1.2.1", "1-1.2.2", "2-3")
    sockets = {switch(usb, f"{hub}{port}") for hub in ("1-1.", "2-") for port in range(1, 5)}
    assert set(power.files) == sockets  # not the port that the soldered hub itself hangs on
    alone = look(usb, "1-1.2.1")
    assert (alone.switching, alone.shared) == (Switching.INDIVIDUAL, ())


def test_a_raspberry_pi_3_keeps_its_network(usb: FakeUsb) -> None:
    usb.model("Raspberry Pi 3 Model B Rev 1.2")
    usb.hub("usb1", ports=1)
    usb.hub("1-1", 0x0424, 0x9514, ports=5)
    usb.plug("1-1.1", 0x0424, 0xEC00, [(0, "ff/00/ff", "smsc95xx", None)])
    usb.plug("1-1.2", 0x2C7C, 0x0125, QUECTEL)
    power = look(usb, "1-1.2")
    assert (power.shared, power.harmed) == ((), None)
    assert set(power.files) == {switch(usb, f"1-1.{port}") for port in range(2, 6)}


def test_a_raspberry_pi_3_b_plus_has_two_hubs_on_board(usb: FakeUsb) -> None:
    usb.model("Raspberry Pi 3 Model B Plus Rev 1.3")
    usb.hub("usb1", ports=1)
    usb.hub("1-1", 0x0424, 0x2514)
    usb.hub("1-1.1", 0x0424, 0x2514, ports=3)
    usb.plug("1-1.1.1", 0x0424, 0x7800, [(0, "ff/00/ff", "lan78xx", None)])
    usb.plug("1-1.1.2", 0x2C7C, 0x0125, QUECTEL)
    usb.plug("1-1.3", 0x12D1, 0x1506, QUECTEL[:1])
    assert look(usb, "1-1.3").shared == ("1-1.1.2",)


def test_what_is_no_plug_or_not_there() -> None:
    for path in ("1-1:1.0", "usb1", "../../etc", "", "1-1.1"):
        assert port_power(path, Path("/nowhere"), Path("/nowhere")) is None


# Whom it would harm


def gang(usb: FakeUsb) -> None:
    usb.hub("1-1")
    usb.plug("1-1.1", 0x2C7C, 0x0125, QUECTEL)


def network(usb: FakeUsb, path: str, state: str) -> None:
    usb.plug(path, 0x0BDA, 0x8153, [(0, "ff/ff/00", "r8152", None)])
    folder = usb.folder(path) / f"{path}:1.0" / "net" / "eth1"
    folder.mkdir(parents=True)
    (folder / "operstate").write_text(state + "\n")


def test_no_cut_while_another_modem_on_the_same_switch_is_sending(usb: FakeUsb) -> None:
    gang(usb)
    usb.plug("1-1.2", 0x12D1, 0x1506, QUECTEL[:1])
    power = look(usb, "1-1.1", GANGED)
    refused = may_cut("1-1.1", ["1-1.2"], power)
    assert refused is not None
    assert refused.outcome is Outcome.REFUSED
    assert refused.sentence == "1-1.1 and 1-1.2 lose their current together, and the modem at 1-1.2 is at work"
    assert may_cut("1-1.1", ["1-3"], power) is None
    assert may_cut("1-1.1", ["1-1.1"], power) is not None
    assert may_cut("1-1.1", ["1-1.2"], look(usb, "1-1.1", INDIVIDUAL)) is None


@pytest.mark.parametrize(
    ("plug", "harmed"),
    [
        (lambda usb: usb.plug("1-1.2", 0x0951, 0x1666, DISK), "a disk at 1-1.2"),
        (lambda usb: network(usb, "1-1.2", "up"), "the network adapter eth1 at 1-1.2"),
        (lambda usb: network(usb, "1-1.2", "unknown"), "the network adapter eth1 at 1-1.2"),
        (lambda usb: network(usb, "1-1.2", "down"), None),
        (lambda usb: usb.plug("1-1.2", 0x19D2, 0x0117, [*QUECTEL[:1], (5, "08/06/50", "usb-storage", None)]), None),
        (lambda usb: usb.plug("1-1.2", 0x046D, 0xC52B, [(0, "03/01/01", "usbhid", None)]), None),
    ],
)
def test_no_cut_that_harms_what_is_no_modem(usb: FakeUsb, plug: Callable[[FakeUsb], None], harmed: str | None) -> None:
    gang(usb)
    plug(usb)
    power = look(usb, "1-1.1", GANGED)
    assert power.harmed == harmed
    refused = may_cut("1-1.1", [], power)
    assert (refused is None) is (harmed is None)
    assert refused is None or (harmed or "") in refused.sentence


# What is done


async def test_a_cycle_switches_off_and_on(usb: FakeUsb, tmp_path: Path) -> None:
    gang(usb)
    memory = tmp_path / "off"
    with written(switch(usb, "1-1.1"), switch(usb, "1-1.2")) as said:
        result = await tools(usb, memory=memory).cycle("1-1.1")
        assert (result.outcome, result.sentence) == (Outcome.DONE, "the current of 1-1.1 was off for 0.01 s")
    assert list(said.values()) == [["1", "0"], []]
    assert not memory.exists()


async def test_a_cycle_of_a_gang_switches_all(usb: FakeUsb) -> None:
    gang(usb)
    usb.plug("1-1.2", 0x12D1, 0x1506, QUECTEL[:1])
    files = [switch(usb, f"1-1.{port}") for port in range(1, 5)]
    with written(*files) as said:
        result = await tools(usb, GANGED, busy=lambda: {"1-7"}).cycle("1-1.1")
    assert result.sentence == "the current of 1-1.1 and 1-1.2 was off for 0.01 s"
    assert list(said.values()) == [["1", "0"]] * 4


async def test_a_refused_cycle_writes_nothing(usb: FakeUsb) -> None:
    gang(usb)
    usb.plug("1-1.2", 0x12D1, 0x1506, QUECTEL[:1])
    with written(switch(usb, "1-1.1")) as said:
        result = await tools(usb, GANGED, busy=lambda: ["1-1.2"]).cycle("1-1.1")
    assert result.outcome is Outcome.REFUSED
    assert list(said.values()) == [[]]


async def test_a_cycle_that_is_cancelled_gives_the_current_back(usb: FakeUsb) -> None:
    gang(usb)
    power = tools(usb, off_time=0.2)
    with written(switch(usb, "1-1.1")) as said:
        task = asyncio.create_task(power.cycle("1-1.1"))
        await asyncio.to_thread(until, lambda: said[switch(usb, "1-1.1")])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await power.cycle("1-1.1")).ok  # and the next one waits for it
    assert list(said.values()) == [["1", "0", "1", "0"]]


async def test_what_cannot_be_switched_off_is_switched_on_all_the_same(usb: FakeUsb) -> None:
    gang(usb)
    switch(usb, "1-1.3").unlink()
    switch(usb, "1-1.3").symlink_to(FORBIDDEN)
    with written(switch(usb, "1-1.1")) as said:
        result = await tools(usb, GANGED).cycle("1-1.1")
    assert result.outcome is Outcome.NOT_PERMITTED
    assert "/etc/udev/rules.d" in result.sentence
    assert list(said.values()) == [["1", "0"]]


async def test_what_a_killed_bridge_left_off_is_switched_on_at_start(usb: FakeUsb, tmp_path: Path) -> None:
    gang(usb)
    memory = tmp_path / "off"
    authorized = usb.folder("1-1.1") / "authorized"
    for file in (switch(usb, "1-1.1"), switch(usb, "1-1.2")):
        file.write_text("1\n")
    authorized.write_text("0\n")
    stranger = tmp_path / "disable"
    stranger.write_text("1\n")
    memory.write_text(
        f"0 {switch(usb, '1-1.1')}\n1 {authorized}\n0 {stranger}\n0 {usb.sysfs}/../disable\n"
        f"1 {switch(usb, '1-1.2')}\nx\n0 {usb.sysfs}/gone/disable\n"
    )
    results = await tools(usb, memory=memory).restore()
    assert [result.outcome for result in results] == [Outcome.DONE, Outcome.DONE]
    assert results[0].sentence == "1-1-port1 was left switched off and is on again"
    assert (switch(usb, "1-1.1").read_text()[0], authorized.read_text()[0]) == ("0", "1")
    assert (switch(usb, "1-1.2").read_text()[0], stranger.read_text()[0]) == ("1", "1")  # not of our doing
    assert not memory.exists()
    assert await tools(usb, memory=memory).restore() == []
    assert await tools(usb).restore() == []


async def test_what_is_off_is_written_down_while_it_is_off(usb: FakeUsb, tmp_path: Path) -> None:
    gang(usb)
    memory = tmp_path / "off"
    task = asyncio.create_task(tools(usb, memory=memory, off_time=0.3).cycle("1-1.1"))
    await asyncio.to_thread(until, lambda: switch(usb, "1-1.1").read_text()[:1] == "1")
    assert memory.read_text() == f"0 {switch(usb, '1-1.1')}\n"
    assert (await task).ok
    assert switch(usb, "1-1.1").read_text()[0] == "0"


@pytest.mark.parametrize(
    ("descriptor", "switches", "kernel6", "words", "fix"),
    [
        (NONE, False, True, "the hub 1-1 cannot switch the current of 1-1.1", "smart plug"),
        (INDIVIDUAL, True, False, "this kernel cannot tell it to", "apt install uhubctl"),
        (GANGED, True, False, "switched together", "Linux 6.0"),
    ],
)
async def test_what_cannot_be_cycled_says_why(
    usb: FakeUsb, descriptor: bytes, switches: bool, kernel6: bool, words: str, fix: str
) -> None:
    usb.hub("1-1", switches=switches, kernel6=kernel6)
    usb.plug("1-1.1", 0x2C7C, 0x0125, QUECTEL)
    power = tools(usb, descriptor)
    assert (await power.can_cycle("1-1.1")).outcome is Outcome.NOT_SUPPORTED
    result = await power.cycle("1-1.1")
    assert result.outcome is Outcome.NOT_SUPPORTED
    assert words in result.sentence
    assert fix in result.fix


async def test_where_nothing_is(usb: FakeUsb) -> None:
    power = tools(usb)
    for path in ("1-1.1", "1-1:1.0", "../.."):
        for act in (power.reset, power.reauthorise, power.cycle, power.can_cycle, power.keep_awake):
            result = await act(path)
            assert result.outcome in (Outcome.FAILED, Outcome.NOT_SUPPORTED)
            assert path in result.sentence
        assert await power.autosuspend(path) is None


UHUBCTL = """#!/bin/sh
echo "$@" > {directory}/said
{answer}
"""


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ('echo "New status for hub 1-1 [2109:2811 USB2.0 Hub, USB 2.10, 4 ports, ppps]"', Outcome.DONE),
        ('echo "No compatible devices detected!"; exit 1', Outcome.FAILED),
        ('echo "There were permission problems while accessing USB." >&2; exit 1', Outcome.NOT_PERMITTED),
    ],
)
async def test_an_older_kernel_is_helped_by_uhubctl(
    usb: FakeUsb, tmp_path: Path, answer: str, outcome: Outcome
) -> None:
    usb.hub("1-1", kernel6=False)
    usb.plug("1-1.3", 0x2C7C, 0x0125, QUECTEL)
    program = tmp_path / "uhubctl"
    program.write_text(UHUBCTL.format(directory=tmp_path, answer=answer))
    program.chmod(0o755)
    power = tools(usb, uhubctl=str(program))
    assert (await power.can_cycle("1-1.3")).sentence == "the current of 1-1.3 can be switched off and on"
    assert (await power.cycle("1-1.3")).outcome is outcome
    assert (tmp_path / "said").read_text() == "-l 1-1 -p 3 -a cycle -d 0.01 -N\n"
    sending = tools(usb, uhubctl=str(program), busy=lambda: ["1-1.3"])
    assert (await sending.cycle("1-1.3")).outcome is Outcome.REFUSED


async def test_logging_off_and_on(usb: FakeUsb, tmp_path: Path) -> None:
    gang(usb)
    memory = tmp_path / "off"
    with written(usb.folder("1-1.1") / "authorized") as said:
        result = await tools(usb, memory=memory).reauthorise("1-1.1")
    assert result.ok
    assert list(said.values()) == [["0", "1"]]
    assert not memory.exists()


async def test_logging_off_without_permission(usb: FakeUsb) -> None:
    gang(usb)
    file = usb.folder("1-1.1") / "authorized"
    file.unlink()
    file.symlink_to(FORBIDDEN)
    result = await tools(usb).reauthorise("1-1.1")
    assert result.outcome is Outcome.NOT_PERMITTED
    assert "may not write to" in result.sentence
    assert "1-1.1/authorized" in result.sentence


def answering(number: int) -> Callable[[int, int, Any], Any]:
    def ioctl(*_: object) -> Any:
        if number:
            raise OSError(number, os.strerror(number))
        return 0

    return ioctl


@pytest.mark.parametrize(
    ("number", "outcome", "words"),
    [
        (0, Outcome.DONE, "1-1.1 was reset"),
        (errno.ENODEV, Outcome.DONE, "enumerates anew"),
        (errno.EPERM, Outcome.NOT_PERMITTED, "may not write to"),
        (errno.EIO, Outcome.FAILED, "Input/output error"),
        (errno.EROFS, Outcome.NOT_PERMITTED, "read-only here"),
    ],
)
async def test_a_reset(usb: FakeUsb, number: int, outcome: Outcome, words: str) -> None:
    gang(usb)
    result = await tools(usb, ioctl=answering(number)).reset("1-1.1")
    assert result.outcome is outcome
    assert words in result.sentence


async def test_a_reset_of_what_the_kernel_knows_not(usb: FakeUsb) -> None:
    gang(usb)
    assert (await tools(usb, ioctl=fcntl.ioctl).reset("1-1.1")).outcome is Outcome.NOT_SUPPORTED  # a plain file
    for node in (usb.dev / "bus" / "usb" / "001").iterdir():
        node.unlink()
    result = await tools(usb).reset("1-1.1")
    assert result.outcome is Outcome.NOT_SUPPORTED
    assert "-v /dev:/dev" in result.fix


async def test_autosuspend_is_read_and_forbidden(usb: FakeUsb) -> None:
    gang(usb)
    power = tools(usb)
    assert await power.autosuspend("1-1.1") == Autosuspend(allowed=True, delay_ms=2000, asleep=False)
    folder = usb.folder("1-1.1") / "power"
    (folder / "runtime_status").write_text("suspended\n")
    (folder / "autosuspend_delay_ms").write_text("-1000\n")
    assert await power.autosuspend("1-1.1") == Autosuspend(allowed=False, delay_ms=-1000, asleep=True)
    (folder / "autosuspend_delay_ms").unlink()
    assert (await power.keep_awake("1-1.1")).ok
    assert (folder / "control").read_text().startswith("on")
    (folder / "control").write_text("on\n")
    assert await power.autosuspend("1-1.1") == Autosuspend(allowed=False, delay_ms=None, asleep=True)
