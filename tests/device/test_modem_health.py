"""What a modem says of its network, SIM and storage, on emulated devices over a pty (domain A10, A5.1, A12)."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from hardware.modem import timeouts
from hardware.types import Access, Health, ModemState, Registration, SendOutcome, Told
from tests.support.modem_rig import Rig, rig


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Polls that a test can wait for."""
    monkeypatch.setattr(timeouts, "HEALTH_POLL", 0.05)
    monkeypatch.setattr(timeouts, "SEND_QUIET", 0.0)


def findings(it: Rig) -> list[str]:
    return [found.check for found in it.modem.status.findings if found.health is not Health.PASS]


async def test_a_flap_of_the_network_takes_no_modem_out_and_fills_no_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        await it.until(lambda: it.modem.status.operator)
        caplog.clear()
        states = list(it.listener.states)
        for _ in range(5):
            it.emulator.fault(0, "registration", stat=2, duration=0.05)
            await asyncio.sleep(0.1)
        assert it.listener.states == states
        assert it.modem.status.registration is Registration.HOME
        assert it.modem.can_send
        assert [r for r in caplog.records if r.name.startswith("hardware.modem") and r.levelno >= logging.INFO] == []
        assert (await it.send())[0].outcome is SendOutcome.SENT


async def test_a_gap_that_was_missed_by_the_urc_ends_with_the_next_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "GAP_SENDS", 0.1)
    monkeypatch.setattr(timeouts, "REGISTRATION_POLL", 0.3)
    async with rig(tmp_path) as it:
        await it.ready()
        await it.until(lambda: it.modem.status.operator)
        it.emulator.fault(0, "registration", stat=2)
        await it.until(lambda: not it.modem.can_send)
        assert it.modem.status.state is ModemState.READY
        (refused,) = await it.send()
        assert refused.error is not None
        assert refused.error.code == "modem_offline"
        it.phone.settings.registration["+CREG"] = 0  # says nothing any more
        it.emulator.clear(0)
        await it.until(lambda: it.modem.can_send, 2.0)
        assert "registering" not in it.listener.states[4:]


async def test_an_lte_modem_sends_while_its_creg_searches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "FLAP", 0.1)
    monkeypatch.setattr(timeouts, "REGISTRATION_POLL", 0.05)
    async with rig(tmp_path, "ec25") as it:
        await it.ready()
        it.emulator.fault(0, "registration", stat=2, domain="+CREG")
        await it.until(lambda: it.modem.status.access is Access.LTE)
        await asyncio.sleep(0.2)
        assert it.modem.status.state is ModemState.READY
        assert (await it.send())[0].outcome is SendOutcome.SENT
        it.emulator.clear(0)
        it.emulator.fault(0, "registration", stat=3)
        await it.state(ModemState.REGISTERING)
        assert it.modem.status.registration is Registration.DENIED
        assert (it.modem.status.operator, it.modem.status.access) == (None, None)


@pytest.mark.usefixtures("quick")
async def test_signal_that_is_not_known_is_null(tmp_path: Path) -> None:
    async with rig(tmp_path, "ec25") as it:
        await it.ready()
        await it.until(lambda: it.modem.status.signal_dbm == -67)
        it.emulator.fault(0, "cme_error", code=14, on="+CSQ", count=3)  # busy, which says nothing of the signal
        await it.until(lambda: "cme_error" not in it.emulator.modems[0].faults.armed())
        assert it.modem.status.signal_dbm == -67
        it.emulator.fault(0, "signal", csq=99)
        await it.until(lambda: it.modem.status.signal_dbm is None)
        it.emulator.clear(0)
        it.emulator.fault(0, "signal", csq=99, rsrp=40)
        await it.until(lambda: it.modem.status.signal_dbm == -101)


@pytest.mark.usefixtures("quick")
async def test_a_modem_that_takes_csq_as_a_query_only(tmp_path: Path) -> None:
    async with rig(tmp_path, start=False) as it:
        it.emulator.fault(0, "cme_error", code=4, on="+CSQ")
        await it.modem.start()
        await it.until(lambda: it.modem.status.signal_dbm == -67)
        it.emulator.fault(0, "signal", csq=10)
        await it.until(lambda: it.modem.status.signal_dbm == -93)


@pytest.mark.usefixtures("quick")
async def test_operator_and_storage_are_as_the_modem_says(tmp_path: Path) -> None:
    async with rig(tmp_path, sweep_interval=0.1) as it:
        await it.until(lambda: it.modem.status.operator == "Test PLMN 1-1")
        it.emulator.fault(0, "registration", stat=5)
        await it.until(lambda: it.modem.status.registration is Registration.ROAMING)
        it.emulator.fault(0, "storage_figures", used=19, total=20)
        await it.until(lambda: it.modem.status.storage.used == 19)
        assert it.modem.status.storage.total == 20
        assert it.modem.can_send


