"""Messages from the modem: read at once, stored by the sink, and only then deleted; whatever the modem does."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import pytest

from hardware.emulator.phone import Stat, Stored
from hardware.modem import timeouts
from hardware.pdu import Deliver, DeliverRequest, encode_deliver
from hardware.types import Health, ModemState, SendOutcome
from tests.support.modem_rig import Rig, rig

SENDER = "+36301112222"


def put(it: Rig, storage: str, text: str, stat: Stat = Stat.UNREAD) -> int:
    """A message that came while nobody was there; its index."""

    pdu = encode_deliver(DeliverRequest(SENDER, datetime(2026, 1, 1, tzinfo=UTC), text=text, smsc="+36209300099"))[0]
    index = it.phone.storages[storage].add(Stored(stat, pdu, len(pdu) // 2 - 1 - int(pdu[:2], 16)))
    assert index is not None
    return int(index)


async def test_from_cmti_to_the_sink_takes_milliseconds(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        await asyncio.sleep(0.1)
        times = []
        for number in range(20):
            it.emulator.deliver(0, SENDER, f"message {number}")
            await it.until(lambda number=number: len(it.sink.received) == number + 1 and it.stored() == 0)  # type: ignore[misc]
            said = next(ns for ns, event in reversed(it.emulator.modems[0].trace) if event == "cmti")
            times.append(it.sink.times[-1] - said / 1e9)
        print(f"CMTI to sink: median {median(times) * 1e3:.2f} ms, worst {max(times) * 1e3:.2f} ms")
        assert median(times) < 0.05


async def test_a_burst_of_twenty_is_in_the_sink_in_no_time(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        await asyncio.sleep(0.1)
        it.sink.delay = 0.02  # an SD card's commit
        began = time.monotonic()
        for number in range(20):
            it.emulator.deliver(0, SENDER, f"message {number}")
        await it.until(lambda: len(it.sink.received) == 20)
        took = time.monotonic() - began
        print(f"burst of 20: {took * 1e3:.0f} ms in {len(it.sink.batches)} batches")
        assert it.sink.texts == [f"message {number}" for number in range(20)]
        assert took < 1.0
        await it.until(lambda: it.stored() == 0)


async def test_what_came_while_we_were_away_is_found_in_every_storage(tmp_path: Path) -> None:
    async with rig(tmp_path, start=False) as it:
        put(it, "SM", "one")
        put(it, "ME", "two", Stat.READ)
        await it.modem.start()
        await it.until(lambda: len(it.sink.received) == 2)
        found = {(item.storage, getattr(item.pdu, "text", "")) for item in it.sink.received}
        assert found == {("SM", "one"), ("ME", "two")}
        await it.until(lambda: it.stored() == 0)


async def test_drafts_and_sent_items_are_nobodys_business(tmp_path: Path) -> None:
    async with rig(tmp_path, start=False) as it:
        put(it, "SM", "draft", Stat.UNSENT)
        put(it, "SM", "sent", Stat.SENT)
        put(it, "SM", "received")
        await it.modem.start()
        await it.until(lambda: it.stored() == 2)
        assert it.sink.texts == ["received"]


async def test_a_message_without_a_word_is_found_by_the_next_sweep(tmp_path: Path) -> None:
    async with rig(tmp_path, sweep_interval=0.3) as it:
        await it.ready()
        it.emulator.fault(0, "no_urc")
        it.emulator.deliver(0, SENDER, "psst")
        await it.until(lambda: it.sink.texts == ["psst"], 1.5)
        await it.until(lambda: it.stored() == 0)


async def test_a_modem_that_does_not_list_is_asked_slot_by_slot(tmp_path: Path) -> None:
    async with rig(tmp_path, "ep06", start=False) as it:
        storage = it.phone.personality.storage
        for text in ("one", "two", "three"):
            put(it, storage, text)
        await it.modem.start()
        await it.until(lambda: sorted(filter(None, it.sink.texts)) == ["one", "three", "two"])
        await it.until(lambda: it.stored() == 0)


async def test_nothing_is_deleted_that_the_sink_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "SINK_BACKOFF_FIRST", 0.2)
    async with rig(tmp_path) as it:
        await it.ready()
        it.sink.refuse = 2
        it.emulator.deliver(0, SENDER, "keep me")
        await it.until(lambda: it.sink.refused == 1)
        assert it.stored() == 1
        await it.state(ModemState.DEGRADED)
        assert it.modem.can_send, "sending has nothing to do with it"
        assert it.modem.status.health is Health.WARN
        assert "inbound_refused" in it.listener.names
        await it.until(lambda: it.sink.texts == ["keep me"])
        gap = it.sink.times[1] - it.sink.times[0]
        assert gap >= 0.19, "the back-off was cut short"
        assert it.sink.times[2] - it.sink.times[1] >= 0.38
        await it.until(lambda: it.stored() == 0)
        await it.state(ModemState.READY)
        await it.until(lambda: it.modem.status.health is Health.PASS)


async def test_a_routed_message_survives_a_sink_that_refuses_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "SINK_BACKOFF_FIRST", 0.1)
    async with rig(tmp_path) as it:
        await it.ready()
        it.sink.refuse = 1
        it.emulator.deliver(0, SENDER, "flash!", flash=True)
        await it.until(lambda: it.sink.texts == ["flash!"])
        assert it.sink.refused == 1
        assert (it.sink.received[0].storage, it.sink.received[0].index) == ("", None)


async def test_kept_messages_are_handed_over_once(tmp_path: Path) -> None:
    async with rig(tmp_path, delete_after_read=False, sweep_interval=0.1) as it:
        await it.ready()
        it.emulator.deliver(0, SENDER, "stay")
        await it.until(lambda: it.sink.received)
        lists = it.phone.counters.commands
        await it.until(lambda: it.phone.counters.commands > lists + 20)  # some sweeps later
        assert it.sink.texts == ["stay"]
        assert it.stored() == 1


async def test_what_stays_in_the_modem_is_named_to_the_sink_now_and_then_and_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "OFFER_AGAIN", 0.3)
    async with rig(tmp_path, delete_after_read=False, sweep_interval=0.05) as it:
        await it.ready()
        for text in ("one", "two"):
            it.emulator.deliver(0, SENDER, text)
        await it.until(lambda: len(it.sink.received) == 6)
        assert sorted(filter(None, it.sink.texts)) == ["one", "one", "one", "two", "two", "two"]
        assert it.modem.status.received == 2
        assert it.stored() == 2


async def test_a_failed_deletion_is_tried_again_and_the_message_not_handed_over_again(tmp_path: Path) -> None:
    async with rig(tmp_path, sweep_interval=0.2) as it:
        await it.ready()
        it.emulator.fault(0, "cme_error", code=23, on="+CMGD")
        it.emulator.deliver(0, SENDER, "sticky")
        await it.until(lambda: it.sink.received)
        await it.until(lambda: it.stored() == 0)
        assert it.sink.texts == ["sticky"]


async def test_a_deletion_is_not_repeated_before_its_slot_was_looked_at_again(tmp_path: Path) -> None:
    async with rig(tmp_path, "ec25", sweep_interval=0.4) as it:
        await it.ready()
        other = list(it.phone.storages.values())[1]  # not the one that is swept first
        it.emulator.fault(0, "cme_error", code=23, on="+CMGD")
        other.slots[other.first] = _stored("first")
        await it.until(lambda: it.sink.received and not it.emulator.modems[0].faults.armed())
        other.slots[other.first] = _stored("second")  # the first was deleted, and only the answer was lost
        await it.until(lambda: it.stored() == 0)
        assert it.sink.texts == ["first", "second"]


def _stored(text: str) -> Stored:
    [raw] = encode_deliver(DeliverRequest(SENDER, datetime.now(UTC), text=text))
    return Stored(Stat.UNREAD, raw, len(raw) // 2 - 1 - int(raw[:2], 16))


@pytest.mark.parametrize(
    "pdu",
    [
        "07916302390090F9040B9163031121",  # cut short
        "07916302390090F9" + "04FF" + "9163031121F2" + "00" * 20,  # an address longer than the PDU
        "00" * 12,
    ],
)
async def test_what_cannot_be_decoded_is_stored_raw_and_deleted(pdu: str, tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        it.emulator.deliver_pdu(0, pdu)
        it.emulator.deliver(0, SENDER, "next")
        await it.until(lambda: len(it.sink.received) == 2)
        (bad,) = [item for item in it.sink.received if not isinstance(item.pdu, Deliver)] or it.sink.received[:1]
        assert bad.raw == pdu.upper()
        assert (bad.pdu is None) == (bad.error is not None)
        await it.until(lambda: it.stored() == 0)


async def test_a_full_storage_is_said_and_drained(tmp_path: Path) -> None:
    async with rig(tmp_path, start=False) as it:
        it.emulator.fault(0, "storage_full")
        full = it.stored()
        it.emulator.deliver(0, SENDER, "waiting outside")
        await it.modem.start()
        await it.until(lambda: it.stored() == 0 and len(it.sink.received) == full + 1)
        assert "storage_full" in it.listener.names
        assert "waiting outside" in it.sink.texts
        await it.until(lambda: it.modem.status.health is Health.PASS)
        assert it.modem.status.storage.used == 0


@pytest.mark.parametrize("personality", ["e173", "ec25"])
async def test_a_modem_that_says_it_is_full_is_drained_at_once(personality: str, tmp_path: Path) -> None:
    async with rig(tmp_path, personality) as it:
        await it.ready()
        await asyncio.sleep(0.3)
        it.emulator.fault(0, "storage_full")
        it.emulator.deliver(0, SENDER, "waiting outside")
        await it.until(lambda: "waiting outside" in it.sink.texts)
        assert "storage_full" in it.listener.names
        await it.until(lambda: it.stored() == 0)


async def test_an_mms_notification_with_extra_fields_is_read_and_deleted(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        it.emulator.deliver(0, SENDER, data=b"\x01\x06\x03\xbe\xaf\x84", port=2948)
        await it.until(lambda: it.sink.received)
        await it.until(lambda: it.stored() == 0)


async def test_the_same_announcement_twice_is_one_message(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        await asyncio.sleep(0.1)
        it.sink.delay = 0.05
        it.emulator.deliver(0, SENDER, "once")
        it.emulator.modems[0].urc('+CMTI: "SM",1')
        await it.until(lambda: it.sink.received)
        await it.until(lambda: it.stored() == 0)
        it.emulator.modems[0].urc('+CMTI: "SM",1')
        it.emulator.modems[0].urc('+CMTI: "SM",9999')
        it.emulator.modems[0].urc("+CMTI: nonsense")
        await asyncio.sleep(0.1)
        assert it.sink.texts == ["once"]


async def test_two_equal_messages_are_two(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        for _ in range(2):
            put(it, "SM", "ring ring")
        it.emulator.modems[0].urc('+CMTI: "SM",1')
        it.emulator.modems[0].urc('+CMTI: "SM",2')
        await it.until(lambda: it.sink.texts == ["ring ring", "ring ring"])
        await it.until(lambda: it.stored() == 0)


async def test_a_flood_while_sending_loses_nothing(tmp_path: Path) -> None:
    async with rig(tmp_path, latency=0.03) as it:
        await it.ready()
        sends = asyncio.gather(*(it.send(f"out {n}") for n in range(10)))
        for number in range(15):
            it.emulator.deliver(0, SENDER, f"in {number}")
            await asyncio.sleep(0.01)
        await sends
        await it.until(lambda: len(it.sink.received) == 15)
        assert sorted(filter(None, it.sink.texts)) == sorted(f"in {n}" for n in range(15))
        assert len(it.submits()) == 10
        await it.until(lambda: it.stored() == 0)
        assert it.phone.counters.bytes_while_busy == 0


async def test_a_burst_does_not_wait_for_a_send_per_message(tmp_path: Path) -> None:
    """A modem that sends back to back reads and deletes several messages between two sends."""
    async with rig(tmp_path, latency=0.3) as it:
        await it.ready()
        await asyncio.sleep(0.1)
        sends = [0]

        async def send_for_ever() -> None:
            while True:
                (result,) = await it.send(f"out {sends[0]}")
                assert result.outcome is SendOutcome.SENT
                sends[0] += 1

        sender = asyncio.create_task(send_for_ever())
        try:
            await it.until(lambda: sends[0])
            it.sink.delay = 0.02  # an SD card's commit
            before, began = sends[0], time.monotonic()
            for number in range(20):
                it.emulator.deliver(0, SENDER, f"in {number}")
            await it.until(lambda: len(it.sink.received) == 20 and it.stored() == 0)
            took, between = time.monotonic() - began, sends[0] - before
            await it.until(lambda: sends[0] > before + between + 1)
        finally:
            sender.cancel()
            await asyncio.wait({sender})
        assert sender.cancelled(), "a send failed"
        print(f"burst of 20 on a busy modem: {took * 1e3:.0f} ms, {between} sends meanwhile")
        assert it.sink.texts == [f"in {number}" for number in range(20)]
        assert between <= 8, "one message a send would be 20 and more"
        assert it.phone.counters.bytes_while_busy == 0


async def test_a_slow_commit_delays_no_send(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        await asyncio.sleep(0.1)
        it.sink.delay = 2.0
        for number in range(3):
            it.emulator.deliver(0, SENDER, f"in {number}")
        await it.until(lambda: it.sink.times)
        began = time.monotonic()
        await it.send("out")
        assert time.monotonic() - began < 1.0
        assert not it.sink.received, "the commit was still running"


async def test_a_slow_modem_lets_a_send_in_between_after_its_share_of_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "INBOX_TURN", 0.0001)  # as if each read took seconds
    async with rig(tmp_path, latency=0.05) as it:
        await it.ready()
        await asyncio.sleep(0.1)
        first = asyncio.create_task(it.send("out 0"))
        await it.until(lambda: any(event == "ctrl_z" for _, event in it.emulator.modems[0].trace))
        for number in range(5):
            it.emulator.deliver(0, SENDER, f"in {number}")
        await first
        for number in (1, 2):  # one after the other, as the dispatcher does it
            await it.send(f"out {number}")
            assert len(it.sink.received) == number, "one read in each turn"
        await it.until(lambda: len(it.sink.received) == 5 and it.stored() == 0)


async def test_a_message_announced_under_the_name_of_both_storages(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        await asyncio.sleep(0.1)
        index = put(it, "ME", "in the union")
        it.emulator.modems[0].urc(f'+CMTI: "MT",{index}')
        await it.until(lambda: it.sink.texts == ["in the union"])
        await it.until(lambda: it.stored() == 0)


async def test_a_routed_message_outlives_its_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "SINK_BACKOFF_FIRST", 20.0)
    async with rig(tmp_path) as it:
        await it.ready()
        it.sink.refuse = 1
        it.emulator.deliver(0, SENDER, "flash!", flash=True)
        await it.until(lambda: it.sink.refused)
        it.emulator.fault(0, "unplug")
        await it.state(ModemState.OFFLINE)
        it.emulator.fault(0, "plug")
        await it.until(lambda: it.sink.texts == ["flash!"])


async def test_a_commit_that_runs_while_the_modem_leaves_is_not_cut_short(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        it.sink.delay = 0.2
        it.emulator.deliver(0, SENDER, "flash!", flash=True)
        await it.until(lambda: it.sink.times)
        it.emulator.fault(0, "unplug")
        await it.state(ModemState.OFFLINE)
        await it.until(lambda: it.sink.texts == ["flash!"], 1.0)
