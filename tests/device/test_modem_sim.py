"""The SIM: a PIN that is wrong costs one attempt, ever (domain A8, G11)."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from hardware.errors import AtArgumentError, HardwareError, ModemError
from hardware.modem import MemoryPinLedger, Unlocked, pin_key, timeouts
from hardware.types import Health, ModemState
from tests.support.modem_rig import Rig, rig

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


# What a technician reads (domain A8)

WORDS: list[tuple[str, dict[str, Any], str, str]] = [
    ("pin_required", {}, "pin", "the SIM asks for a PIN and none is configured; set `pin` for this modem, in quotes"),
    (
        "pin_required",
        {"attempts": 1},
        "pin",
        "the SIM has 1 attempt left, which is kept for a person; unlock it in a telephone, or send the request"
        ' sim/unlock with "force": true',
    ),
    (
        "pin_required",
        {"attempts": 0},
        "puk",
        "the SIM is blocked and asks for its PUK (10 attempts left); unlock it in a telephone, or send the request"
        ' sim/unlock with "puk" and a new "pin"; the bridge never enters a PUK by itself',
    ),
    ("sim_absent", {}, "absent", "there is no SIM in the modem; put a SIM in; it is looked at again every minute"),
    ("cme_error", {"code": 15}, "failure", "the modem refuses this SIM; the modem may be locked to another operator"),
    (
        "cme_error",
        {"code": 5},
        "failure",
        "the modem is locked to another SIM; put that SIM in, or have the modem unlocked by its seller",
    ),
    (
        "cme_error",
        {"code": 40},
        "failure",
        "the modem is locked to another operator; put a SIM of that operator in, or have the modem unlocked",
    ),
]


@pytest.mark.parametrize(("fault", "params", "state", "words"), WORDS)
async def test_every_fault_of_a_sim_is_a_sentence_with_its_fix(
    fault: str, params: dict[str, Any], state: str, words: str, tmp_path: Path
) -> None:
    pin = "1234" if params.get("attempts") == 1 else None
    more = {"on": "+CPIN", "count": 99} if fault == "cme_error" else {}
    async with rig(tmp_path, start=False, pin=pin) as it:
        it.emulator.fault(0, fault, **params, **more)
        await it.modem.start()
        await it.state(ModemState.BLOCKED)
        assert it.modem.status.health_reason == words
        assert it.modem.status.sim.state == state
        assert it.phone.counters.pins == 0


async def test_a_wrong_pin_is_said_with_what_is_left_and_once_more_on_the_next_start(tmp_path: Path) -> None:
    ledger = MemoryPinLedger()
    for reason in ("the SIM did not accept the PIN; 2 attempts left", "the PIN was tried before and not accepted"):
        async with rig(tmp_path, start=False, pin="4711", pins=ledger) as it:
            it.emulator.fault(0, "pin_required", pin="1234", attempts=3 if "2" in reason else 2)
            await it.modem.start()
            await it.state(ModemState.BLOCKED)
            fix = "correct `pin` in the configuration, or send the request sim/unlock: this one is never tried again"
            assert it.modem.status.health_reason == f"{reason}; {fix}"
            assert it.modem.status.sim.pin_attempts_left == 2
            assert it.phone.counters.pins == ("2 attempts" in reason)


async def test_a_sim_that_asks_for_pin2_is_ready(tmp_path: Path) -> None:
    async with rig(tmp_path, start=False) as it:
        it.emulator.fault(0, "cme_error", code=17, on="+CPIN?", count=9)
        await it.modem.start()
        await it.ready()
        assert it.modem.status.sim.state == "ready"


@pytest.mark.parametrize("personality", [*PERSONALITIES, "e3372", "ep06", "sim7600"])
async def test_attempts_are_read_without_spending_one(personality: str, tmp_path: Path) -> None:
    async with rig(tmp_path, personality, start=False) as it:
        it.emulator.fault(0, "pin_required", pin="1234", attempts=2)
        await it.modem.start()
        await it.state(ModemState.BLOCKED)
        assert it.modem.status.sim.pin_attempts_left == 2
        assert (it.phone.pin_attempts, it.phone.counters.pins) == (2, 0)


@pytest.mark.parametrize("personality", ["ec25", "sim7600"])
async def test_the_status_word_of_the_sim_does_where_the_vendors_counter_is_missing(
    personality: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path, personality, start=False) as it:
        for counter in ("+QPINC", "+SPIC", "^CPIN", "+UPINCNT", "#PCT", "+CPINC", "^SPIC", "+EPINC"):
            it.emulator.fault(0, "cme_error", code=4, on=counter, count=99)
        it.emulator.fault(0, "pin_required", pin="1234", attempts=2)
        await it.modem.start()
        await it.state(ModemState.BLOCKED)
        assert it.modem.status.sim.pin_attempts_left == 2


async def test_without_any_counter_a_pin_that_was_never_tried_is_tried_once(tmp_path: Path) -> None:
    ledger = MemoryPinLedger()
    async with rig(tmp_path, start=False, pin="4711", pins=ledger) as it:
        for counter in ("+CSIM", "+SPIC"):
            it.emulator.fault(0, "cme_error", code=4, on=counter, count=99)
        it.emulator.fault(0, "pin_required", pin="1234")
        for _ in range(2):
            await it.modem.start()
            await it.state(ModemState.BLOCKED)
            assert it.modem.status.sim.pin_attempts_left is None
            assert it.phone.counters.pins == 1
            await it.modem.stop(1)


async def test_another_sim_may_have_the_same_pin(tmp_path: Path) -> None:
    ledger = MemoryPinLedger()
    async with rig(tmp_path, start=False, pin="4711", pins=ledger) as it:
        it.emulator.fault(0, "pin_required", pin="1234")
        await it.modem.start()
        await it.state(ModemState.BLOCKED)
        it.phone.iccid = "8936200000123456789"
        it.phone.require_pin("4711", 3)
        it.modem.wake()
        await it.ready()
        assert it.phone.counters.pins == 2


class Forgetful(MemoryPinLedger):
    """Its process ends right after a PIN was recorded, or right after it was written."""

    def __init__(self) -> None:
        super().__init__()
        self.killed = False

    async def accepted(self, key: str) -> None:
        if not self.killed:
            raise OSError("killed")
        await super().accepted(key)


async def test_a_pin_that_was_taken_while_nobody_heard_it_is_right(tmp_path: Path) -> None:
    ledger = Forgetful()
    async with rig(tmp_path, start=False, pin="1234", pins=ledger) as it:
        it.emulator.fault(0, "pin_required", pin="1234")
        await it.modem.start()
        await it.ready()
        assert ledger._tried, "the end came before it was known to be right"
        await it.modem.stop(1)
        ledger.killed = True
        await it.modem.start()  # the modem kept its power: the SIM is open
        await it.ready()
        assert not ledger._tried
        it.emulator.fault(0, "reboot")
        await it.until(lambda: it.phone.counters.pins == 2)
        await it.ready()


async def test_a_pin_that_may_have_been_tried_is_a_persons(tmp_path: Path) -> None:
    ledger = MemoryPinLedger()

    async with rig(tmp_path, start=False, pin="1234", pins=ledger) as it:
        it.emulator.fault(0, "pin_required", pin="1234")
        it.emulator.fault(0, "no_answer", on="+CPIN=")
        await it.modem.start()
        await it.until(lambda: len(ledger._tried) == 2)
        await it.modem.stop(0)
        await it.modem.start()
        await it.state(ModemState.BLOCKED)
        assert it.modem.status.health_reason is not None
        assert "tried before, and how that ended is not known" in it.modem.status.health_reason
        assert it.phone.counters.pins == 0
        with pytest.raises(HardwareError, match="how that ended is not known"):
            await it.modem.unlock("1234")
        assert await it.modem.unlock("1234", force=True) == Unlocked("ready", 3, 10)
        await it.ready()


async def test_a_pin_that_may_have_been_wrong_is_not_forced_either(tmp_path: Path) -> None:
    ledger = MemoryPinLedger()
    async with rig(tmp_path, start=False, pin="4711", pins=ledger) as it:
        await ledger.record(pin_key(it.phone.iccid, "4711"))  # and then the power went
        it.emulator.fault(0, "pin_required", pin="1234", attempts=2)
        await it.modem.start()
        await it.state(ModemState.BLOCKED)
        with pytest.raises(HardwareError, match="how that ended is not known"):
            await it.modem.unlock("4711", force=True)
        assert it.phone.counters.pins == 0


# A person gives a PIN


async def locked(it: Rig, **params: Any) -> None:
    it.emulator.fault(0, "pin_required", **{"pin": "1234", **params})
    await it.modem.start()
    await it.state(ModemState.BLOCKED)


async def test_a_person_gives_the_pin(tmp_path: Path) -> None:
    async with rig(tmp_path, start=False) as it:
        await locked(it)
        assert await it.modem.unlock("1234") == Unlocked("ready", 3, 10)
        await it.ready()
        assert it.phone.counters.pins == 1
        with pytest.raises(ModemError, match="asks for nothing: it is ready"):
            await it.modem.unlock("1234")
        it.emulator.fault(0, "reboot")
        await it.until(lambda: it.phone.counters.pins == 2)
        await it.ready()  # it is used again as long as the bridge runs


async def test_a_persons_pin_is_tried_once_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with rig(tmp_path, start=False) as it:
        await locked(it)
        with pytest.raises(HardwareError, match="did not accept the PIN; 2 attempts left"):
            await it.modem.unlock("4711")
        for force in (False, True):
            with pytest.raises(HardwareError, match="tried before and not accepted"):
                await it.modem.unlock("4711", force=force)
        assert it.phone.counters.pins == 1
        with pytest.raises(HardwareError, match="did not accept the PIN; 1 attempt left"):
            await it.modem.unlock("4712")
        with pytest.raises(HardwareError, match="kept for a person"):
            await it.modem.unlock("1234")
        assert it.phone.counters.pins == 2
        assert (await it.modem.unlock("1234", force=True)).sim == "ready"
        await it.ready()
        said = f"{caplog.text}{it.listener.events}{it.modem.status}"
        assert "4711" not in said
        assert "1234" not in said.replace(it.phone.iccid, "").replace(it.phone.imei, "")


async def test_a_puk_is_entered_on_request_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with rig(tmp_path, start=False) as it:
        await locked(it, attempts=0, puk="87654321")
        with pytest.raises(HardwareError, match=r"asks for its PUK \(10 attempts left\)"):
            await it.modem.unlock("1234")
        with pytest.raises(HardwareError, match="did not accept the PUK; 9 attempts left"):
            await it.modem.unlock("5678", puk="11111111")
        with pytest.raises(HardwareError, match="PUK was tried before and not accepted"):
            await it.modem.unlock("5678", puk="11111111", force=True)
        assert it.phone.puk_attempts == 9
        assert await it.modem.unlock("5678", puk="87654321") == Unlocked("ready", 3, 10)
        await it.ready()
        it.emulator.fault(0, "reboot")
        await it.until(lambda: it.phone.counters.pins == 3)
        await it.ready()  # with the new PIN
        assert "87654321" not in caplog.text
        assert "11111111" not in caplog.text


async def test_the_last_puk_attempt_needs_force(tmp_path: Path) -> None:
    async with rig(tmp_path, start=False) as it:
        await locked(it, attempts=0, puk="87654321", puk_attempts=1)
        with pytest.raises(HardwareError, match="when that is used up the SIM is dead") as refused:
            await it.modem.unlock("5678", puk="87654321")
        assert '"force": true' in refused.value.hint
        assert it.phone.counters.pins == 0
        assert (await it.modem.unlock("5678", puk="87654321", force=True)).sim == "ready"


async def test_what_is_no_pin_gets_nowhere_near_a_port(tmp_path: Path) -> None:
    async with rig(tmp_path, start=False) as it:
        await locked(it)
        for pin, puk in (("12", None), ("123456789", None), ('1234"', None), ("1234\r", None), ("1234", "1234567")):
            with pytest.raises(AtArgumentError, match="digits"):
                await it.modem.unlock(pin, puk=puk)
        with pytest.raises(HardwareError, match="asks for its PIN, not for the PUK"):
            await it.modem.unlock("1234", puk="12345678")
        assert it.phone.counters.pins == 0


async def test_a_pin_for_a_modem_that_is_not_there_is_answered(tmp_path: Path) -> None:
    async with rig(tmp_path, start=False) as it:
        await locked(it)
        it.emulator.fault(0, "unplug")
        await it.state(ModemState.OFFLINE)
        with pytest.raises(HardwareError, match="not there"):
            await it.modem.unlock("1234")


async def test_two_pins_at_once_are_one_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "UNLOCK_PATIENCE", 0.3)
    async with rig(tmp_path, start=False) as it:
        await locked(it)
        it.emulator.fault(0, "wedge")
        first = asyncio.create_task(it.modem.unlock("1234"))
        await asyncio.sleep(0.05)
        with pytest.raises(ModemError, match="another PIN is being tried"):
            await it.modem.unlock("1234")
        with pytest.raises(ModemError, match="did not get as far as its SIM"):
            await first
        assert it.phone.counters.pins == 0
