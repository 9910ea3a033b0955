"""A clock that jumps: what waits for a time goes on waiting as long as it was to, and nothing grows old by it.

A Raspberry Pi without a clock of its own starts in the past and learns the time from the network (domain A11).
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from hardware.pdu import decode
from hardware.types import Action
from sms_bridge.core.clock import JUMP, SystemClock
from sms_bridge.core.errors import StoreError
from sms_bridge.core.model import SendRequest
from sms_bridge.core.retention import Age, purge
from sms_bridge.core.settings import CoreSettings
from sms_bridge.core.states import OnUnknown
from tests.support.desk import (
    ANNA,
    OTHER,
    START,
    STICK,
    ManualClock,
    deliver,
    open_desk,
    refused,
    sent,
    unknown,
)

UNSET = datetime(1970, 1, 1, 0, 0, 30, tzinfo=UTC)
AHEAD = START + timedelta(days=3650)
HOUR, DAY = 3600, 86_400
LONG = "x" * 400  # three parts
WAITS = CoreSettings(retry_base=5.0)

jumps = pytest.mark.parametrize("told", [START, START + timedelta(hours=-2), START + timedelta(minutes=2), AHEAD])


@pytest.fixture(params=[UNSET, START, AHEAD], ids=["unset", "right", "ahead"])
def clock(request):
    return ManualClock(request.param)


async def jump(desk, to=START):
    desk.clock.learn(to)
    await desk.tick()


async def states(desk, id):
    return [order["state"] for order in await desk.service.get(id)]


async def count(desk, table):
    return await desk.journal.write(lambda tx: tx._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


@jumps
async def test_a_message_expiry_is_a_span_of_time_whatever_the_clock_says(tmp_path, clock, told):
    async with open_desk(tmp_path, WAITS, clock) as desk:
        await desk.order("a", expires_in=HOUR)
        clock.forward(600)
        await jump(desk, told)
        clock.forward(HOUR - 601)
        await desk.tick()
        assert await states(desk, "a") == ["queued"]
        job = await desk.dispatcher.claim(STICK)
        clock.forward(2)
        assert not await desk.told(desk.dispatcher.begin(job, 0))
        assert desk.states("a") == ["queued", "expired"]


async def test_an_order_that_is_begun_before_the_jump_is_known_to_be_one_does_not_expire(tmp_path):
    async with open_desk(tmp_path, WAITS, ManualClock(UNSET)) as desk:
        await desk.order("a", expires_in=HOUR)
        desk.clock.learn(START)
        await desk.send(sent())
        assert desk.states("a")[-1] == "sent"


async def test_what_a_person_wrote_as_a_time_of_day_is_not_moved(tmp_path):
    async with open_desk(tmp_path, WAITS, ManualClock(UNSET)) as desk:
        await desk.order("past", deadline=START)
        await desk.order("future", deadline=START + timedelta(hours=1), expires_in=DAY)
        await desk.order("later", send_at=START + timedelta(minutes=5), expires_in=DAY)
        await desk.order("never", send_at=START + timedelta(minutes=5), deadline=START + timedelta(minutes=4))
        await jump(desk, START + timedelta(minutes=1))
        assert [await states(desk, id) for id in ("past", "future", "later")] == [
            ["expired"],
            ["queued"],
            ["scheduled"],
        ]
        assert await states(desk, "never") == ["expired"]
        desk.clock.forward(300)
        await desk.tick()
        assert await states(desk, "later") == ["queued"]
        desk.clock.forward(HOUR)
        await desk.tick()
        assert await states(desk, "future") == ["expired"]  # of two ends the earlier one


async def test_the_network_is_told_the_time_that_is_left(tmp_path):
    async with open_desk(tmp_path, WAITS, ManualClock(UNSET)) as desk:
        await desk.order("a", expires_in=HOUR)
        await jump(desk)
        job = await desk.dispatcher.claim(STICK)
        assert decode(job.parts[0].pdu, direction="mo").validity.seconds == HOUR


@jumps
async def test_the_rest_of_a_half_sent_message_waits_for_its_sim_as_long_as_ever(tmp_path, clock, told):
    async with open_desk(tmp_path, WAITS, clock) as desk:
        await desk.order("a", LONG)
        await desk.send(sent(1), refused(Action.RETRY_SAME))
        await jump(desk, told)
        clock.forward(595)
        await desk.tick()
        assert desk.states("a")[-1] == "sending"
        clock.forward(15)
        await desk.tick()
        assert desk.statuses("a")[-1]["error"]["code"] == "incomplete"


@jumps
async def test_missing_parts_are_waited_for_as_long_as_ever(tmp_path, clock, told):
    async with open_desk(tmp_path, WAITS, clock) as desk:
        await desk.receive(deliver(LONG, ref=5)[0])
        await jump(desk, told)
        clock.forward(HOUR - 1)
        await desk.tick()
        assert desk.published("in") == []
        clock.forward(2)
        await desk.tick()
        assert [message["missing"] for message in desk.published("in")] == [[2, 3]]


@jumps
async def test_a_second_try_waits_as_long_as_ever_also_in_the_next_process(tmp_path, clock, told):
    async with open_desk(tmp_path, CoreSettings(retry_base=100.0), clock) as desk:
        await desk.order("a")
        await desk.send(refused(Action.RETRY_SAME))
        await jump(desk, told)
        await desk.told(desk.service.store([]))
        left = await desk.journal.read(lambda reader: reader.orders_of("a")[0].not_before - clock.now())
        assert left == 100_000


async def test_a_jump_is_an_event_and_a_small_correction_is_none(tmp_path):
    async with open_desk(tmp_path, WAITS, ManualClock(UNSET)) as desk:
        assert "1970-01-01" in desk.service.warnings()[0]
        await jump(desk)
        assert desk.service.warnings() == []
        (event,) = desk.published("event")
        assert (event["event_type"], event["before"]) == ("clock_changed", "1970-01-01T00:00:30.000+00:00")
        assert event["ts"] == "2026-11-22T19:00:00.000+00:00"
        assert event["seconds"] == round(START.timestamp()) - 30
        await jump(desk, START - timedelta(milliseconds=JUMP))
        assert desk.clock.now() == desk.clock.datetime.timestamp() * 1000
        assert len(desk.published("event")) == 1
        await jump(desk, START - timedelta(hours=1))
        assert [event["seconds"] for event in desk.published("event")][1:] == [60 - HOUR]


async def test_a_clock_that_jumps_back_and_forth_moves_everything_with_it(tmp_path):
    async with open_desk(tmp_path, WAITS, ManualClock(UNSET)) as desk:
        await desk.order("a", expires_in=HOUR)
        for told in (AHEAD, START, UNSET, START - timedelta(days=1), START):
            await jump(desk, told)
        desk.clock.forward(HOUR - 1)
        await desk.tick()
        assert await states(desk, "a") == ["queued"]
        desk.clock.forward(1)
        await desk.tick()
        assert await states(desk, "a") == ["expired"]


async def test_a_jump_between_two_processes_is_followed_once(tmp_path):
    clock = ManualClock(UNSET)
    async with open_desk(tmp_path, WAITS, clock) as desk:
        await desk.order("a", expires_in=HOUR)
        await desk.order("b", LONG)
        await desk.send(sent(1), refused(Action.RETRY_SAME), job=await claim_of(desk, "b"))
        await desk.receive(deliver(LONG, ref=5)[0])
    clock.learn(START)
    for _ in range(3):
        clock.restart()
        async with open_desk(tmp_path, WAITS, clock) as desk:
            clock.forward(100)
            await desk.tick()
            assert await states(desk, "a") == ["queued"]
            assert await states(desk, "b") == ["sending"]
            events = [row for row in await desk.journal.outbox_after(0, 100) if row.kind == "event"]
            assert len(events) == 1
    async with open_desk(tmp_path, WAITS, clock) as desk:
        clock.forward(HOUR)
        await desk.tick()
        assert await states(desk, "a") == ["expired"]
        assert await states(desk, "b") == ["failed"]
        assert [m["missing"] for m in desk.published("in")] == [[2, 3]]


async def claim_of(desk, id):
    jobs = [await desk.dispatcher.claim(STICK) for _ in range(2)]
    (wanted,) = [job for job in jobs if job.order.id == id]
    for job in jobs:
        if job is not wanted:
            desk.dispatcher.release(job)
    await asyncio.sleep(0)
    return wanted


async def test_a_jump_that_cannot_be_committed_has_not_happened_yet(tmp_path):
    async with open_desk(tmp_path, WAITS, ManualClock(UNSET)) as desk:
        await desk.order("a", expires_in=HOUR)
        await desk.journal.write(lambda tx: tx._db.execute("ALTER TABLE avoided RENAME TO hidden"))
        desk.clock.learn(START)
        for _ in range(2):
            with pytest.raises(StoreError):
                await desk.tick()
            assert desk.clock.now() < START.timestamp() * 1000
        await desk.journal.write(lambda tx: tx._db.execute("ALTER TABLE hidden RENAME TO avoided"))
        await desk.tick()
        assert desk.clock.now() == START.timestamp() * 1000
        assert await states(desk, "a") == ["queued"]


async def test_after_a_power_cut_nothing_waits_longer_than_it_may(tmp_path):
    """The machine starts long before the times in the journal, which were right."""
    clock = ManualClock(START)
    async with open_desk(tmp_path, WAITS, clock) as desk:
        await desk.order("half", LONG)
        await desk.send(sent(1), refused(Action.RETRY_SAME))
        await desk.receive(deliver(LONG, ref=5)[0])
    clock.reboot(START - timedelta(days=90))
    async with open_desk(tmp_path, WAITS, clock) as desk:
        clock.forward(HOUR + 1)
        await desk.tick()
        assert await states(desk, "half") == ["failed"]
        assert len(desk.published("in")) == 1


async def test_an_expiry_of_before_the_power_cut_is_not_moved_by_a_jump_after_it(tmp_path):
    clock = ManualClock(START)
    async with open_desk(tmp_path, WAITS, clock) as desk:
        await desk.order("a", expires_in=HOUR)
    clock.reboot(UNSET)
    async with open_desk(tmp_path, WAITS, clock) as desk:
        await desk.order("b", expires_in=HOUR)
        await jump(desk, START + timedelta(hours=2))
        assert [await states(desk, id) for id in "ab"] == [["expired"], ["queued"]]


@pytest.mark.parametrize("cut", ["none", "process", "power"])
async def test_what_came_before_a_jump_and_was_not_published_is_kept(tmp_path, eager, cut):
    """The broker is away, the clock is learnt, perhaps with a restart in between: nothing is old by that."""
    clock = ManualClock(UNSET)
    async with open_desk(tmp_path, WAITS, clock) as desk:
        await desk.receive(*deliver())
        await desk.order("a", expires_in=HOUR)
        await desk.send(sent())
        await desk.tick()
        if cut == "none":
            await jump(desk)
            await purged(desk)
            assert await kept(desk) == (1, 1, 1)
    if cut == "process":
        clock.learn(START)
        clock.restart()
    elif cut == "power":
        clock.reboot(START)
    async with open_desk(tmp_path, WAITS, clock) as desk:
        await purged(desk)
        assert await kept(desk) == (1, 1, 1)
        clock.forward(15 * DAY)
        await purged(desk)
    async with open_desk(tmp_path, WAITS, clock) as desk:
        clock.forward(14 * DAY)
        await purged(desk)
        assert await kept(desk) == (1, 1, 1)
        clock.forward(3 * DAY)
        await purged(desk)
        assert await kept(desk) == (0, 0, 0)


async def kept(desk):
    """Received messages, orders, received messages that wait for the broker."""
    rows = await desk.journal.outbox_after(0, 100)
    return await count(desk, "inbound"), await count(desk, "orders"), len([row for row in rows if row.kind == "in"])


async def purged(desk):
    """A tick that purges, and its lazy commit; twice, as the first may only note how old things are."""
    for _ in range(2):
        desk.clock.forward(61)
        await desk.tick()
        await asyncio.sleep(0.06)


async def test_the_notes_of_age_are_few(tmp_path):
    async with open_desk(tmp_path, WAITS) as desk:
        ran = 0
        for n in range(150):
            await desk.journal.write(lambda tx, n=n: tx.emit("event", str(n)))
            ran += 2 * 3_600_000 * 12
            await desk.journal.write(lambda tx, ran=ran: purge(tx, WAITS, Age(ran, None), 200))
        assert await count(desk, "age_notes") < 60
        left = [int(row.payload) for row in await desk.journal.outbox_after(0, 1000)]
        assert left == list(range(150 - len(left), 150))  # the oldest went, in their order
        assert 29 <= len(left) <= 33  # a day each


async def test_numbers_of_purged_rows_do_not_come_again(tmp_path, eager):
    """A row with a used number would be as old as the one that had it."""
    async with open_desk(tmp_path, WAITS) as desk:
        await desk.receive(*deliver("one"))
        await purged(desk)
        desk.clock.forward(32 * DAY)
        await purged(desk)
        assert await count(desk, "inbound") == 0
        desk.clock.forward(2 * DAY)
    async with open_desk(tmp_path, WAITS, desk.clock) as desk:
        await desk.receive(*deliver("two"))
        await purged(desk)
        assert await count(desk, "inbound") == 1


async def test_a_person_may_send_again_what_has_expired(tmp_path):
    async with open_desk(tmp_path, WAITS) as desk:
        await desk.order("a", deadline=START + timedelta(hours=1))
        await desk.order("b", expires_in=HOUR)
        await desk.send(unknown())
        await desk.send(unknown())
        desk.clock.forward(2 * HOUR)
        await desk.tick()
        for id in "ab":
            assert await desk.service.resend(id) == (1, [])
            await desk.tick()
            await desk.send(sent(), job=await desk.dispatcher.claim(STICK))
            assert desk.states(id)[-1] == "sent"


def test_the_machines_clock():
    clock = SystemClock()
    assert abs(clock.now() - time.time() * 1000) < 1000
    assert abs(clock.astray()) < 1000
    clock.adopt(-5_000_000)
    assert abs(clock.now() - time.time() * 1000 + 5_000_000) < 1000
    assert abs(clock.astray() - 5_000_000) < 1000
    assert clock.boot() == SystemClock().boot()
    assert 0 <= -clock.monotonic() + SystemClock().monotonic() < 60


async def test_a_modem_that_refused_is_avoided_after_a_restart_as_long_as_before(tmp_path):
    settings = CoreSettings(retry_base=200.0)
    clock = ManualClock()
    async with open_desk(tmp_path, settings, clock) as desk:
        await desk.submit(SendRequest(id="a", text="x", to=(ANNA,)))
        waiting = asyncio.create_task(desk.dispatcher.claim(OTHER))  # takes it first; then STICK is there as well
        first = await waiting
        idle = asyncio.create_task(desk.dispatcher.claim(STICK))
        await asyncio.sleep(0)
        idle.cancel()
        await desk.send(refused(Action.RETRY_OTHER), modem=OTHER, job=first)
    clock.forward(100)
    async with open_desk(tmp_path, settings, clock) as desk:
        loaded = asyncio.create_task(desk.dispatcher.claim(OTHER))
        await asyncio.sleep(0.1)
        assert not loaded.done()
        blocked = desk.dispatcher._queue.entries[1].blocked
        assert 95 < blocked["other"] - asyncio.get_running_loop().time() < 101
        await desk.send(sent(), modem=STICK)
        loaded.cancel()


async def test_a_failover_never_goes_back_to_the_modem_that_may_have_sent_it(tmp_path):
    settings = CoreSettings(bound_wait=600.0, retry_base=0.0)
    async with open_desk(tmp_path, settings) as desk:
        await desk.order("a", on_unknown=OnUnknown.FAILOVER)
        first = await desk.dispatcher.claim(STICK)
        other = asyncio.create_task(desk.dispatcher.claim(OTHER))
        await asyncio.sleep(0)
        other.cancel()
        await desk.send(unknown(), job=first)
    desk.clock.forward(300)
    async with open_desk(tmp_path, settings, desk.clock) as desk:
        back = asyncio.create_task(desk.dispatcher.claim(STICK))
        await asyncio.sleep(0.1)
        assert not back.done()
        left = desk.dispatcher._queue.entries[1].blocked["stick"] - asyncio.get_running_loop().time()
        assert 290 < left < 301
        back.cancel()
