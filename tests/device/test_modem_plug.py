"""A modem that comes and goes: noticed at once, back soon, nothing left behind (domain G10)."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from pathlib import Path

import pytest
import serial

from hardware.at import timeouts as at_timeouts
from hardware.at.channel import AtChannel
from hardware.modem import Modem, ModemConfig, timeouts
from hardware.types import ModemState, SendOutcome
from tests.support.modem_rig import Listener, Sink, rig


async def test_an_unplugged_modem_is_offline_at_once_and_back_soon(tmp_path: Path) -> None:
    async with rig(tmp_path, "ec25") as it:
        await it.ready()
        it.emulator.fault(0, "unplug")
        await it.state(ModemState.OFFLINE, 1.0)
        assert "modem_left" in it.listener.names
        await asyncio.sleep(1.2)
        it.emulator.fault(0, "plug")
        it.phone.sim_ready = it.phone.network_ready = True  # the path is measured, not the device's boot
        began = time.monotonic()
        await it.ready()
        took = time.monotonic() - began
        print(f"from the node to ready: {took:.2f} s")
        assert took < 3.0
        assert it.listener.names.count("modem_joined") == 2
        assert (await it.send())[0].outcome is SendOutcome.SENT


@pytest.mark.parametrize(
    ("moment", "outcome"),
    [
        ("cmgs", SendOutcome.NOT_SENT),
        ("prompt", SendOutcome.NOT_SENT),
        ("ctrl_z", SendOutcome.UNKNOWN),
        ("accepted", SendOutcome.UNKNOWN),
    ],
)
async def test_unplugged_in_a_send(moment: str, outcome: SendOutcome, tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        it.emulator.fault(0, "unplug", on=moment)
        (result,) = await it.send()
        assert result.outcome is outcome
        await it.state(ModemState.OFFLINE, 1.0)
        it.emulator.fault(0, "plug")
        await it.ready()
        assert len(it.submits()) <= 1


async def test_unplugged_while_a_message_is_read(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        await asyncio.sleep(0.1)
        it.emulator.fault(0, "unplug", on="command")
        it.emulator.deliver(0, "+36301112222", "hello")
        await it.state(ModemState.OFFLINE, 1.0)
        it.emulator.fault(0, "plug")
        await it.until(lambda: it.sink.texts == ["hello"])
        await it.until(lambda: it.stored() == 0)


async def test_a_port_that_is_not_there_yet(tmp_path: Path) -> None:
    async with rig(tmp_path, start=False) as it:
        it.emulator.fault(0, "unplug")
        await it.modem.start()
        await it.until(lambda: it.modem.status.health_reason not in (None, "not started"))
        assert it.modem.status.state is ModemState.OFFLINE
        assert "modem_joined" not in it.listener.names
        it.emulator.fault(0, "plug")
        await it.ready()


async def test_a_port_that_is_held_by_another_program(tmp_path: Path) -> None:
    async with rig(tmp_path, start=False) as it:
        other = await AtChannel.open(it.emulator.ports[0])
        try:
            await it.modem.start()
            await it.until(lambda: it.modem.status.health_reason not in (None, "not started"))
            assert it.modem.status.state is ModemState.OFFLINE
            assert "modem_joined" not in it.listener.names
        finally:
            await other.close()
        it.modem.wake()
        await it.ready()


async def test_a_port_that_is_no_modem_is_tried_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(at_timeouts, "PROBES", (0.02,) * 3)
    monkeypatch.setattr(at_timeouts, "QUIET", 0.02)
    async with rig(tmp_path, start=False) as it:
        it.emulator.fault(0, "wedge")
        await it.modem.start()
        await it.state(ModemState.RECOVERING)
        assert it.modem.status.health_reason is not None
        it.emulator.clear(0)
        await it.ready()


async def test_a_blocked_modem_that_leaves_is_offline(tmp_path: Path) -> None:
    async with rig(tmp_path, start=False) as it:
        it.emulator.fault(0, "pin_required", pin="1234")
        await it.modem.start()
        await it.state(ModemState.BLOCKED)
        it.emulator.fault(0, "unplug")
        await it.state(ModemState.OFFLINE, 2.0)
        assert it.listener.names[-1] == "modem_left"
        it.emulator.clear(0)
        it.emulator.fault(0, "plug")
        await it.ready()


async def test_a_port_that_the_kernel_keeps_is_said_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_close = serial.Serial.close

    def slow_close(port: serial.Serial) -> None:
        time.sleep(0.6)  # in a thread; a driver may take half a minute
        real_close(port)

    monkeypatch.setattr(timeouts, "RECONNECT_CAP", 0.1)
    monkeypatch.setattr(at_timeouts, "CLOSE", 0.1)
    async with rig(tmp_path) as it:
        await it.ready()
        monkeypatch.setattr(serial.Serial, "close", slow_close)
        it.emulator.fault(0, "unplug")
        await it.state(ModemState.BLOCKED)
        assert ModemState.OFFLINE in it.listener.states, "said before the close was waited for"
        assert "kernel" in (it.modem.status.health_reason or "")
        monkeypatch.setattr(serial.Serial, "close", real_close)
        it.emulator.fault(0, "plug")
        await it.ready()


async def test_stopping_in_the_middle_of_anything(tmp_path: Path) -> None:
    async with rig(tmp_path, start=False) as it:
        for wait in (0, 0.001, 0.01, 0.1, 0.21, 0.215, 0.22, 0.23):
            await it.modem.start()
            await asyncio.sleep(wait)
            await it.modem.stop(0.1)
            assert it.modem.status.state is ModemState.OFFLINE


async def test_fifty_times_out_and_in_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "PATH_POLL", 0.005)
    monkeypatch.setattr(timeouts, "PATH_SETTLE", 0.005)
    monkeypatch.setattr(timeouts, "SIM_RETRY", 0.02)
    monkeypatch.setattr(at_timeouts, "QUIET", 0.01)
    async with rig(tmp_path, "ec25") as it:
        counts = []
        for cycle in range(50):
            await it.ready()
            counts.append((len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks()), threading.active_count()))
            it.emulator.fault(0, "unplug")
            await it.state(ModemState.OFFLINE, 1.0)
            await asyncio.sleep(0.02)
            it.emulator.fault(0, "plug")
            it.phone.sim_ready = it.phone.network_ready = True
            if cycle % 10 == 0:
                gc.collect()
        await it.ready()
        first, last = counts[5], counts[-1]
        assert all(after <= before + 2 for before, after in zip(first, last, strict=True)), f"{first} -> {last}"


async def test_a_modem_behind_a_socket_that_nobody_serves(unused_tcp_port: int) -> None:
    modem = Modem(
        ModemConfig("stick", f"socket://127.0.0.1:{unused_tcp_port}"), sink=Sink(), listener=(listener := Listener())
    )
    await modem.start()
    async with asyncio.timeout(5):
        while modem.status.health_reason == "not started":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert modem.status.state is ModemState.OFFLINE
    assert listener.names == []
    await modem.stop(1)
