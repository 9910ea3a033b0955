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


async def test_a_blocked_modem_is_looked_at_again_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(timeouts, "BLOCKED_RETRY", 0.03)
    async with rig(tmp_path, start=False) as it:
        told: list[str | None] = []
        tell = it.listener.modem_changed
        it.listener.modem_changed = lambda status: (told.append(status.health_reason), tell(status))  # type: ignore[assignment, func-returns-value]
        it.emulator.fault(0, "sim_absent")
        await it.modem.start()
        await it.state(ModemState.BLOCKED)
        events, states, changes = list(it.listener.events), list(it.listener.states), len(told)
        assert [data["status"] for name, data in events if name == "modem_interview"] == ["started", "failed"]
        caplog.clear()
        caplog.set_level(logging.INFO)
        await it.looked_at(5)
        assert (it.listener.events, it.listener.states, len(told)) == (events, states, changes)
        assert caplog.records == []
        it.emulator.clear(0)
        it.emulator.fault(0, "pin_required", pin="1234")
        await it.until(lambda: "none is configured" in (it.modem.status.health_reason or ""))
        assert "none is configured" in caplog.text
        assert it.listener.states == states  # it was blocked all the time
        assert told[-1] == it.modem.status.health_reason
        await it.looked_at(3)
        it.emulator.clear(0)
        await it.ready()
        assert it.listener.states == [*states, "detected", "interviewing", "registering", "ready"]
        since = it.listener.events[len(events) :]
        assert [(name, data.get("status")) for name, data in since if name != "sim_changed"] == [
            ("modem_interview", "started"),
            ("modem_interview", "successful"),
        ]


async def test_a_blocked_modem_that_is_unplugged_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "BLOCKED_RETRY", 0.03)
    async with rig(tmp_path, start=False) as it:
        it.emulator.fault(0, "sim_absent")
        await it.modem.start()
        await it.state(ModemState.BLOCKED)
        await it.looked_at(2)
        it.emulator.fault(0, "unplug")
        await it.state(ModemState.OFFLINE)
        assert it.listener.states[-2:] == [ModemState.BLOCKED, ModemState.OFFLINE]
        it.emulator.fault(0, "plug")
        await it.state(ModemState.BLOCKED)
        assert it.listener.states[-3:] == ["detected", "interviewing", "blocked"]


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
