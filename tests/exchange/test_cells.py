"""Ring 3: registration and health of one connection over a loopback, in virtual time (domain A10)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from hardware.at.channel import AtChannel
from hardware.modem import timeouts
from hardware.modem.cells import Cells
from hardware.modem.coverage import DOMAINS
from hardware.modem.life import Life
from hardware.transport import loopback
from hardware.types import Access, Health, ModemState, ModemStatus, Registration, Told
from tests.support.scripted_modem import OK, ScriptedModem

pytestmark = pytest.mark.looptime


@dataclass
class Heard:
    """What a listener was told."""

    events: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    states: list[ModemState] = field(default_factory=list)

    def modem_changed(self, status: ModemStatus) -> None:
        if self.states[-1:] != [status.state]:
            self.states.append(status.state)

    def modem_event(self, modem: str, event: str, data: dict[str, object]) -> None:
        self.events.append((event, data))


@dataclass
class Rig:
    modem: ScriptedModem
    cells: Cells
    life: Life
    told: Heard
    looks: list[float]

    @property
    def status(self) -> ModemStatus:
        return self.life.status

    async def connect(self) -> None:
        """Set up and asked once; in the test, as time is not virtual in a fixture."""
        for state in (ModemState.DETECTED, ModemState.INTERVIEWING, ModemState.REGISTERING):
            self.life.move(state, "on its way")
        self.cells.begin(("CREG", "CEREG"))
        await self.cells.ask()

    def answer(self, domain: str, stat: str) -> None:
        self.modem.answers[f"AT+{domain}?"] = f"\r\n+{domain}: 2,{stat}\r\n".encode() + OK

    async def say(self, line: str) -> None:
        self.modem.say(f"\r\n{line}\r\n".encode())
        await asyncio.sleep(0)
        await asyncio.sleep(0)


@pytest.fixture
async def it() -> AsyncIterator[Rig]:
    near, far = loopback()
    modem = ScriptedModem(far)
    far.attach(modem)
    channel = AtChannel.attach(near)
    told = Heard()
    life = Life(ModemStatus("stick"), told)
    looks: list[float] = []
    cells = Cells(channel, life, lambda: looks.append(asyncio.get_running_loop().time()))
    for domain in DOMAINS:
        channel.on_urc(f"+{domain}:", cells.told)
    rig = Rig(modem, cells, life, told, looks)
    rig.answer("CREG", '1,"00A1","0000C3D2"')
    rig.answer("CEREG", "0")
    yield rig
    cells.close()
    life.close()
    await channel.close()
    modem.check()


async def test_a_gap_of_a_second_is_nobodys_business(it: Rig, caplog: pytest.LogCaptureFixture) -> None:
    it.answer("CREG", '1,"00A1","0000C3D2",2')
    await it.connect()
    assert it.status.state is ModemState.READY
    await asyncio.sleep(1)
    caplog.clear()
    told, events = list(it.told.states), list(it.told.events)
    for _ in range(50):
        await it.say("+CREG: 2")
        assert it.life.can_send
        await asyncio.sleep(1.0)
        assert it.status.access is Access.UMTS
        await it.say('+CREG: 1,"00A1","0000C3D2",2')
        await asyncio.sleep(3.0)
    assert (it.status.state, it.status.registration) == (ModemState.READY, Registration.HOME)
    assert it.told.states == told
    assert it.told.events == events
    assert [record for record in caplog.records if record.levelno >= logging.INFO] == []
    assert len(it.looks) == 50, "each time it wanted to be asked"


async def test_a_network_that_stays_away_ends_service_after_half_a_minute(it: Rig) -> None:
    await it.connect()
    began = asyncio.get_running_loop().time()
    await it.say("+CREG: 3")
    await asyncio.sleep(timeouts.GAP_SENDS + 0.1)
    assert it.status.state is ModemState.READY
    assert not it.life.can_send, "nothing new is handed over into a gap"
    waiting = asyncio.create_task(it.life.wait_ready())
    await asyncio.sleep(timeouts.FLAP - timeouts.GAP_SENDS - 0.2)
    assert it.status.state is ModemState.READY
    await asyncio.sleep(0.2)
    assert it.status.state is ModemState.REGISTERING
    assert it.status.registration is Registration.DENIED
    assert it.life.since - began == pytest.approx(timeouts.FLAP, abs=0.2)
    assert not waiting.done()
    await it.say('+CREG: 1,"00A1","0000C3D2"')
    await asyncio.wait_for(waiting, 0.1)
    assert it.status.state is ModemState.READY


async def test_a_gap_that_ends_in_time_lets_sends_go_on(it: Rig) -> None:
    await it.connect()
    await it.say("+CREG: 2")
    await asyncio.sleep(10)
    assert not it.life.can_send
    await it.cells.ask()  # the URC may have gone to another port; the answer says that it is back
    assert it.life.can_send
    await asyncio.sleep(60)
    assert it.status.state is ModemState.READY


async def test_a_send_without_service_acts_at_once(it: Rig) -> None:
    await it.connect()
    it.cells.refused("no service: no network service")
    assert (it.status.state, it.status.health_reason) == (ModemState.REGISTERING, "no service: no network service")
    await it.cells.ask()
    assert it.status.state is ModemState.REGISTERING, "that +CREG says otherwise proves nothing yet"
    await asyncio.sleep(timeouts.NO_SERVICE)
    await it.cells.ask()
    assert it.status.state is ModemState.READY


async def test_a_denied_sim_is_said_after_five_minutes_once(it: Rig, caplog: pytest.LogCaptureFixture) -> None:
    it.answer("CREG", "3")
    await it.connect()
    for _ in range(90):
        await it.cells.ask()
        await asyncio.sleep(10)
        if asyncio.get_running_loop().time() < 299:
            assert it.status.health is Health.WARN
            assert it.status.health_reason == "not registered: denied"
    assert (it.status.state, it.status.health) == (ModemState.REGISTERING, Health.FAIL)
    assert it.status.health_reason is not None
    assert it.status.health_reason.startswith("the network refuses this SIM (ask its operator")
    assert "\n" not in it.status.health_reason
    assert [found.check for found in it.status.findings] == ["denied"]
    assert [data["health"] for name, data in it.told.events if name == "health_changed"] == ["warn", "fail"]
    assert sum("refuses this SIM" in record.getMessage() for record in caplog.records) == 1
    it.answer("CREG", "1")
    await it.cells.ask()
    assert ModemState.DEGRADED not in it.told.states
    assert (it.status.state, it.status.health, it.status.health_reason) == (ModemState.READY, Health.PASS, None)


async def test_a_grave_finding_degrades_a_modem_in_service_and_a_light_one_does_not(it: Rig) -> None:
    await it.connect()
    it.life.tell(Told(undervoltage=True))
    assert (it.status.state, it.status.health) == (ModemState.READY, Health.WARN)
    assert it.status.health_reason is not None
    assert it.status.health_reason.startswith("the computer's power supply is too weak")
    it.status.storage.used = it.status.storage.total = 20
    for _ in range(5):
        it.life.judge()
        await asyncio.sleep(60)
    assert (it.status.state, it.status.health) == (ModemState.DEGRADED, Health.FAIL)
    assert it.life.can_send
    assert it.status.health_reason.startswith("the message storage is full")
    assert "; the computer's power supply" in it.status.health_reason
    it.status.storage.used = 0
    it.life.judge()
    assert it.status.state is ModemState.READY


async def test_what_others_know_outlives_a_connection_and_what_was_measured_does_not(it: Rig) -> None:
    await it.connect()
    it.life.tell(Told(unreported=True))
    it.life.facts.failed_sends = 3
    it.life.facts.polling_only = True
    it.life.judge()
    assert [found.check for found in it.status.findings] == ["unreported", "polling_only"]
    it.life.move(ModemState.OFFLINE, "unplugged")
    assert it.status.findings == ()
    assert (it.status.health, it.status.health_reason) == (Health.FAIL, "unplugged")
    it.life.tell(Told(unreported=True))
    assert it.status.findings == (), "nothing is said of a modem that is not there"
    await it.connect()
    assert [found.check for found in it.status.findings] == ["unreported"]
    assert it.life.facts.failed_sends == 3


async def test_health_that_flickers_is_no_event_and_one_line(it: Rig, caplog: pytest.LogCaptureFixture) -> None:
    await it.connect()
    await asyncio.sleep(60)
    before = len(it.told.events)
    for bad in (True, False) * 50:
        it.life.ok()
        it.life.tell(Told(unreported=bad))
        await asyncio.sleep(timeouts.HEALTH_SETTLE - 1)
    assert len(it.told.events) == before
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1
    it.life.tell(Told(unreported=True))
    await asyncio.sleep(300)
    it.life.tell(Told())
    it.life.tell(Told(unreported=False))
    await asyncio.sleep(300)
    assert [(name, data["health"], data["previous"]) for name, data in it.told.events[before:]] == [
        ("health_changed", "warn", "pass"),
        ("health_changed", "pass", "warn"),
    ]


async def test_access_comes_from_the_cell_else_from_the_operator(it: Rig) -> None:
    it.modem.answers["AT+COPS?"] = b'\r\n+COPS: 0,0,"Telekom",0\r\n' + OK
    await it.connect()
    assert (it.status.access, it.status.operator) == (None, None)
    await it.cells.ask_operator()
    assert (it.status.access, it.status.operator) == (Access.GSM, "Telekom")
    await it.cells.ask()
    assert it.status.access is Access.GSM, "a +CREG without <AcT> takes nothing away"
    await it.say('+CREG: 1,"00A1","0000C3D2",2')
    assert it.status.access is Access.UMTS
    await it.say("+CREG: 0")
    await asyncio.sleep(timeouts.FLAP + 1)
    assert (it.status.access, it.status.operator) == (None, None), "what is not known is null"


async def test_a_modem_without_a_name_for_its_network(it: Rig) -> None:
    it.modem.answers["AT+COPS?"] = b"\r\n+COPS: 0\r\n" + OK
    await it.connect()
    for _ in range(12):
        await it.cells.ask_operator()
        await asyncio.sleep(60)
    assert [found.check for found in it.status.findings] == ["no_operator"]
    it.modem.answers["AT+COPS?"] = b'\r\n+COPS: 0,0,"Telekom",0\r\n' + OK
    await it.cells.ask_operator()
    assert it.status.health is Health.PASS