async def test_the_networks_name_is_asked_for_again_after_service_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    monkeypatch.setattr(timeouts, "FLAP", 0.1)
    monkeypatch.setattr(timeouts, "REGISTRATION_POLL", 0.05)
    async with rig(tmp_path) as it:
        await it.until(lambda: it.modem.status.operator == "Test PLMN 1-1")
        it.emulator.fault(0, "registration", stat=0)
        await it.state(ModemState.REGISTERING)
        assert it.modem.status.operator is None
        it.emulator.fault(0, "operator", called="Other")
        it.emulator.clear(0, "registration")
        await it.until(lambda: it.modem.status.operator == "Other")


async def test_a_sim_without_service_centre(tmp_path: Path) -> None:
    async with rig(tmp_path, start=False) as it:
        it.emulator.fault(0, "no_smsc")
        await it.modem.start()
        await it.ready()
        assert it.modem.status.smsc is None
        assert (it.modem.status.state, it.modem.status.health) == (ModemState.READY, Health.WARN)
        assert it.modem.status.health_reason is not None
        assert it.modem.status.health_reason.startswith("the SIM has no service centre number (+CSCA) (set it")
        (refused,) = await it.send()
        assert refused.error is not None
        assert refused.error.code == "cms_330"
        it.emulator.clear(0)
        assert (await it.send())[0].outcome is SendOutcome.SENT
        assert it.modem.status.health is Health.PASS, "a send that went through is the best proof"


async def test_a_modem_that_announces_nothing_is_polled_and_said(tmp_path: Path) -> None:
    async with rig(tmp_path, start=False, sweep_interval=0.2) as it:
        it.emulator.fault(0, "cme_error", code=4, on="+CNMI", count=30)
        await it.modem.start()
        await it.ready()
        assert findings(it) == ["polling_only"]
        it.emulator.deliver(0, "+36301234567", "found all the same")
        await it.until(lambda: it.sink.texts == ["found all the same"])


async def test_sends_that_fail_in_a_row_are_said_and_forgiven(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        it.emulator.fault(0, "cms_error", code=1, count=9)  # a number that does not exist: not the modem's fault
        for _ in range(9):
            await it.send()
        assert findings(it) == []
        it.emulator.fault(0, "cms_error", code=38, count=5)
        for count in range(5):
            assert findings(it) == []
            await it.send()
            assert it.modem.status.failures == 10 + count
        assert findings(it) == ["failed_sends"]
        assert it.modem.status.health is Health.WARN
        await it.send()
        assert (findings(it), it.modem.status.health_reason) == ([], None)


async def test_a_modem_that_is_refused_service_again_and_again_waits_longer_each_time(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        it.emulator.fault(0, "cms_error", code=331)
        await it.send()
        assert it.modem.status.state is ModemState.REGISTERING
        assert it.modem.status.health_reason is not None
        assert it.modem.status.health_reason.startswith("no service: ")
        loop = asyncio.get_running_loop()
        began = loop.time()
        await it.state(ModemState.READY, 3.5)
        assert loop.time() - began > timeouts.NO_SERVICE - 0.1


async def test_what_the_bridge_knows_is_part_of_the_health(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        it.modem.tell(Told(undervoltage=True))
        await it.ready()
        await it.until(lambda: findings(it) == ["undervoltage"])
        it.modem.tell(Told(undervoltage=True, unreported=True))
        assert findings(it) == ["unreported", "undervoltage"]


async def test_roaming_that_is_meant_is_not_said(tmp_path: Path) -> None:
    async with rig(tmp_path, roaming=True) as it:
        await it.ready()
        await it.modem.interview()
        await it.ready()
        assert it.modem._life.facts.roams_by_design


@pytest.mark.parametrize(("personality", "found"), [("sim800l", ["networks_closing"]), ("ec25", [])])
async def test_a_modem_for_old_networks_is_told_from_a_new_one(
    personality: str, found: list[str], tmp_path: Path
) -> None:
    async with rig(tmp_path, personality) as it:
        await it.until(lambda: it.modem.status.operator)
        assert [finding.check for finding in it.modem.status.findings] == found
        assert (it.modem.status.health, it.modem.status.health_reason) == (Health.PASS, None)


async def test_a_blocked_modem_that_comes_back_by_itself_keeps_what_its_interview_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "BLOCKED_RETRY", 0.1)
    async with rig(tmp_path, start=False) as it:
        it.emulator.fault(0, "sim_absent")
        await it.modem.start()
        await it.state(ModemState.BLOCKED)
        commands = it.phone.counters.commands
        await it.until(lambda: it.phone.counters.commands > commands + 5)  # looked at again, in silence
        it.emulator.fault(0, "no_smsc")
        it.emulator.clear(0, "sim_absent")
        await it.ready()
        assert findings(it) == ["no_smsc"]
        assert "networks_closing" in [found.check for found in it.modem.status.findings]
