"""Sticks in plugs: found, asked, named, and known again wherever they come back (domain A1, A13)."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import tty
from pathlib import Path
from typing import Any

import pytest
import serial

from hardware.at import timeouts as at_timeouts
from hardware.modem import MemoryPinLedger, ModemConfig
from hardware.modem.roles import Kind
from hardware.pool import Binding, MemoryRegister, plugged, timeouts
from hardware.types import KnownModem, ModemState, SendOutcome
from tests.support.plug_rig import EC25, PlugRig, plug_rig

ONE, TWO = "quectel-1", "quectel-2"
TWO_STICKS = ("ec25", "ec25")
HILINK = (0x12D1, 0x14DB)
CH340 = (0x1A86, 0x7523)
ROUTED = "07916303000000F0040B916303214365F70000622122910000800AE8329BFD4697D9EC37"


@pytest.fixture(autouse=True)
def swift(monkeypatch: pytest.MonkeyPatch) -> None:
    """Emulated modems answer at once: how long silence lasts is the business of other tests."""
    monkeypatch.setattr(at_timeouts, "QUIET", 0.02)
    monkeypatch.setattr(timeouts, "LISTEN", 0.01)


def bound(name: str, *, enabled: bool = True, pin: str | None = None, **to: str) -> Binding:
    return Binding(ModemConfig(name, sweep_interval=30.0, pin=pin), enabled=enabled, **to)


def locked(it: PlugRig, index: int, pin: str) -> None:
    it.emulator.fault(index, "pin_required", pin=pin)


async def gone(it: PlugRig, path: str) -> None:
    """Pulled, and the pool knows."""
    it.sticks.pull(path)
    await it.until(lambda: all(view.usb_path != path for view in it.pool.devices()))


async def test_a_stick_that_is_put_in_is_ready_under_a_name_of_its_own(tmp_path: Path) -> None:
    async with plug_rig(tmp_path) as it:
        began = time.monotonic()
        port = it.sticks.put(0, "1-1.2")
        modem = await it.ready(ONE)
        print(f"from the plug to ready: {time.monotonic() - began:.2f} s")
        assert (modem.status.port, modem.status.usb_path, modem.status.vid_pid) == (port, "1-1.2", "2c7c:0125")
        assert modem.status.imei == it.emulator.modems[0].imei
        assert it.ears.of("modem_joined") == [{"modem": ONE, "port": port, "usb_path": "1-1.2"}]
        assert (await it.send(ONE)).outcome is SendOutcome.SENT
        assert it.ears.real == 1
        await gone(it, "1-1.2")
        await it.state(ONE, ModemState.OFFLINE, 1.0)
        assert it.pool.devices() == []
        assert len(it.ears.of("modem_left")) == 1
        assert modem.status.port is None
        assert modem.status.imei == it.emulator.modems[0].imei


async def test_a_stick_in_another_plug_keeps_its_name_and_says_where_it_is(tmp_path: Path) -> None:
    async with plug_rig(tmp_path) as it:
        it.sticks.put(0, "1-1.2")
        modem = await it.ready(ONE)
        await gone(it, "1-1.2")
        it.sticks.put(0, "2-1")
        await it.ready(ONE)
        assert it.ears.of("modem_joined")[-1]["previous_usb_path"] == "1-1.2"
        assert it.pool.modems == {ONE: modem}
        assert modem.status.usb_path == "2-1"
        await gone(it, "2-1")
        it.sticks.put(0, "2-1")
        await it.ready(ONE)
        assert "previous_usb_path" not in it.ears.of("modem_joined")[-1]


async def test_ttys_that_are_numbered_anew_change_no_name(tmp_path: Path) -> None:
    async with plug_rig(tmp_path, TWO_STICKS) as it:
        it.sticks.put(0, "1-1")
        await it.ready(ONE)
        it.sticks.put(1, "1-2")
        await it.ready(TWO)
        before = {name: modem.status.port for name, modem in it.pool.modems.items()}
        it.sticks.pull("1-1")
        it.sticks.pull("1-2")
        await it.until(lambda: not it.pool.devices())
        it.sticks.put(1, "1-2")
        it.sticks.put(0, "1-1")
        await it.ready(ONE)
        await it.ready(TWO)
        assert {name: modem.status.port for name, modem in it.pool.modems.items()} == {
            ONE: before[TWO],
            TWO: before[ONE],
        }
        assert it.pool.modems[ONE].status.imei == it.emulator.modems[0].imei


async def test_another_modem_on_the_same_tty_is_not_taken_for_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "STRAY_PAUSE", 0.05)
    async with plug_rig(tmp_path, TWO_STICKS) as it:
        node = it.sticks.put(0, "1-1")
        await it.ready(ONE)
        stranger = it.emulator.modems[1]
        stranger.plug(booted=True)
        os.unlink(node)  # what the watcher cannot see: the same name, another stick behind it
        os.symlink(stranger.line.slave_name, node)
        it.emulator.modems[0].unplug()
        await it.ready(TWO)
        assert it.pool.modems[ONE].status.state is ModemState.OFFLINE
        assert it.pool.modems[TWO].status.imei == stranger.imei


@pytest.mark.parametrize("usb_serial", [None, "0000", "860461024"])
async def test_two_sticks_that_usb_cannot_tell_apart(tmp_path: Path, usb_serial: str | None) -> None:
    async with plug_rig(tmp_path, TWO_STICKS) as it:
        it.sticks.put(0, "1-1", serial=usb_serial)
        await it.ready(ONE)
        it.sticks.put(1, "1-2", serial=usb_serial)
        await it.ready(TWO)
        for path in ("1-1", "1-2"):
            await gone(it, path)
        it.sticks.put(0, "1-2", serial=usb_serial)
        await it.ready(ONE)
        assert it.pool.modems[ONE].status.imei == it.emulator.modems[0].imei


async def test_names_are_remembered_and_an_absent_modem_is_shown(tmp_path: Path) -> None:
    register = MemoryRegister()
    async with plug_rig(tmp_path, TWO_STICKS, register=register) as it:
        it.sticks.put(1, "1-1")
        await it.ready(ONE)
        it.sticks.put(0, "1-2")
        await it.ready(TWO)
        await it.pool.stop(0.1)
        assert {known.name for known in register.kept.values()} == {ONE, TWO}
        it.sticks.pull("1-2")
        async with plug_rig(tmp_path, register=register, sticks=it.sticks) as again:
            await again.ready(ONE)
            assert again.pool.modems[ONE].status.imei == it.emulator.modems[1].imei
            absent = again.pool.modems[TWO].status
            assert (absent.state, absent.health_reason) == (ModemState.OFFLINE, "not plugged in")
            assert (absent.imei, absent.usb_path) == (it.emulator.modems[0].imei, "1-2")
            assert again.pool.knows_real
            again.sticks.put(0, "1-3")
            await again.ready(TWO)
            assert again.ears.of("modem_joined")[-1]["previous_usb_path"] == "1-2"


@pytest.mark.parametrize(
    ("usb_serial", "how", "words"),
    [("860461024", "usb_serial", "USB serial"), ("0000", "usb_path", "its plug, 1-1"), (None, "usb_path", "its plug")],
)
async def test_a_modem_that_tells_no_imei_says_what_it_is_known_by(
    tmp_path: Path, usb_serial: str | None, how: str, words: str
) -> None:
    async with plug_rig(tmp_path) as it:
        it.emulator.modems[0].phone.imei = "000000000000000"
        it.sticks.put(0, "1-1", serial=usb_serial)
        await it.ready(ONE)
        (event,) = it.ears.of("imei_missing")
        assert event["identified_by"] == how
        assert words in str(event["reason"])
        await gone(it, "1-1")
        it.sticks.put(0, "1-2", serial=usb_serial)
        await it.ready(ONE if how == "usb_serial" else TWO)


async def test_a_cloned_imei_is_not_taken_until_the_first_one_goes(tmp_path: Path) -> None:
    async with plug_rig(tmp_path, TWO_STICKS) as it:
        it.emulator.modems[1].phone.imei = it.emulator.modems[0].imei
        it.sticks.put(0, "1-1")
        await it.ready(ONE)
        it.sticks.put(1, "1-2")
        view = await it.view("1-2", ModemState.BLOCKED, "same IMEI")
        assert "1-1" in view.problem
        assert "usb_path" in view.fix
        (event,) = it.ears.of("imei_duplicate")
        assert (event["modem"], event["usb_path"]) == (ONE, "1-2")
        assert (await it.send(ONE)).outcome is SendOutcome.SENT
        it.sticks.pull("1-1")
        await it.until(lambda: it.pool.modems[ONE].status.usb_path == "1-2")
        await it.ready(ONE)
        assert it.pool.modems.keys() == {ONE}


async def test_cloned_imeis_can_be_bound_to_their_plugs(tmp_path: Path) -> None:
    bindings = [bound("left", usb_path="1-1"), bound("right", usb_path="1-2")]
    async with plug_rig(tmp_path, TWO_STICKS, bindings=bindings) as it:
        it.emulator.modems[1].phone.imei = it.emulator.modems[0].imei
        it.sticks.put(0, "1-1")
        it.sticks.put(1, "1-2")
        await it.ready("left")
        await it.ready("right")
        assert not it.ears.of("imei_duplicate")


async def test_a_sim_that_was_moved_is_told_of_with_both_modems(tmp_path: Path) -> None:
    async with plug_rig(tmp_path, TWO_STICKS) as it:
        first, second = (modem.phone for modem in it.emulator.modems)
        it.sticks.put(0, "1-1")
        await it.ready(ONE)
        it.sticks.put(1, "1-2")
        await it.ready(TWO)
        moved, spare = first.iccid, second.iccid
        await gone(it, "1-1")
        await gone(it, "1-2")
        first.iccid, second.iccid = "8936010000000000009", moved
        it.sticks.put(1, "1-2")
        await it.ready(TWO)
        (event,) = it.ears.of("sim_moved")
        assert event == {"modem": TWO, "iccid": moved, "previous_modem": ONE, "previous_imei": first.imei}
        assert it.ears.of("sim_changed") == [{"modem": TWO, "iccid": moved, "previous": spare}]
        assert it.pool.modems[ONE].status.iccid is None
        it.sticks.put(0, "1-1")
        await it.ready(ONE)
        assert len(it.ears.of("sim_moved")) == 1
        assert it.pool.modems[ONE].status.iccid == first.iccid


async def test_a_sim_that_was_swapped_while_the_bridge_was_away_is_told_of(tmp_path: Path) -> None:
    register = MemoryRegister()
    async with plug_rig(tmp_path, register=register) as it:
        it.sticks.put(0, "1-1")
        await it.ready(ONE)
        before = it.emulator.modems[0].phone.iccid
        await it.pool.stop(0.1)
        it.emulator.modems[0].phone.iccid = "8936010000000000009"
        async with plug_rig(tmp_path, register=register, sticks=it.sticks) as again:
            await again.ready(ONE)
            assert again.ears.of("sim_changed") == [
                {"modem": ONE, "iccid": "8936010000000000009", "previous": before},
            ]


async def test_names_from_the_configuration(tmp_path: Path) -> None:
    async with plug_rig(tmp_path, ("ec25",) * 3) as it:
        bindings = [
            bound("alarm", imei=it.emulator.modems[0].imei),
            bound("office", iccid=it.emulator.modems[1].iccid),
            bound("cellar", usb_path="1-3"),
        ]
        await it.pool.stop(0.1)
        async with plug_rig(tmp_path, bindings=bindings, sticks=it.sticks) as named:
            assert named.pool.modems.keys() == {"alarm", "office", "cellar"}
            for index in range(3):
                named.sticks.put(index, f"1-{index + 1}")
            for name in ("alarm", "office", "cellar"):
                await named.ready(name)
            assert named.pool.modems.keys() == {"alarm", "office", "cellar"}
            assert named.pool.modems["alarm"].status.imei == it.emulator.modems[0].imei


async def test_a_name_that_is_bound_to_a_sim_goes_with_it(tmp_path: Path) -> None:
    async with plug_rig(tmp_path, TWO_STICKS) as it:
        sim = it.emulator.modems[0].iccid
        await it.pool.stop(0.1)
        async with plug_rig(tmp_path, bindings=[bound("office", iccid=sim)], sticks=it.sticks) as named:
            named.sticks.put(0, "1-1")
            await named.ready("office")
            # The SIM goes over while its first stick stays plugged in, and has not noticed.
            it.emulator.modems[0].phone.iccid = "8936010000000000009"
            it.emulator.modems[1].phone.iccid = sim
            named.sticks.put(1, "1-2")
            await named.until(lambda: named.pool.modems["office"].status.usb_path == "1-2")
            await named.ready("office")
            await named.ready(ONE)
            assert named.pool.modems[ONE].status.imei == it.emulator.modems[0].imei
            (event,) = named.ears.of("sim_moved")
            assert event["modem"] == "office"


async def test_the_pin_of_a_sim_follows_it_and_is_tried_on_no_other(tmp_path: Path) -> None:
    async with plug_rig(tmp_path, TWO_STICKS) as it:
        first, second = (modem.phone for modem in it.emulator.modems)
        await it.pool.stop(0.1)
        bindings = [bound("office", iccid=first.iccid, pin="4711")]
        async with plug_rig(tmp_path, bindings=bindings, sticks=it.sticks, pins=MemoryPinLedger()) as named:
            locked(it, 0, "4711")
            locked(it, 1, "9999")
            named.sticks.put(0, "1-1")
            await named.ready("office")
            named.sticks.put(1, "1-2")
            await named.state(ONE, ModemState.BLOCKED)
            assert "none is configured" in (named.pool.modems[ONE].status.health_reason or "")
            assert second.pin_attempts == 3


async def test_the_pin_of_a_modem_is_not_tried_on_the_next_sim_that_is_put_into_it(tmp_path: Path) -> None:
    register, ledger = MemoryRegister(), MemoryPinLedger()
    async with plug_rig(tmp_path) as it:
        phone = it.emulator.modems[0].phone
        await it.pool.stop(0.1)
        bindings = [bound("alarm", imei=phone.imei, pin="4711")]
        locked(it, 0, "4711")
        rig: dict[str, Any] = {"bindings": bindings, "sticks": it.sticks, "register": register, "pins": ledger}
        async with plug_rig(tmp_path, **rig) as named:
            named.sticks.put(0, "1-1")
            await named.ready("alarm")
            assert named.ears.of("sim_unlocked") == [{"modem": "alarm", "iccid": phone.iccid}]
        async with plug_rig(tmp_path, **rig) as again:  # after a restart, and with another SIM
            await gone(again, "1-1") if again.pool.devices() else again.sticks.pull("1-1")
            phone.iccid = "8936010000000000009"
            locked(it, 0, "9999")
            again.sticks.put(0, "1-1")
            await again.state("alarm", ModemState.BLOCKED)
            assert "another SIM's" in (again.pool.modems["alarm"].status.health_reason or "")
            assert phone.pin_attempts == 3


async def test_a_modem_that_is_switched_off_is_left_alone(tmp_path: Path) -> None:
    async with plug_rig(tmp_path) as it:
        imei = it.emulator.modems[0].imei
        await it.pool.stop(0.1)
        off = bound("spare", imei=imei, enabled=False)
        async with plug_rig(tmp_path, bindings=[off], sticks=it.sticks) as named:
            named.sticks.put(0, "1-1")
            view = await named.view("1-1", ModemState.DETECTED, "switched off")
            assert "enabled" in view.fix
            assert named.pool.modems == {}


@pytest.mark.parametrize(
    ("ids", "interfaces", "words"),
    [
        (HILINK, [(0, "02/06/00", "cdc_ether", None)], "HiLink"),
        ((0x05C6, 0x9008), [(0, "ff/ff/ff", "qcserial", None)], "recovery mode"),
        ((0x2C7C, 0x0801), [(0, "02/0e/00", "cdc_mbim", None), (1, "0a/00/02", "cdc_mbim", None)], "MBIM"),
        ((0x19D2, 0x2000), [(0, "08/06/50", "usb-storage", None)], "CD-ROM"),
    ],
)
async def test_what_cannot_be_used_is_listed_with_its_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ids: tuple[int, int], interfaces: list[Any], words: str
) -> None:
    monkeypatch.setattr(timeouts, "LATE_PORTS", 0.05)
    monkeypatch.setitem(plugged._PATIENCE, Kind.CDROM, 0.05)
    async with plug_rig(tmp_path) as it:
        it.usb.plug("1-1", *ids, interfaces)
        view = await it.view("1-1", ModemState.BLOCKED, words)
        assert view.fix
        (event,) = it.ears.of("modem_blocked")
        assert (event["usb_path"], event["vid_pid"]) == ("1-1", f"{ids[0]:04x}:{ids[1]:04x}")
        assert (event["reason"], event["fix"]) == (view.problem, view.fix)
        assert it.ears.real == 1
        it.usb.unplug("1-1")
        await it.until(lambda: it.ears.of("modem_left"))
        assert it.pool.devices() == []


async def test_a_port_that_another_program_holds_is_said_and_taken_when_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hardware.pool.plugged._HELD", (0.05, 0.05))
    async with plug_rig(tmp_path) as it:
        it.emulator.modems[0].plug(booted=True)
        hold = "import serial, sys; port = serial.Serial(sys.argv[1], exclusive=True); print(); sys.stdin.read()"
        slave, pipe = it.emulator.modems[0].line.slave_name, asyncio.subprocess.PIPE
        other = await asyncio.create_subprocess_exec(sys.executable, "-c", hold, slave, stdin=pipe, stdout=pipe)
        try:
            assert other.stdout is not None
            await other.stdout.readline()
            it.sticks.put(0, "1-1")
            view = await it.view("1-1", ModemState.BLOCKED)
            assert f"pid {other.pid}" in f"{view.problem} {view.fix}"
            await asyncio.sleep(0.3)
            assert len(it.ears.of("modem_blocked")) == 1, "said once, however often it was tried"
        finally:
            await other.communicate(b"")
        await it.ready(ONE)


async def test_a_port_that_may_not_be_opened_is_said_and_taken_when_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hardware.pool.plugged._HELD", (0.05, 0.05))
    real = serial.Serial.open

    def forbidden(port: serial.Serial) -> None:
        raise PermissionError(13, "Permission denied")  # to root, nothing is

    monkeypatch.setattr(serial.Serial, "open", forbidden)
    async with plug_rig(tmp_path) as it:
        it.sticks.put(0, "1-1")
        view = await it.view("1-1", ModemState.BLOCKED, "may not be opened")
        assert "dialout" in view.fix
        monkeypatch.setattr(serial.Serial, "open", real)
        await it.ready(ONE)


async def test_a_stick_that_does_not_answer_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "ANSWER", 0.05)
    monkeypatch.setattr(timeouts, "SILENT_FIRST", 0.1)
    async with plug_rig(tmp_path) as it:
        it.emulator.modems[0].plug()
        it.emulator.fault(0, "wedge")
        it.sticks.put(0, "1-1")
        it.emulator.fault(0, "wedge")
        await it.view("1-1", ModemState.BLOCKED, "does not answer AT")
        it.emulator.clear(0, "wedge")
        await it.ready(ONE)


async def test_a_driver_that_hangs_in_open_delays_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = serial.Serial.open

    def slow(port: serial.Serial) -> None:
        if port.port == hanging:
            time.sleep(1.2)
        real(port)

    async with plug_rig(tmp_path, TWO_STICKS) as it:
        monkeypatch.setattr(serial.Serial, "open", slow)
        hanging = it.sticks.put(0, "1-1")
        it.sticks.put(1, "1-2")
        began = time.monotonic()
        await it.ready(ONE)
        assert it.pool.modems[ONE].status.usb_path == "1-2"
        assert time.monotonic() - began < 1.2
        await it.ready(TWO)


async def test_a_stick_that_is_pulled_while_it_is_asked(tmp_path: Path) -> None:
    async with plug_rig(tmp_path) as it:
        for wait in (0.0, 0.05, 0.15, 0.3, 0.4, 0.45, 0.5, 0.6, 0.8):
            it.sticks.put(0, "1-1")
            await asyncio.sleep(wait)
            await gone(it, "1-1")
        it.sticks.put(0, "1-1")
        await it.ready(ONE)
        assert it.pool.modems.keys() == {ONE}


async def test_a_port_that_was_named_is_never_taken_by_discovery(tmp_path: Path) -> None:
    async with plug_rig(tmp_path) as it:
        await it.pool.stop(0.1)
        fixed = Binding(ModemConfig("fixed", str(it.usb.dev / "ttyUSB0"), sweep_interval=30.0))
        async with plug_rig(tmp_path, bindings=[fixed], sticks=it.sticks) as named:
            named.sticks.put(0, "1-1")
            await named.ready("fixed")
            assert named.pool.modems.keys() == {"fixed"}
            assert named.pool.devices() == []
            await gone(named, "1-1")
            await named.state("fixed", ModemState.OFFLINE)


async def test_a_serial_adapter_is_asked_only_if_that_is_wanted(tmp_path: Path) -> None:
    async with plug_rig(tmp_path, ("sim800l",), adapters=False) as it:
        it.sticks.put(0, "1-1", CH340, at=0)
        await it.view("1-1", ModemState.DETECTED, "left alone")
        assert it.ears.real == 0
        await it.pool.stop(0.1)
        async with plug_rig(tmp_path, sticks=it.sticks) as again:
            await again.ready("modem-1")
            assert again.ears.real == 1


async def test_an_adapter_with_nothing_behind_it_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "ANSWER", 0.03)
    async with plug_rig(tmp_path) as it:
        it.sticks.put(0, "1-1", CH340, at=0)
        it.emulator.fault(0, "wedge")
        view = await it.view("1-1", ModemState.DETECTED, "no modem answers")
        assert "name its port" in view.fix
        assert it.ears.real == 0
        assert not it.pool.knows_real


async def test_a_modem_is_forgotten_for_good_only_when_it_is_away(tmp_path: Path) -> None:
    async with plug_rig(tmp_path) as it:
        it.sticks.put(0, "1-1")
        await it.ready(ONE)
        with pytest.raises(Exception, match="plugged in"):
            await it.pool.remove(ONE)
        await gone(it, "1-1")
        await it.pool.remove(ONE)
        assert it.pool.modems == {}
        assert it.register.kept == {}
        it.sticks.put(0, "1-1")
        await it.ready(ONE)


async def test_a_modem_that_is_renamed_goes_on_under_its_new_name(tmp_path: Path) -> None:
    async with plug_rig(tmp_path, TWO_STICKS) as it:
        it.sticks.put(0, "1-1")
        await it.ready(ONE)
        assert (await it.send(ONE)).outcome is SendOutcome.SENT
        it.sticks.put(1, "1-2")
        await it.ready(TWO)
        with pytest.raises(Exception, match="taken"):
            await it.pool.rename(ONE, TWO)
        await it.pool.rename(ONE, "alarm")
        modem = await it.ready("alarm")
        assert modem.status.sent == 1
        assert it.pool.modems.keys() == {"alarm", TWO}
        await gone(it, "1-1")
        it.sticks.put(0, "1-3")
        await it.ready("alarm")
        assert it.register.kept[it.emulator.modems[0].imei].name == "alarm"


async def test_the_third_port_is_found_and_the_others_are_never_opened(tmp_path: Path) -> None:
    async with plug_rig(tmp_path) as it:
        others = [(0, "ff/ff/ff", "option", None), (1, "ff/00/00", "option", None), (3, "ff/00/00", "option", None)]
        it.sticks.put(0, "1-1", EC25, others=others)
        modem = await it.ready(ONE)
        assert modem.status.port == str(it.usb.dev / "ttyUSB2")


async def test_the_pool_can_be_stopped_at_any_moment(tmp_path: Path) -> None:
    async with plug_rig(tmp_path) as it:
        await it.pool.stop(0.1)
        it.sticks.put(0, "1-1")
        for wait in (0.0, 0.05, 0.1, 0.25, 0.35, 0.4, 0.45, 0.5, 0.7):
            async with plug_rig(tmp_path, sticks=it.sticks):
                await asyncio.sleep(wait)


async def test_a_pulled_stick_whose_line_stays_silent_is_offline_all_the_same(tmp_path: Path) -> None:
    """Some drivers hang up late or never: what the watcher sees is enough."""
    async with plug_rig(tmp_path, latency=5.0) as it:
        it.sticks.put(0, "1-1")
        modem = await it.ready(ONE)
        sending = asyncio.create_task(it.send(ONE))
        await it.until(lambda: it.emulator.modems[0].sending)
        await asyncio.sleep(0.05)
        began = time.monotonic()
        it.usb.unplug("1-1")
        await it.state(ONE, ModemState.OFFLINE, 1.0)
        result = await sending
        assert time.monotonic() - began < 1.0
        assert result.outcome is SendOutcome.UNKNOWN
        assert result.error is not None
        assert result.error.code == "port_lost"
        assert "unplugged from 1-1" in (modem.status.health_reason or "")


async def test_a_driver_that_hangs_in_close_delays_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = serial.Serial.close

    def slow(port: serial.Serial) -> None:
        if port.port == hanging:
            time.sleep(1.0)  # in a thread
        real(port)

    async with plug_rig(tmp_path, TWO_STICKS) as it:
        hanging = it.sticks.put(0, "1-1")
        await it.ready(ONE)
        monkeypatch.setattr(serial.Serial, "close", slow)
        it.sticks.pull("1-1")
        began = time.monotonic()
        await it.state(ONE, ModemState.OFFLINE, 0.5)
        it.usb.held.add("ttyUSB0")  # its number is taken until it is closed
        it.sticks.put(1, "1-2")
        await it.ready(TWO)
        assert time.monotonic() - began < 1.0
        it.sticks.put(0, "1-1")
        await it.ready(ONE)


async def test_a_port_that_streams_something_else_is_left_alone(tmp_path: Path) -> None:
    master, slave = os.openpty()
    try:
        tty.setraw(slave)
        async with plug_rig(tmp_path) as it:
            stop = threading.Event()
            noise = threading.Thread(target=_pour, args=(master, stop))
            noise.start()
            try:
                it.usb.plug("1-1", *EC25, [(2, "ff/00/00", "option", os.ttyname(slave))])
                view = await it.view("1-1", ModemState.BLOCKED, "streams")
                assert "left alone" in view.fix
            finally:
                stop.set()
                noise.join()
    finally:
        os.close(master)
        os.close(slave)


def _pour(master: int, stop: threading.Event) -> None:
    """A debug log, as some modems pour out of one of their ports (domain A1.3)."""
    os.set_blocking(master, False)
    while not stop.wait(0.002):
        try:
            os.write(master, bytes(range(128, 256)))
        except BlockingIOError:
            continue


async def test_a_second_adapter_speed_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "ANSWER", 0.1)
    async with plug_rig(tmp_path, ("sim800l",)) as it:
        it.emulator.modems[0].plug(booted=True)
        it.emulator.fault(0, "no_answer", on="", count=4)  # ESC CR may be one, AT the rest
        slave = it.emulator.modems[0].line.slave_name
        it.usb.plug("1-1", *CH340, [(0, "ff/01/02", "ch341", slave)], product="USB Serial")
        modem = await it.ready("modem-1")
        assert modem.config.baudrate == 9600


async def test_a_mode_switch_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(plugged._PATIENCE, Kind.CDROM, 0.3)
    async with plug_rig(tmp_path) as it:
        it.usb.plug("1-1", 0x12D1, 0x1446, [(0, "08/06/50", "usb-storage", None)])
        await it.view("1-1", ModemState.DETECTED)
        assert not it.ears.of("modem_blocked")
        assert "usb-modeswitch" in (await it.view("1-1", ModemState.BLOCKED, "CD-ROM")).fix
        it.usb.unplug("1-1")
        it.sticks.put(0, "1-1")
        await it.ready(ONE)


async def test_what_the_disk_refuses_to_keep_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "REGISTER_RETRY", 0.05)
    register = Refusing()
    async with plug_rig(tmp_path, register=register) as it:
        it.sticks.put(0, "1-1")
        await it.ready(ONE)
        assert register.refused
        register.full = False
        await it.until(lambda: register.kept)
        assert register.kept[it.emulator.modems[0].imei].name == ONE


class Refusing(MemoryRegister):
    """A full disk, until it is not."""

    def __init__(self) -> None:
        super().__init__()
        self.full = True
        self.refused = 0

    async def save(self, modem: KnownModem) -> None:
        if self.full:
            self.refused += 1
            raise OSError("no space left on device")
        await super().save(modem)


async def test_a_configured_name_takes_the_place_of_the_remembered_one(tmp_path: Path) -> None:
    register = MemoryRegister()
    async with plug_rig(tmp_path, register=register) as it:
        it.sticks.put(0, "1-1")
        await it.ready(ONE)
        await it.pool.stop(0.1)
        for binding in (bound("alarm", imei=it.emulator.modems[0].imei), bound("cellar", usb_path="1-1")):
            async with plug_rig(tmp_path, register=register, bindings=[binding], sticks=it.sticks) as named:
                name = binding.config.name
                await named.ready(name)
                assert named.pool.modems.keys() == {name}, "no ghost of the old name"


async def test_what_may_be_no_modem_is_asked_a_few_times_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "ANSWER", 0.01)
    monkeypatch.setattr(plugged, "_STRANGER", (0.02, 0.02))
    opened = []
    real = serial.Serial.open

    def noted(port: serial.Serial) -> None:
        opened.append(port.port)
        real(port)

    monkeypatch.setattr(serial.Serial, "open", noted)
    async with plug_rig(tmp_path) as it:
        it.sticks.put(0, "1-1", CH340, at=0)
        it.emulator.fault(0, "wedge")
        wanted = 2 * plugged.STRANGER_TRIES  # at two speeds
        await it.until(lambda: len(opened) == wanted)
        await asyncio.sleep(0.3)
        assert len(opened) == wanted
        await gone(it, "1-1")
        it.sticks.put(0, "1-1", CH340, at=0)
        await it.ready("modem-1")


async def test_what_a_modem_had_still_to_store_outlives_its_name(tmp_path: Path) -> None:
    async with plug_rig(tmp_path, ("sara",)) as it:
        it.sticks.put(0, "1-1", (0x1546, 0x1102), at=0)
        (name,) = [await it.ready("u-blox-1") and "u-blox-1"]
        it.sink.refuse = 1000
        modem = it.pool.modems[name]
        modem._session._inbox._take("", None, ROUTED)  # type: ignore[union-attr]
        await it.until(lambda: it.sink.refused)
        await it.pool.rename(name, "gate")
        it.sink.refuse = 0
        await it.until(lambda: it.sink.received)
        assert it.sink.received[0].raw == ROUTED


async def test_what_answers_at_and_knows_no_sim_is_no_modem(tmp_path: Path) -> None:
    """A telephone modem, a WiFi module: `AT` alone proves nothing."""
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    loop, asked = asyncio.get_running_loop(), []

    def answer() -> None:
        for line in os.read(master, 4096).replace(b"\x1b", b"").split(b"\r"):
            if line:
                asked.append(line.decode())
                os.write(master, b"\r\nOK\r\n" if line == b"AT" else b"\r\nERROR\r\n")

    loop.add_reader(master, answer)
    try:
        async with plug_rig(tmp_path) as it:
            it.usb.plug("1-1", *CH340, [(0, "ff/01/02", "ch341", os.ttyname(slave))], product="USB Serial")
            await it.view("1-1", ModemState.DETECTED, "no modem for SMS")
            assert it.ears.real == 0
        assert "AT+CPIN?" in asked
    finally:
        loop.remove_reader(master)
        os.close(master)
        os.close(slave)
