"""The SIM: a PIN that is wrong costs one attempt, ever (domain A8, G11)."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from hardware.modem import MemoryPinLedger, timeouts
from hardware.types import Health, ModemState
from tests.support.modem_rig import rig

PERSONALITIES = ["sim800l", "e173", "ec25", "sara"]


@pytest.mark.parametrize("personality", PERSONALITIES)
async def test_the_right_pin_opens_the_sim(personality: str, tmp_path: Path) -> None:
    ledger = MemoryPinLedger()
    async with rig(tmp_path, personality, start=False, pin="1234", pins=ledger) as it:
        it.emulator.fault(0, "pin_required", pin="1234")
        await it.modem.start()
        await it.ready()
        assert it.modem.status.sim.state == "ready"
        assert it.modem.status.imsi == it.phone.imsi
        it.emulator.fault(0, "unplug")
        await it.state(ModemState.OFFLINE)
        it.emulator.fault(0, "plug")
        await it.ready()  # it asks again after a power cut, and may be told again


@pytest.mark.parametrize("personality", PERSONALITIES)
async def test_a_wrong_pin_is_tried_once_however_often_we_start(
    personality: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(timeouts, "BLOCKED_RETRY", 0.05)
    ledger = MemoryPinLedger()
    async with rig(tmp_path, personality, start=False, pin="4711", pins=ledger) as it:
        it.emulator.fault(0, "pin_required", pin="1234", attempts=3)
        for _ in range(4):
            await it.modem.start()
            await it.state(ModemState.BLOCKED)
            await asyncio.sleep(0.3)
            assert it.phone.pin_attempts == 2
            await it.modem.stop(1)
        assert it.modem.status.sim.state == "pin"
    assert "4711" not in caplog.text


async def test_the_reason_of_a_blocked_sim_is_a_sentence(tmp_path: Path) -> None:
    async with rig(tmp_path, start=False) as it:
        it.emulator.fault(0, "pin_required", pin="1234")
        await it.modem.start()
        await it.state(ModemState.BLOCKED)
        assert it.modem.status.health is Health.FAIL
        assert it.modem.status.health_reason is not None
        assert "none is configured" in it.modem.status.health_reason
        assert it.phone.pin_attempts == 3
        assert it.modem.status.sim.pin_attempts_left == 3
        assert ("modem_interview", {"status": "failed", "reason": it.modem.status.health_reason}) in it.listener.events


async def test_the_last_attempts_are_for_a_person(tmp_path: Path) -> None:
    async with rig(tmp_path, start=False, pin="1234") as it:
        it.emulator.fault(0, "pin_required", pin="1234", attempts=1)
        await it.modem.start()
        await it.state(ModemState.BLOCKED)
        assert it.phone.pin_attempts == 1


async def test_a_puk_is_never_entered(tmp_path: Path) -> None:
    async with rig(tmp_path, start=False, pin="1234") as it:
        it.emulator.fault(0, "pin_required", pin="1234", attempts=0)
        await it.modem.start()
        await it.state(ModemState.BLOCKED)
        assert it.modem.status.sim.state == "puk"
        assert "PUK" in (it.modem.status.health_reason or "")


async def test_a_ledger_that_cannot_keep_its_word_means_no_attempt(tmp_path: Path) -> None:
    class Broken(MemoryPinLedger):
        async def record(self, key: str) -> None:
            raise OSError("read-only file system")

    async with rig(tmp_path, start=False, pin="4711", pins=Broken()) as it:
        it.emulator.fault(0, "pin_required", pin="1234")
        await it.modem.start()
        await it.state(ModemState.BLOCKED)
        assert it.phone.pin_attempts == 3


async def test_a_sim_that_is_put_in_later_is_found(tmp_path: Path) -> None:
    async with rig(tmp_path, start=False) as it:
        it.emulator.fault(0, "sim_absent")
        await it.modem.start()
        await it.state(ModemState.BLOCKED)
        assert it.modem.status.sim.state == "absent"
        it.emulator.clear(0)
        it.modem.wake()
        await it.ready()


async def test_another_sim_is_an_event(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        old = it.modem.status.iccid
        it.phone.iccid = "8936200000123456789"
        await it.modem.interview()
        await it.until(lambda: "sim_changed" in it.listener.names)
        await it.ready()
        assert ("sim_changed", {"iccid": "8936200000123456789", "previous": old}) in it.listener.events


async def test_an_iccid_that_hides_does_not_earn_a_second_attempt(tmp_path: Path) -> None:
    ledger = MemoryPinLedger()
    async with rig(tmp_path, start=False, pin="4711", pins=ledger) as it:
        it.emulator.fault(0, "pin_required", pin="1234")
        await it.modem.start()
        await it.state(ModemState.BLOCKED)
        await it.modem.stop(1)
        assert it.phone.pin_attempts == 2
        it.phone.iccid = "0"  # unreadable
        await it.modem.start()
        await it.state(ModemState.BLOCKED)
        assert it.phone.pin_attempts == 2
