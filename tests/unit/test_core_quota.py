"""A SIM's limits: windows that slide, days, bill months, recipients; what a restart remembers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms_bridge.core.model import ClaimantView
from sms_bridge.core.quota import NO_LIMITS, Limits, Usage, cycle_end, cycle_start
from sms_bridge.core.settings import CoreSettings
from tests.support.desk import ANNA, FAST, OTHER, STICK, ManualClock, open_desk, sent

NOW = int(datetime(2026, 11, 25, 12, 0, tzinfo=UTC).timestamp() * 1000)
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def usage(*notes: tuple[int, int]) -> Usage:
    """(ms before NOW, parts)."""
    found = Usage(UTC)
    for ago, parts in sorted(notes, reverse=True):
        found.note(ANNA, parts, NOW - ago)
    return found


@pytest.mark.parametrize(
    ("limits", "notes", "parts", "window", "until"),
    [
        (Limits(per_minute=3), [(50_000, 1), (10_000, 2)], 1, "minute", NOW + 10_000),
        (Limits(per_minute=3), [(50_000, 1), (10_000, 2)], 2, "minute", NOW + 50_000),
        (Limits(per_minute=3), [(61_000, 3)], 1, None, 0),
        (Limits(per_hour=10), [(30 * MINUTE, 10)], 1, "hour", NOW + 30 * MINUTE),
        (Limits(per_day=5), [(DAY // 2 - 1, 5)], 1, "day", NOW + DAY // 2),
        (Limits(per_day=5), [(DAY // 2 + 1, 5)], 1, None, 0),
        (Limits(per_month=100), [(20 * DAY, 60), (DAY, 40)], 1, "month", 1_796_083_200_000),
        (Limits(per_month=100, cycle_day=24), [(20 * DAY, 60), (DAY, 40)], 1, None, 0),
        (Limits(per_minute=3), [], 7, None, 0),
        (Limits(per_minute=3), [(1000, 1)], 7, "minute", NOW + 59_000),
        (NO_LIMITS, [(0, 1000)], 1000, None, 0),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else None,
)
def test_the_limit_that_is_reached_and_until_when(limits, notes, parts, window, until):
    full = usage(*notes).full(limits, ANNA, parts, NOW)
    assert (full.window if full else None) == window
    if full:
        assert full.until == until
        assert str(full.limit) in full.sentence


def test_what_was_counted_on_a_clock_that_was_years_ahead_does_not_hold_the_sim_up():
    limits = Limits(per_day=5, per_month=50, recipients_per_month=2)
    found = Usage(UTC)
    for n in range(60):
        found.note(f"+36{n}", 1, NOW + 3650 * DAY)
    assert found.full(limits, ANNA, 1, NOW) is None
    assert found.figures(limits, NOW)["month"]["used"] == found.figures(limits, NOW)["recipients"]["used"] == 0


def test_a_month_knows_how_many_different_people_were_written_to():
    found = Usage(UTC)
    limits = Limits(recipients_per_month=2)
    for number in ("+361", "+362", "+362"):
        assert found.full(limits, number, 1, NOW) is None
        found.note(number, 1, NOW)
    assert found.full(limits, "+361", 1, NOW) is None, "a third message to somebody known"
    full = found.full(limits, "+363", 1, NOW)
    assert full is not None
    assert full.window == "recipients"
    assert found.full(limits, "+363", 1, NOW + 6 * DAY) is None, "December"


def test_a_clock_that_goes_back_holds_nothing_up_for_longer_than_the_window():
    found = usage((0, 3))
    earlier = NOW - 10 * DAY
    full = found.full(Limits(per_minute=3), ANNA, 1, earlier)
    assert full is not None
    assert full.until <= earlier + MINUTE


@given(st.dates(date(2020, 1, 1), date(2040, 1, 1)), st.integers(1, 31))
def test_each_day_is_in_one_month_of_the_bill(day, cycle_day):
    start = cycle_start(day, cycle_day)
    end = cycle_end(start, cycle_day)
    assert start <= day < end
    assert 28 <= (end - start).days <= 31
    assert cycle_start(end, cycle_day) == end


LIMITED = Limits(per_day=3)


async def test_a_full_sim_leaves_the_order_to_another_one(tmp_path):
    limits = {STICK.name: LIMITED, OTHER.name: NO_LIMITS}
    async with open_desk(tmp_path, limits_of=lambda view: limits[view.name]) as desk:
        for n in range(4):
            await desk.order(str(n))
        for n in range(3):
            await desk.send(sent(n), modem=STICK)
        assert desk.dispatcher.try_claim(STICK) is None
        job = await desk.send(sent(9), modem=OTHER)
        assert job.order.id == "3"
        await desk.tick()
        events = [e for e in desk.published("event") if e["event_type"] == "quota_reached"]
        assert [(e["modem"], e["window"], e["limit"]) for e in events] == [("stick", "day", 3)]
        assert desk.dispatcher.policy.figures(STICK, desk.clock.now()) == {"day": {"used": 3, "limit": 3}}


@pytest.mark.parametrize("written_down", [True, False])
async def test_what_was_sent_counts_after_a_restart(tmp_path, written_down):
    clock = ManualClock()
    settings = FAST if written_down else CoreSettings(retry_base=0.01, retry_cap=0.02)
    async with open_desk(tmp_path, settings, clock, limits_of=lambda view: LIMITED) as desk:
        for n in range(4):
            await desk.order(str(n))
        for n in range(3):
            await desk.send(sent(n))
        if written_down:
            await desk.tick()
            await desk.journal.write(lambda tx: None)
        else:
            desk.dispatcher.policy.take_changes()  # as a power cut would
    async with open_desk(tmp_path, settings, clock, limits_of=lambda view: LIMITED) as desk:
        while not desk.dispatcher.in_memory:
            desk.dispatcher.try_claim(STICK)  # which has the journal read
            await asyncio.sleep(0.001)
        assert desk.dispatcher.try_claim(STICK) is None
        moved = ClaimantView("new-stick", STICK.iccid)
        assert desk.dispatcher.try_claim(moved) is None, "the SIM moved to another modem"
        clock.forward(86_400)
        assert desk.dispatcher.try_claim(STICK) is not None


async def test_a_message_to_one_modem_waits_for_its_sim(tmp_path):
    async with open_desk(tmp_path, limits_of=lambda view: Limits(per_minute=1)) as desk:
        await desk.order("a", modem="stick")
        await desk.order("b", modem="stick")
        await desk.send(sent())
        assert desk.dispatcher.try_claim(STICK) is None
        desk.clock.forward(61)
        assert desk.dispatcher.try_claim(STICK).order.id == "b"


async def test_a_modem_that_waits_while_its_sim_is_changed_has_the_new_ones_limits(tmp_path):
    async with open_desk(tmp_path, limits_of=lambda view: Limits(per_day=1)) as desk:
        await desk.order("a")
        await desk.send(sent())
        await desk.order("b")
        wait = asyncio.create_task(desk.dispatcher.claim(STICK))
        await asyncio.sleep(0.05)
        assert not wait.done()
        desk.dispatcher.renew(replace(STICK, iccid="8936200000000000999"))
        assert (await asyncio.wait_for(wait, 2)).order.id == "b"


async def test_the_rest_of_a_half_sent_message_is_never_held_up_by_a_limit(tmp_path):
    async with open_desk(tmp_path, limits_of=lambda view: Limits(per_day=2)) as desk:
        await desk.order("long", "x" * 400)
        job = await desk.dispatcher.claim(STICK)
        assert await desk.dispatcher.begin(job, 0)
        desk.dispatcher.release(job)
        for _ in range(100):
            again = desk.dispatcher.try_claim(STICK)
            if again is not None:
                break
            await desk.told(desk.journal.write(lambda tx: None))
        assert again is not None
        assert [part.index for part in again.parts] == [1, 2]
