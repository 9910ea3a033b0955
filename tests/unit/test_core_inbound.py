"""Messages in: recognised, put together, kept when they make no sense, published once."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardware.pdu import (
    Concat,
    DeliverRequest,
    StatusReportRequest,
    SubmitRequest,
    decode,
    encode,
    encode_deliver,
    encode_status_report,
)
from hardware.types import ReceivedPdu
from sms_bridge.core.reassembly import place, usable
from sms_bridge.core.settings import CoreSettings
from sms_bridge.store import upkeep
from tests.support.desk import ANNA, OTHER, START, STICK, ManualClock, deliver, open_desk, sent
from tests.support.examples import examples

BOB = "+36209999999"
TEXT = "árvíztűrő tükörfúrógép 👍 " * 12  # five parts in UCS2
HOUR = 3_600_000

CONTRACT_RECEIVED = [
    "event_type", "id", "from", "contact", "to", "text", "modem", "route", "sent_at", "received_at", "parts",
    "partial", "missing", "encoding", "class", "type", "port", "data", "in_reply_to", "reply",
]  # fmt: skip


@pytest.fixture
async def desk(tmp_path):
    wiring = {"own_number": lambda modem: "+36201112222" if modem == "stick" else None}
    settings = CoreSettings(default_region="HU", contacts={"anna": "06301234567"})
    async with open_desk(tmp_path, settings, **wiring) as opened:
        yield opened


async def test_a_message_is_published_as_the_contract_says(desk):
    sent_at = datetime(2026, 11, 22, 19, 0, 1, tzinfo=timezone(timedelta(hours=1)))
    await desk.receive(*deliver(at=sent_at))
    (message,) = desk.published("in")
    assert message.pop("id").isalnum()
    assert list({"event_type": 0, "id": 0, **message}) == CONTRACT_RECEIVED
    assert message == {
        "event_type": "received", "from": ANNA, "contact": "anna", "to": "+36201112222", "text": "OK",
        "modem": "stick", "route": "modem", "sent_at": "2026-11-22T19:00:01+01:00",
        "received_at": "2026-11-22T19:00:00.000+00:00", "parts": 1, "partial": False, "missing": [],
        "encoding": "gsm7", "class": None, "type": "text", "port": None, "data": None, "in_reply_to": None,
        "reply": None,
    }  # fmt: skip


async def test_data_flash_and_silent_messages(desk):
    await desk.receive(
        *encode_deliver(DeliverRequest(ANNA, START, data=b"\x00\xff", port=5000)),
        *deliver("now", flash=True),
        *deliver("psst", pid=0x40),
        *deliver("from a name", sender="Telekom"),
    )
    data, flash, silent, named = desk.published("in")
    assert (data["type"], data["text"], data["port"]) == ("data", None, 5000)
    assert base64.b64decode(data["data"]) == b"\x00\xff"
    assert (flash["type"], flash["class"]) == ("flash", 0)
    assert silent["type"] == "silent"
    assert (named["from"], named["contact"]) == ("Telekom", None)


async def test_a_message_read_again_is_published_once(desk):
    for _ in range(3):
        await desk.receive(*deliver())
        desk.clock.forward(60)
    assert len(desk.published("in")) == 1


async def test_a_message_read_again_after_a_restart_is_known(tmp_path):
    clock = ManualClock()
    for _ in range(2):
        async with open_desk(tmp_path, clock=clock) as desk:
            await desk.receive(*deliver())
            rows = await desk.journal.outbox_after(0, 10)
    assert len(rows) == 1  # and not a second one


async def test_what_came_before_the_machine_learnt_the_time_is_not_purged_as_old(tmp_path):
    """A Raspberry Pi boots in the past, without a network, and takes messages before either is there."""
    async with open_desk(tmp_path, CoreSettings(), ManualClock(START - timedelta(days=200))) as desk:
        await desk.receive(*deliver())
        desk.clock.learn(START)
        desk.clock.forward(61)
        await desk.tick()
        desk.journal.later(lambda tx: None)
        await desk.order("later")  # what is lazy rides with another commit, or goes alone after a second
        await asyncio.sleep(1.2)
        assert [row.kind for row in await desk.journal.outbox_after(0, 10)] == ["in", "event", "status"]
        assert len((await desk.service.inbox()).messages) == 1
        desk.clock.forward(31 * 86_400)
        await desk.tick()
        await asyncio.sleep(1.2)
        assert (await desk.service.inbox()).messages == []


async def test_a_clock_that_jumps_by_years_does_not_double(tmp_path):
    async with open_desk(tmp_path, clock=ManualClock(datetime(1970, 1, 1, tzinfo=UTC))) as desk:
        await desk.receive(*deliver())
        desk.clock.learn(START)
        await desk.tick()
        await desk.receive(*deliver())
        assert len(desk.published("in")) == 1


KEPT = CoreSettings(default_region="HU", retention_days=30, quarantine_days=90)


async def years(desk, days):
    """The bridge runs on, with all its purges."""
    for _ in range(days // 20):
        desk.clock.forward(20 * 86_400)
        await desk.tick()
        await asyncio.sleep(0.03)


async def rows(desk, table):
    return await desk.journal.write(lambda tx: tx._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


async def test_what_stays_on_a_sim_is_never_published_twice(tmp_path, eager):
    """`delete_after_read: false`, or a SIM that refuses to delete, or one that lay in a drawer for years."""
    bad = ReceivedPdu("00FF", None, "cut short (at 2)", "SM", 4, "352", STICK.iccid, "stick", datetime.now(UTC))
    clock = ManualClock()
    found = []
    for days in (400, 400, 0):
        async with open_desk(tmp_path, KEPT, clock) as desk:
            await desk.receive(*deliver("kept"), *deliver("kept"), *deliver(TEXT, ref=7))
            await desk.told(desk.service.receive([bad]))
            found += [row.kind for row in desk.rows if row.kind != "event"]
            await years(desk, days)
            assert await rows(desk, "inbound") == 0
    assert sorted(found) == ["in", "in", "in", "raw"]


async def test_a_status_report_read_again_after_a_year_is_not_taken_for_another_ones(tmp_path, eager):
    clock = ManualClock()
    async with open_desk(tmp_path, KEPT, clock) as desk:
        await desk.order("old")
        await desk.send(sent(9))
        told = encode_status_report(StatusReportRequest(ANNA, 9, clock.datetime, clock.datetime, 0))
        await desk.receive(told)
        assert desk.states("old")[-1] == "delivered"
        await years(desk, 400)
        assert await desk.service.get("old") == []
        await desk.order("new")
        await desk.send(sent(9))
        await desk.receive(told)
        assert desk.states("new")[-1] == "sent"


async def test_what_is_remembered_of_a_busy_sim_is_bounded(tmp_path, eager, monkeypatch):
    monkeypatch.setattr(upkeep, "KEEP_CONTENTS", 20)
    async with open_desk(tmp_path, KEPT) as desk:
        await desk.receive(*deliver("on another SIM"), modem=OTHER)
        await desk.receive(*deliver("stays on the SIM"))
        for n in range(300):
            if n % 40 == 0:
                await desk.receive(*deliver("stays on the SIM"))  # the modem says once a day that it is still there
            await desk.receive(*deliver(f"message {n}"))
            desk.clock.forward(3600)
            await desk.tick()
        await asyncio.sleep(0.05)
        # Each is known by its SIM, and by its modem for the day on which the SIM cannot be named.
        assert await rows(desk, "contents") < 2 * (72 + 20 + 10)
        await years(desk, 100)
        assert await rows(desk, "contents") == 2 * (20 + 1)
        published = len(desk.published("in"))
        await desk.receive(*deliver("on another SIM"), modem=OTHER)
        await desk.receive(*deliver("message 299"))
        assert len(desk.published("in")) == published == 302


async def test_a_sim_that_cannot_be_named_for_a_while_brings_nothing_twice(desk):
    blind = replace(STICK, iccid=None)
    for first, then in ((blind, STICK), (STICK, blind)):
        raws = deliver(f"read as of {first.sim} before")
        await desk.receive(*raws, modem=first)
        published = len(desk.published("in"))
        await desk.receive(*raws, modem=then)
        await desk.receive(*raws, modem=first)
        assert len(desk.published("in")) == published
    for modem in (STICK, replace(STICK, iccid=OTHER.iccid)):  # that is another SIM in the same modem
        await desk.receive(*deliver("to both SIMs"), modem=modem)
    assert len(desk.published("in")) == published + 2


async def test_two_equal_messages_in_one_storage_are_two(desk):
    (raw,) = deliver()
    await desk.receive(raw, raw)
    assert len({m["id"] for m in desk.published("in")}) == 2
    await desk.receive(raw)  # one is deleted, the other is read again
    await desk.receive(raw, raw)
    assert len(desk.published("in")) == 2
    await desk.receive(raw, raw, raw)
    assert len(desk.published("in")) == 3


async def test_one_message_listed_under_two_names_of_its_storage_is_one(desk):
    (raw,) = deliver()
    await desk.told(desk.service.receive([desk.pdu(raw, storage=name, index=3) for name in ("SM", "MT")]))
    assert len(desk.published("in")) == 1


@pytest.mark.parametrize(
    "other",
    [
        deliver("OK!"),
        deliver(sender=BOB),
        deliver(at=START + timedelta(seconds=1)),
        deliver(pid=0x41),
        deliver(flash=True),
        deliver(port=5000),
    ],
)
async def test_what_differs_in_anything_is_another_message(desk, other):
    await desk.receive(*deliver())
    await desk.receive(*other)
    assert len(desk.published("in")) == 2


async def test_the_same_message_on_another_sim_is_another(desk):
    await desk.receive(*deliver(), modem=STICK)
    await desk.receive(*deliver(), modem=OTHER)
    assert [m["to"] for m in desk.published("in")] == ["+36201112222", None]


async def test_the_more_messages_flag_does_not_make_another_message(desk):
    (raw,) = deliver()
    octets = bytearray.fromhex(raw)
    octets[1 + octets[0]] ^= 0x04
    await desk.receive(raw)
    await desk.receive(octets.hex().upper())
    assert len(desk.published("in")) == 1


@pytest.mark.parametrize("bits", [8, 16])
@settings(
    max_examples=examples(25, nightly=2_000), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_parts_in_any_order_with_repeats_and_restarts_give_the_whole_once(tmp_path_factory, bits, data):
    import asyncio

    raws = deliver(TEXT, ref=77, ref_bits=bits)
    order = data.draw(st.permutations(raws))
    repeats = data.draw(st.lists(st.sampled_from(raws), max_size=4))
    cut = data.draw(st.integers(0, len(raws)))

    async def play():
        directory = tmp_path_factory.mktemp("parts")
        found, clock = [], ManualClock()
        for half in (order[:cut], [*repeats, *order[cut:], *repeats]):
            async with open_desk(directory, clock=clock) as desk:
                for raw in half:
                    await desk.receive(raw)
                found += desk.published("in")
        (message,) = found
        assert (message["text"], message["parts"], message["partial"]) == (TEXT, len(raws), False)

    asyncio.run(play())


async def test_messages_of_two_senders_under_one_reference_do_not_mix(desk):
    anna, bob = deliver("a" * 400, ref=5), deliver("b" * 400, sender=BOB, ref=5)
    for pair in itertools.zip_longest(anna, bob):
        await desk.receive(*pair)
    assert {m["from"]: set(m["text"]) for m in desk.published("in")} == {ANNA: {"a"}, BOB: {"b"}}


async def test_two_messages_of_one_sender_interleaved(desk):
    one, two = deliver("1" * 400, ref=5), deliver("2" * 400, ref=6)
    for pair in zip(one, two, strict=True):
        await desk.receive(*pair)
    assert [set(m["text"]) for m in desk.published("in")] == [{"1"}, {"2"}]


async def test_what_is_there_is_published_as_partial_and_the_whole_when_the_rest_comes(desk):
    raws = deliver("x" * 150 + "y" * 150 + "z" * 150, ref=9)
    await desk.receive(raws[2], raws[0])
    desk.clock.forward(3599)
    await desk.tick()
    assert desk.published("in") == []
    desk.clock.forward(2)
    await desk.tick()
    (partial,) = desk.published("in")
    assert (partial["partial"], partial["missing"], partial["parts"]) == (True, [2], 3)
    assert set(partial["text"]) == {"x", "y", "z"}
    assert len(partial["text"]) == 450 - 153
    desk.clock.forward(8 * 3600)
    await desk.receive(raws[1])
    whole = desk.published("in")[-1]
    assert (whole["id"], whole["partial"], len(whole["text"])) == (partial["id"], False, 450)
    desk.clock.forward(7200)
    await desk.tick()
    assert len(desk.published("in")) == 2


async def test_what_came_after_a_partial_message_is_published_too_though_not_all_did(desk):
    raws = deliver("w" * 150 + "x" * 150 + "y" * 150 + "z" * 150, ref=9)
    await desk.receive(raws[0])
    desk.clock.forward(3601)
    await desk.tick()
    await desk.receive(raws[2])
    desk.clock.forward(3599)
    await desk.receive(raws[1])
    desk.clock.forward(3599)
    await desk.tick()
    assert [message["missing"] for message in desk.published("in")] == [[2, 3, 4]]
    desk.clock.forward(2)
    await desk.tick()
    first, second = desk.published("in")
    assert (second["id"], second["partial"], second["missing"]) == (first["id"], True, [4])
    assert first["text"] == second["text"][: len(first["text"])]
    for _ in range(2):  # a repeated part brings nothing new
        await desk.receive(raws[2])
        desk.clock.forward(3601)
        await desk.tick()
    assert len(desk.published("in")) == 2
    await desk.receive(raws[3])
    whole = desk.published("in")[-1]
    assert (whole["id"], whole["partial"], len(whole["text"])) == (first["id"], False, 600)


async def spoil(desk, number, raw="00FF"):
    """What a bad sector does to a stored part, or a decoder that has become stricter."""
    sql = "UPDATE inbound_parts SET raw = ? WHERE number = ?"
    await desk.journal.write(lambda tx: tx._db.execute(sql, (raw, number)))


async def test_a_stored_part_that_cannot_be_read_any_more_is_put_aside_and_the_rest_published(desk, caplog):
    raws = deliver("x" * 150 + "y" * 150 + "z" * 150, ref=9)
    await desk.receive(raws[0], raws[1])
    await desk.receive(*deliver("a" * 200, ref=10)[:1])
    await spoil(desk, 2)
    for _ in range(5):
        desk.clock.forward(3601)
        await desk.tick()
    spoilt, other = desk.published("in")
    assert (spoilt["missing"], set(spoilt["text"])) == ([2, 3], {"x", "y"})
    assert set(other["text"]) == {"a"}
    (raw,) = desk.published("raw")
    assert (raw["pdu"], "any more" in raw["reason"]) == ("00FF", True)
    assert "Traceback" not in caplog.text
    assert caplog.text.count("put aside") == 1


@pytest.mark.parametrize("raw", ["00FF", encode(SubmitRequest(ANNA, text="draft")).pdus[0], "zz"])
async def test_a_message_of_which_nothing_can_be_read_any_more_ends(desk, raw):
    raws = deliver("x" * 450, ref=9)
    await desk.receive(raws[0])
    await spoil(desk, 1, raw)
    for _ in range(3):
        desk.clock.forward(3601)
        await desk.tick()
    assert desk.published("in") == []
    assert len(desk.published("raw")) == 1
    assert (await desk.service.inbox()).messages == []
    await desk.receive(raws[1], raws[2])  # the rest is a message in pieces of its own
    desk.clock.forward(3601)
    await desk.tick()
    assert [message["missing"] for message in desk.published("in")] == [[1]]


async def test_a_message_completed_by_a_good_part_is_published_without_a_spoilt_one(desk):
    raws = deliver("x" * 450, ref=9)
    await desk.receive(raws[0], raws[1])
    await spoil(desk, 1)
    await desk.receive(raws[2])
    (message,) = desk.published("in")
    assert (message["partial"], message["missing"]) == (True, [1])
    assert len(desk.published("raw")) == 1


async def test_a_defect_of_ours_in_one_message_does_not_come_back_each_second(desk, caplog):
    await desk.receive(deliver("x" * 450, ref=9)[0])
    await desk.receive(deliver("y" * 450, ref=10)[0])
    await desk.journal.write(lambda tx: tx._db.execute("UPDATE inbound SET received_at = -1e18 WHERE seq = 1"))
    for _ in range(3):
        desk.clock.forward(3601)
        await desk.tick()
    assert [set(message["text"]) for message in desk.published("in")] == [{"y"}]
    assert len(desk.published("raw")) == 1
    assert caplog.text.count("Traceback") == 1


async def test_a_part_that_comes_late_renews_the_wait(desk):
    raws = deliver("x" * 450, ref=9)
    await desk.receive(raws[0])
    desk.clock.forward(3000)
    await desk.receive(raws[1])
    desk.clock.forward(3000)
    await desk.tick()
    assert desk.published("in") == []


async def test_the_wait_for_missing_parts_survives_a_restart(tmp_path):
    clock = ManualClock()
    async with open_desk(tmp_path, clock=clock) as desk:
        await desk.receive(deliver("x" * 450, ref=9)[0])
    clock.forward(3601)
    async with open_desk(tmp_path, clock=clock) as desk:
        await desk.tick()
        assert desk.published("in")[0]["missing"] == [2, 3]


async def test_a_reference_used_again_begins_a_new_message(desk):
    old, new = deliver("1" * 400, ref=5), deliver("2" * 400, ref=5, at=START + timedelta(minutes=5))
    await desk.receive(old[0])
    await desk.receive(*new)
    assert [set(m["text"]) for m in desk.published("in")] == [{"2"}]
    await desk.receive(*old[1:])
    assert [set(m["text"]) for m in desk.published("in")] == [{"2"}, {"1"}]


async def test_a_reference_used_again_days_later_does_not_join_the_old_rest(desk):
    old, new = deliver("1" * 400, ref=5), deliver("2" * 400, ref=5, at=START + timedelta(days=3))
    await desk.receive(old[0])
    desk.clock.forward(3 * 86_400)
    await desk.receive(new[1], new[2])
    await desk.receive(new[0])
    assert [set(m["text"]) for m in desk.published("in") if not m["partial"]] == [{"2"}]


@pytest.mark.parametrize("concat", [(5, 0, 1), (5, 2, 0), (5, 2, 3), (5, 1, 1)])
async def test_a_concatenation_that_makes_no_sense_is_a_single_message(desk, concat):
    ref, total, seq = concat
    raw = deliver("x" * 200, ref=ref)[0]
    old = bytes((5, 0, 3, 5, 2, 1))
    octets = bytes.fromhex(raw)
    assert octets.count(old) == 1
    await desk.receive(octets.replace(old, bytes((5, 0, 3, ref, total, seq))).hex())
    (message,) = desk.published("in")
    assert (message["partial"], message["text"]) == (False, "x" * 153)


def test_usable_concatenations():
    assert usable(Concat(1, 2, 2, 8)) is not None
    for total, seq in ((0, 0), (0, 1), (1, 1), (2, 0), (2, 3)):
        assert usable(Concat(1, total, seq, 8)) is None
    assert usable(None) is None


@given(st.integers(1, 3), st.binary(max_size=1), st.none() | st.integers(0, 10 * HOUR), st.integers(0, 10 * HOUR))
def test_with_no_candidates_a_part_begins_a_message(number, body, sent_at, received_at):
    assert place([], number, body, sent_at, received_at, HOUR).found is None


async def test_what_cannot_be_decoded_is_kept_and_published_raw_once(desk):
    bad = ReceivedPdu("00FF", None, "cut short (at 2)", "SM", 4, "352", STICK.iccid, "stick", desk.clock.datetime)
    for _ in range(2):
        await desk.told(desk.service.receive([bad, desk.pdu(deliver()[0])]))
    (raw,) = desk.published("raw")
    assert (raw["pdu"], raw["reason"], raw["modem"], raw["sim"]) == ("00FF", "cut short (at 2)", "stick", "8936…42")
    assert len(desk.published("in")) == 1


@pytest.mark.parametrize("raw", ["", "0", "zz", "\ud800", "ÿ\x00", "00", "FF" * 300])
async def test_garbage_of_any_kind_is_kept(desk, raw):
    item = ReceivedPdu(raw, None, "garbage", "SM", 4, None, None, "stick", desk.clock.datetime)
    await desk.told(desk.service.receive([item]))
    assert len(desk.published("raw")) == 1


async def test_a_stored_draft_is_kept_and_not_taken_for_a_message(desk):
    raw = encode(SubmitRequest(ANNA, text="draft")).pdus[0]
    item = ReceivedPdu(raw, decode(raw, direction="mo"), None, "SM", 4, None, None, "stick", desk.clock.datetime)
    await desk.told(desk.service.receive([item]))
    assert (len(desk.published("raw")), len(desk.published("in"))) == (1, 0)


async def test_parts_that_do_not_fit_together_are_published_all_the_same(desk):
    text = deliver("x" * 200, ref=5)
    data = encode_deliver(DeliverRequest(ANNA, START, data=b"y" * 200, ref=5))
    await desk.receive(text[0], data[1])
    (message,) = desk.published("in")
    assert (message["text"], message["partial"]) == ("x" * 153, False)


async def test_one_message_that_breaks_us_does_not_hold_up_the_others(desk):
    broken = desk.pdu(deliver("broken")[0])
    broken.pdu.header = None  # what a fault in our own code would do
    await desk.told(desk.service.receive([desk.pdu(deliver("a")[0]), broken, desk.pdu(deliver("b")[0])]))
    assert [m["text"] for m in desk.published("in")] == ["a", "b"]
    (raw,) = desk.published("raw")
    assert raw["pdu"] == broken.raw


async def test_the_inbox_lists_what_came_newest_first(desk):
    for n in range(3):
        await desk.receive(*deliver(f"message {n}"))
    await desk.receive(deliver("x" * 300, ref=3)[0])
    first = await desk.service.inbox(2)
    assert [json.loads(text)["text"] for text in first.messages] == ["message 2", "message 1"]
    await desk.receive(*deliver("a newer one moves no page"))
    second = await desk.service.inbox(2, first.next)
    assert [json.loads(text)["text"] for text in second.messages] == ["message 0"]
    assert second.next is None
    everything = await desk.service.inbox(4)
    assert (len(everything.messages), everything.next) == (4, None)
