"""One modem's life on every emulated device: interview, send, receive."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hardware.emulator import names
from hardware.modem import Modem, ModemConfig
from hardware.modem.life import CAN_SEND, MOVES, Life
from hardware.types import Action, Health, ModemState, ModemStatus, Registration, SendOutcome
from tests.support.modem_rig import DEADLINE, Listener, Sink, rig

LONG = "árvíztűrő tükörfúrógép " * 8  # three parts in UCS2


def test_every_state_can_fall_to_offline_and_to_blocked() -> None:
    assert set(MOVES) == set(ModemState)
    for state in set(ModemState) - {ModemState.OFFLINE}:
        assert ModemState.OFFLINE in MOVES[state]
    for state in set(ModemState) - {ModemState.BLOCKED}:
        assert ModemState.BLOCKED in MOVES[state]


async def test_a_move_that_is_not_in_the_table_is_refused() -> None:
    life = Life(ModemStatus("stick"), Listener())
    with pytest.raises(ValueError, match="no way from offline to ready"):
        life.move(ModemState.READY, "by magic")
    life.close()


@pytest.mark.parametrize("personality", names())
async def test_the_interview_of_every_device(personality: str, tmp_path: Path) -> None:
    async with rig(tmp_path, personality, start=False) as it:
        began = time.monotonic()
        await it.modem.start()
        await it.ready()
        took = time.monotonic() - began
        status, phone = it.modem.status, it.phone
        assert (status.imei, status.iccid, status.imsi) == (phone.imei, phone.iccid, phone.imsi)
        assert status.smsc == phone.smsc
        assert status.manufacturer
        assert status.model
        assert status.firmware
        assert status.registration is Registration.HOME
        assert status.sim.state == "ready"
        assert status.health is Health.PASS
        await it.until(lambda: status.operator and status.signal_dbm and "encodings" in status.capabilities)
        assert set(status.capabilities["storages"]) >= set(phone.personality.storages) - {"MT"}  # type: ignore[call-overload]
        assert it.listener.states[:5] == ["offline", "detected", "interviewing", "registering", "ready"][1:]
        assert it.listener.names[:3] == ["modem_joined", "modem_interview", "modem_interview"]
        print(f"{personality}: start to ready {took * 1e3:.0f} ms")
        slow = personality in ("le910", "fastrack")  # a question is lost, an OK never comes: two seconds each
        assert took < 3.0 + 3.0 * slow, "the figure belongs to the bench; this is for a busy machine"


@pytest.mark.parametrize("personality", names())
async def test_every_device_sends_and_receives(personality: str, tmp_path: Path) -> None:
    async with rig(tmp_path, personality) as it:
        await it.ready()
        results = [*await it.send("hello"), *await it.send(LONG)]
        assert [r.outcome for r in results] == [SendOutcome.SENT] * 4
        assert [row["mr"] for row in it.submits()] == [r.mr for r in results]
        assert (it.modem.status.sent, it.modem.status.failures) == (4, 0)
        assert it.modem.status.busy_seconds > 0
        it.emulator.deliver(0, "+36301112222", "hi there")
        it.emulator.deliver(0, "+36301112222", LONG)
        await it.until(lambda: len(it.sink.received) == 4)
        assert it.sink.texts[0] == "hi there"
        assert {item.storage for item in it.sink.received} <= set(it.phone.personality.storages)
        assert {item.iccid for item in it.sink.received} == {it.phone.iccid}
        assert all(item.received_at.tzinfo is UTC for item in it.sink.received)
        await it.until(lambda: it.stored() == 0)
        assert it.modem.status.received == 4
        assert it.phone.counters.bytes_while_busy == 0


@pytest.mark.parametrize("personality", names())
async def test_every_device_brings_its_status_reports(personality: str, tmp_path: Path) -> None:
    from hardware.pdu import SubmitRequest, encode
    from tests.support.modem_rig import allowed

    async with rig(tmp_path, personality, sweep_interval=0.3) as it:
        await it.ready()
        part = encode(SubmitRequest("+36301234567", text="report", status_report=True))
        result = await it.modem.send_part(part.pdus[0], part.lengths[0], allowed)
        await it.until(lambda: it.sink.received)
        report = it.sink.received[0].pdu
        assert getattr(report, "mr", None) == result.mr
        assert it.modem.status.received == 0, "a report is no message"
        await it.until(lambda: it.stored() == 0)


async def test_what_is_not_connected_sends_nothing(tmp_path: Path) -> None:
    async with rig(tmp_path, start=False) as it:
        (result,) = await it.send()
        assert result.outcome is SendOutcome.NOT_SENT
        assert result.error is not None
        assert (result.error.code, result.error.action) == ("modem_offline", Action.RETRY_OTHER)


async def test_a_send_that_is_not_authorised_never_reaches_the_network(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    async with rig(tmp_path) as it:
        await it.ready()
        (result,) = await it.send(authorise=never)
        assert result.outcome is SendOutcome.NOT_SENT
        assert it.modem.status.failures == 0
        assert (await it.send())[0].outcome is SendOutcome.SENT
        assert len(it.submits()) == 1


async def test_what_authorising_raises_is_the_callers(tmp_path: Path) -> None:
    async def broken() -> bool:
        raise OSError("no journal")

    async with rig(tmp_path) as it:
        await it.ready()
        with pytest.raises(OSError, match="no journal"):
            await it.send(authorise=broken)
        assert (await it.send())[0].outcome is SendOutcome.SENT
        assert len(it.submits()) == 1


async def test_octets_that_are_no_pdu_never_reach_the_port(tmp_path: Path) -> None:
    from tests.support.modem_rig import allowed

    async with rig(tmp_path) as it:
        await it.ready()
        result = await it.modem.send_part("00\r\x1a", 1, allowed)
        assert result.outcome is SendOutcome.NOT_SENT
        assert result.error is not None
        assert result.error.action is Action.BUG


async def test_stopping_lets_the_send_in_flight_have_its_result(tmp_path: Path) -> None:
    async with rig(tmp_path, latency=0.3) as it:
        await it.ready()
        send = asyncio.create_task(it.send())
        await it.until(lambda: it.emulator.modems[0].sending)
        stop = asyncio.create_task(it.modem.stop(DEADLINE))
        await asyncio.sleep(0)
        assert not it.modem.can_send
        assert (await send)[0].outcome is SendOutcome.SENT
        await stop
        assert it.modem.status.state is ModemState.OFFLINE


async def test_a_send_that_outlasts_the_grace_is_unknown(tmp_path: Path) -> None:
    async with rig(tmp_path, latency=5.0) as it:
        await it.ready()
        send = asyncio.create_task(it.send())
        await it.until(lambda: it.emulator.modems[0].sending)
        began = time.monotonic()
        await it.modem.stop(0.1)
        assert time.monotonic() - began < 1.0
        assert (await send)[0].outcome is SendOutcome.UNKNOWN


async def test_start_and_stop_may_be_said_twice(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.modem.start()
        await it.ready()
        await it.modem.stop(1)
        await it.modem.stop(1)
        await it.modem.start()
        await it.ready()
        assert (await it.send())[0].outcome is SendOutcome.SENT


async def test_an_incoming_read_gets_its_turn_between_two_sends(tmp_path: Path) -> None:
    async with rig(tmp_path, latency=0.05) as it:
        await it.ready()
        sends = asyncio.create_task(it.send(LONG + LONG))
        await it.until(lambda: it.emulator.modems[0].sending)
        it.emulator.deliver(0, "+36301112222", "me too")
        await it.until(lambda: it.sink.received)
        assert not sends.done()
        assert {r.outcome for r in await sends} == {SendOutcome.SENT}
        assert it.phone.counters.bytes_while_busy == 0


async def test_registration_lost_and_found(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        it.emulator.fault(0, "registration", stat=3)
        await it.state(ModemState.REGISTERING)
        assert it.modem.status.registration is Registration.DENIED
        assert not it.modem.can_send
        it.emulator.clear(0)
        await it.state(ModemState.READY)


async def test_an_interview_and_a_reset_on_request(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        await it.modem.interview()
        assert not it.modem.can_send
        await it.ready()
        boots = it.phone.counters.boots
        await it.modem.reset()
        await it.until(lambda: it.phone.counters.boots > boots)
        await it.ready()
        assert (await it.send())[0].outcome is SendOutcome.SENT


async def test_configured_init_commands_are_written_and_bad_ones_are_not(tmp_path: Path) -> None:
    async with rig(tmp_path, init_commands=("AT+CIURC=1", "AT+CMGD=1,4", "AT+CSQ\rATD112;", "AT+NOSUCH")) as it:
        await it.ready()
        unknown = list(it.phone.counters.unknown)
        assert "AT+NOSUCH" in unknown
        assert not any("ATD" in line or "CMGD" in line for line in unknown)


async def test_a_call_is_an_event(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        it.emulator.modems[0].call("+36301234567", 1, 0.05)
        await it.until(lambda: ("call", {"number": "+36301234567"}) in it.listener.events)


async def test_times_and_counts_of_a_new_modem() -> None:
    modem = Modem(ModemConfig("stick", "/nowhere"), sink=Sink(), listener=Listener())
    assert modem.status.state is ModemState.OFFLINE
    assert not modem.can_send
    assert modem.status.started_at is None
    before = datetime.now(UTC)
    await modem.start()
    assert modem.status.started_at is not None
    assert modem.status.started_at >= before
    await modem.stop(1)
    assert modem.status.state not in CAN_SEND
