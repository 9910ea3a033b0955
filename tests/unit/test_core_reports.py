"""Status reports find their part, and nothing else (domain A7)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from hardware.pdu import StatusReportRequest, encode_status_report
from hardware.types import Action
from sms_bridge.core.model import Finished
from sms_bridge.core.reports import Effect, effect_of
from sms_bridge.core.states import OnUnknown
from tests.support.desk import ANNA, OTHER, STICK, open_desk, refused, sent, unknown

BOB = "+36209999999"
LONG = "x" * 400


@pytest.fixture
async def desk(tmp_path):
    async with open_desk(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize(
    ("status", "effect"),
    [
        (0x00, Effect.DELIVERED), (0x01, Effect.SENT), (0x02, Effect.SENT), (0x10, Effect.DELIVERED),
        (0x20, Effect.SENT), (0x3F, Effect.SENT), (0x40, Effect.UNDELIVERED), (0x46, Effect.UNDELIVERED),
        (0x5F, Effect.UNDELIVERED), (0x60, Effect.UNDELIVERED), (0x7F, Effect.UNDELIVERED), (0x80, Effect.NOTHING),
        (0xFF, Effect.NOTHING),
    ],
)  # fmt: skip
def test_what_a_tp_st_says(status, effect):
    assert effect_of(status) is effect


async def test_a_report_delivers(desk):
    await desk.order("a")
    await desk.send(sent(mr=7))
    await desk.report(7)
    assert desk.states("a") == ["queued", "sending", "sent", "delivered"]
    await desk.report(7)  # the modem gave it twice
    assert desk.states("a")[-1] == "delivered"
    assert len(desk.states("a")) == 4


async def test_a_failed_delivery_fails_with_its_reason(desk):
    await desk.order("a")
    await desk.send(sent(mr=7))
    await desk.report(7, status=0x46)
    last = desk.statuses("a")[-1]
    assert (last["state"], last["error"]["code"]) == ("failed", "report_0x46")


async def test_still_trying_changes_nothing_and_the_final_report_counts(desk):
    await desk.order("a")
    await desk.send(sent(mr=7))
    for status in (0x20, 0x30, 0x01):
        await desk.report(7, status=status)
    assert desk.states("a")[-1] == "sent"
    await desk.report(7)
    assert desk.states("a")[-1] == "delivered"


@pytest.mark.parametrize(("first", "second", "end"), [(0, 0x46, "delivered"), (0x46, 0, "failed")])
async def test_a_final_state_never_goes_back(desk, first, second, end):
    await desk.order("a")
    await desk.send(sent(mr=7))
    await desk.report(7, status=first)
    await desk.report(7, status=second)
    assert desk.states("a")[-1] == end


async def test_a_long_message_is_delivered_when_all_its_parts_are(desk):
    await desk.order("a", LONG)
    await desk.send(sent(1), sent(2), sent(3))
    for mr in (3, 1):
        await desk.report(mr)
        assert desk.states("a")[-1] == "sent"
    await desk.report(2)
    assert desk.states("a")[-1] == "delivered"


async def test_one_undelivered_part_fails_the_message(desk):
    await desk.order("a", LONG)
    await desk.send(sent(1), sent(2), sent(3))
    await desk.report(2, status=0x41)
    assert desk.states("a")[-1] == "failed"


async def test_a_report_that_comes_before_the_result_waits_for_it(desk):
    await desk.order("a")
    job = await desk.dispatcher.claim(STICK)
    assert await desk.dispatcher.begin(job, 0)
    await desk.report(7)
    await desk.told(desk.dispatcher.finish(Finished(job, 0, sent(mr=7))))
    assert desk.states("a") == ["queued", "sending", "sent", "delivered"]


async def test_a_report_that_comes_before_the_result_while_the_clock_has_just_jumped(desk):
    await desk.order("a")
    job = await desk.dispatcher.claim(STICK)
    assert await desk.dispatcher.begin(job, 0)
    ahead = desk.clock.datetime + timedelta(days=1)  # the modem's time; the core follows within a second
    raw = encode_status_report(StatusReportRequest(ANNA, 7, ahead, ahead, 0))
    await desk.told(desk.service.receive([replace(desk.pdu(raw), received_at=ahead)]))
    await desk.told(desk.dispatcher.finish(Finished(job, 0, sent(mr=7))))
    assert desk.states("a") == ["queued", "sending", "sent", "delivered"]


async def test_reports_that_overtake_the_later_parts(desk):
    await desk.order("a", LONG)
    job = await desk.dispatcher.claim(STICK)
    assert await desk.dispatcher.begin(job, 0)
    assert await desk.dispatcher.begin(job, 1, Finished(job, 0, sent(1)))
    await desk.report(1)
    assert await desk.dispatcher.begin(job, 2, Finished(job, 1, sent(2)))
    await desk.report(2)
    await desk.report(3)
    await desk.told(desk.dispatcher.finish(Finished(job, 2, sent(3))))
    assert desk.states("a") == ["queued", "sending", "sent", "delivered"]


async def test_a_report_survives_a_restart_before_its_message(tmp_path):
    async with open_desk(tmp_path) as desk:
        await desk.order("a")
        await desk.send(sent(mr=7))
        clock = desk.clock
    async with open_desk(tmp_path, clock=clock) as desk:
        await desk.report(7)
        assert desk.states("a") == ["delivered"]


@pytest.mark.parametrize("number", ["06301234567", "301234567", "0036301234567"])
async def test_a_recipient_written_differently_still_fits(desk, number):
    await desk.order("a")
    await desk.send(sent(mr=7))
    await desk.report(7, number=number)
    assert desk.states("a")[-1] == "delivered"


async def test_the_recipient_tells_equal_references_apart(desk):
    await desk.order("a")
    await desk.order("b", to=(BOB,))
    await desk.send(sent(mr=7))
    await desk.send(sent(mr=7))
    await desk.report(7, number=ANNA)
    assert (desk.states("a")[-1], desk.states("b")[-1]) == ("delivered", "sent")


async def test_only_the_sim_that_sent_gets_the_report(desk):
    await desk.order("a")
    await desk.send(sent(mr=7), modem=STICK)
    await desk.report(7, modem=OTHER)
    assert desk.states("a")[-1] == "sent"


async def test_the_reference_wraps_with_three_hundred_pending(desk):
    for n in range(300):
        await desk.order(str(n))
        await desk.send(sent(mr=n & 255))
        desk.clock.forward(2)
    desk.clock.forward(-2 * 300 + 2 * 10)
    await desk.report(10)  # taken by the network when number 10 was sent, not number 266
    assert desk.states("10")[-1] == "delivered"
    assert desk.states("266")[-1] == "sent"
    desk.clock.forward(2 * 290)
    await desk.report(20, after=-2 * 24)  # number 276
    assert desk.states("276")[-1] == "delivered"
    assert desk.states("20")[-1] == "sent"


async def test_without_a_common_clock_the_newest_fits(desk):
    for n in range(2):
        await desk.order(str(n))
        await desk.send(sent(mr=7))
        desk.clock.forward(60)
    await desk.report(7, after=-86_400 * 365)
    assert (desk.states("0")[-1], desk.states("1")[-1]) == ("sent", "delivered")


async def test_a_ported_number_fits_weakly_when_only_one_can_be_meant(desk):
    await desk.order("a")
    await desk.send(sent(mr=7))
    await desk.report(7, number="+491701234999")
    assert desk.states("a")[-1] == "delivered"


async def test_a_stranger_among_several_fits_nothing(desk):
    for n in range(2):
        await desk.order(str(n))
        await desk.send(sent(mr=7))
    await desk.report(7, number="+491701234999")
    assert [desk.states(str(n))[-1] for n in range(2)] == ["sent", "sent"]


async def test_a_report_resolves_the_unknown_when_one_message_can_be_meant(desk):
    await desk.order("a")
    await desk.send(unknown())
    await desk.report(99)
    assert desk.states("a") == ["queued", "sending", "unknown", "delivered"]


async def test_a_failed_delivery_resolves_the_unknown_too(desk):
    await desk.order("a")
    await desk.send(unknown())
    await desk.report(99, status=0x41)
    assert desk.states("a")[-1] == "failed"


async def test_of_two_unknown_to_one_recipient_neither_is_resolved(desk):
    for n in range(2):
        await desk.order(str(n))
        await desk.send(unknown())
    await desk.report(99)
    assert [desk.states(str(n))[-1] for n in range(2)] == ["unknown", "unknown"]


async def test_a_report_read_twice_says_nothing_of_an_unknown_that_came_between(desk):
    await desk.order("a")
    await desk.send(sent(mr=7))
    await desk.report(7)
    await desk.order("b")
    await desk.send(unknown())
    await desk.report(7)  # killed before it was deleted, it is read from the SIM once more
    assert desk.states("b")[-1] == "unknown"
    await desk.report(8)
    assert desk.states("b")[-1] == "delivered"


async def test_a_report_that_overtakes_its_result_does_not_resolve_an_unknown(desk):
    await desk.order("a")
    await desk.send(unknown())
    await desk.order("b")
    job = await desk.dispatcher.claim(STICK)
    assert await desk.dispatcher.begin(job, 0)
    await desk.report(8)
    assert desk.states("a")[-1] == "unknown"
    await desk.told(desk.dispatcher.finish(Finished(job, 0, sent(mr=8))))
    assert desk.states("b")[-1] == "delivered"
    assert desk.states("a")[-1] == "unknown"


async def test_an_old_unknown_is_not_meant(desk):
    await desk.order("a")
    await desk.send(unknown())
    desk.clock.forward(3600)
    await desk.report(99)
    assert desk.states("a")[-1] == "unknown"


async def test_a_delivery_spares_the_second_try(desk):
    await desk.order("a", on_unknown=OnUnknown.RESEND)
    await desk.send(unknown())
    await desk.report(99)
    assert desk.states("a")[-1] == "delivered"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(desk.dispatcher.claim(STICK), 0.1)


async def test_a_repeated_report_is_not_taken_for_the_next_message(desk):
    """A modem gives a report twice; the reference was used again meanwhile."""
    await desk.order("a")
    await desk.send(sent(mr=7))
    await desk.report(7)
    await desk.report(7)
    await desk.order("b")
    await desk.send(sent(mr=7))
    assert desk.states("b")[-1] == "sent"


async def test_without_a_report_wanted_none_is_looked_for(desk):
    await desk.report(7)
    await desk.order("a", delivery_report=False)
    await desk.send(sent(mr=7))
    assert desk.states("a")[-1] == "sent"


async def test_what_was_not_sent_has_no_report(desk):
    await desk.order("a")
    await desk.send(refused(Action.FAIL))
    await desk.report(0)
    assert desk.states("a")[-1] == "failed"


async def test_orphans_and_their_end(desk):
    await desk.report(7)
    for _ in range(2):
        await desk.tick()
        await asyncio.sleep(1.3)  # purging is lazy
        desk.clock.forward(8 * 86_400)
    assert await desk.journal.write(lambda tx: tx.orphans(STICK.sim, 7)) == []
