"""Which modem for this message: conversations, unlike modems, and reasons that can be asked for."""

from __future__ import annotations

import asyncio

import pytest

from hardware.pdu import DeliverRequest, encode_deliver
from hardware.types import SendOutcome, SendResult
from sms_bridge.core.choice import Reason, Rival, Sticky, leaves
from sms_bridge.core.conversations import Conversations
from sms_bridge.core.model import ClaimantView
from sms_bridge.core.settings import CoreSettings
from tests.support.desk import ANNA, OTHER, STICK, ManualClock, open_desk, sent

ME = Rival("me", "sim-me", 0.0, 4.0)


def rival(free_in=0.0, pace=4.0, sim="sim-x"):
    return Rival("x", sim, free_in, pace)


@pytest.mark.parametrize(
    ("rivals", "parts", "known", "waited", "sticky", "reason"),
    [
        ([], 1, None, 0, Sticky.PREFER, None),
        ([rival()], 1, None, 0, Sticky.PREFER, None),
        ([rival(pace=3.9)], 1, None, 0, Sticky.PREFER, None),
        ([rival(pace=1.0)], 1, None, 0, Sticky.PREFER, Reason.LEFT_TO_FASTER),
        ([rival(free_in=2.5, pace=1.0)], 1, None, 0, Sticky.PREFER, None),
        ([rival(free_in=20, pace=1.0)], 10, None, 0, Sticky.PREFER, None),
        ([rival(free_in=5, pace=1.0)], 10, None, 0, Sticky.PREFER, Reason.LEFT_TO_FASTER),
        ([rival()], 1, "sim-x", 0, Sticky.PREFER, Reason.LEFT_TO_SIM),
        ([rival(free_in=9)], 1, "sim-x", 0, Sticky.PREFER, Reason.LEFT_TO_SIM),
        ([rival(free_in=11)], 1, "sim-x", 0, Sticky.PREFER, None),
        ([rival()], 1, "sim-x", 301, Sticky.PREFER, None),
        ([rival()], 1, "sim-x", 301, Sticky.STRICT, Reason.ONLY_SIM),
        ([], 1, "sim-x", 0, Sticky.PREFER, None),
        ([], 1, "sim-x", 0, Sticky.STRICT, Reason.ONLY_SIM),
        ([rival()], 1, "sim-x", 0, Sticky.OFF, None),
        ([rival(pace=0.1)], 1, "sim-me", 0, Sticky.PREFER, None),
        ([rival(pace=0.1)], 1, "sim-me", 0, Sticky.STRICT, None),
    ],
)
def test_a_free_modem_leaves_an_order_for_a_reason(rivals, parts, known, waited, sticky, reason):
    leave = leaves(ME, rivals, parts, known, waited, sticky)
    assert (leave.reason if leave else None) == reason


def test_two_modems_never_both_leave_it_to_each_other():
    for mine in (0.1, 1.0, 4.0, 20.0):
        for theirs in (0.1, 1.0, 4.0, 20.0):
            for known in (None, "a", "b", "c"):
                a, b = Rival("a", "a", 0.0, mine), Rival("b", "b", 0.0, theirs)
                left = [leaves(x, [y], 3, known, 0.0, Sticky.PREFER) for x, y in ((a, b), (b, a))]
                assert None in left, (mine, theirs, known)


def test_conversations_end_after_a_long_silence_and_are_bounded(monkeypatch):
    monkeypatch.setattr("sms_bridge.core.conversations.MOST", 2)
    found = Conversations(ttl=10)
    found.note("+361", "a", 0)
    found.note("+362", "b", 5_000)
    found.note("+361", "c", 6_000)
    assert [found.sim_of(n, 9_000) for n in ("+361", "+362")] == ["c", "b"]
    assert [found.sim_of(n, 15_500) for n in ("+361", "+362")] == ["c", None]
    found.note("+363", "d", 7_000)
    assert found.sim_of("+362", 7_000) is None
    assert sorted(found.take_changed()) == [("+361", "c", 6_000), ("+362", "b", 5_000), ("+363", "d", 7_000)]
    assert found.take_changed() == []


async def waiting(desk, *modems):
    """These modems wait for work."""
    tasks = [asyncio.create_task(desk.dispatcher.claim(modem)) for modem in modems]
    await asyncio.sleep(0)
    return tasks


async def test_the_answer_comes_from_the_sim_that_was_written_to(tmp_path):
    clock = ManualClock()
    async with open_desk(tmp_path, clock=clock) as desk:
        await desk.receive(encode_deliver(DeliverRequest(ANNA, clock.datetime, text="hi"))[0], modem=OTHER)
        one, other = await waiting(desk, STICK, OTHER)
        await desk.order("reply")
        job = await other
        assert (job.modem, one.done()) == ("other", False)
        desk.dispatcher.release(job)
        one.cancel()
    # What is known outlives the process, and counts only while that SIM is there.
    async with open_desk(tmp_path, clock=clock) as desk:
        one, other = await waiting(desk, STICK, OTHER)
        for _ in range(50):
            await asyncio.sleep(0.01)
            if other.done():
                break
        assert other.done()
        assert not one.done()
        one.cancel()
    async with open_desk(tmp_path, clock=clock) as desk:
        (one,) = await waiting(desk, STICK)
        assert (await one).modem == "stick"


async def test_a_conversation_that_moves_while_both_wait_takes_its_orders_along(tmp_path):
    async with open_desk(tmp_path) as desk:
        for n in range(3):
            await desk.order(str(n))
        await desk.send(sent(), modem=OTHER)
        busy = await desk.dispatcher.claim(OTHER)
        assert desk.dispatcher.try_claim(STICK) is None, "left to the SIM that is known, and busy"
        (mine,) = await waiting(desk, STICK)
        assert not mine.done()
        raw = encode_deliver(DeliverRequest(ANNA, desk.clock.datetime, text="to the other one"))[0]
        await desk.receive(raw, modem=STICK)
        assert (await asyncio.wait_for(mine, 1)).order.id == "2"
        desk.dispatcher.release(busy)


async def test_nothing_waits_for_good_for_a_reason_that_is_gone(tmp_path):
    async with open_desk(tmp_path) as desk:
        for n in range(3):
            await desk.order(str(n))
        await desk.send(sent(), modem=OTHER)
        await desk.dispatcher.claim(OTHER)
        (mine,) = await waiting(desk, STICK)
        await desk.tick()
        assert not mine.done()
        desk.dispatcher.policy.conversations.note(ANNA, STICK.sim, desk.clock.now())  # and nobody was told
        await desk.tick()
        assert (await asyncio.wait_for(mine, 1)).order.id == "2"


async def test_strict_waits_for_the_sim_rather_than_to_write_from_another(tmp_path):
    settings = CoreSettings(sticky=Sticky.STRICT)
    async with open_desk(tmp_path, settings) as desk:
        await desk.order("first")
        await desk.send(sent(), modem=OTHER)
        await desk.order("second")
        assert desk.dispatcher.try_claim(STICK) is None
        assert desk.dispatcher.try_claim(OTHER).order.id == "second"


async def test_a_slow_modem_leaves_a_short_queue_to_a_quick_one_and_helps_with_a_long_one(tmp_path):
    settings = CoreSettings(sticky=Sticky.OFF)
    async with open_desk(tmp_path, settings) as desk:
        for modem, seconds in ((STICK, 20.0), (OTHER, 2.0)):
            await desk.order(f"learn-{modem.name}")
            await desk.send(SendResult(SendOutcome.SENT, mr=1, seconds=seconds), modem=modem)
        for n in range(20):
            await desk.order(str(n))
        busy = await desk.dispatcher.claim(OTHER)
        helper = desk.dispatcher.try_claim(STICK)
        assert helper is not None
        assert helper.order.id not in {busy.order.id, "1"}, "what the quick one will be done with first is left to it"
        for entry in list(desk.dispatcher._queue.entries.values())[3:]:
            if not entry.claimed:
                desk.dispatcher._queue.drop(entry.order.seq)
        desk.dispatcher.release(helper)
        assert desk.dispatcher.try_claim(STICK) is None


async def test_the_reasons_can_be_asked_for(tmp_path):
    async with open_desk(tmp_path) as desk:
        await desk.order("a")
        await desk.send(sent(), modem=OTHER)
        third = ClaimantView("third", "893601")
        tasks = await waiting(desk, STICK, OTHER, third)
        found = {line["modem"]: line for line in desk.service.explain(ANNA, 2)}
        assert {name: line["takes"] for name, line in found.items()} == {"stick": False, "other": True, "third": False}
        assert found["other"]["reason"] == Reason.STICKY
        assert found["third"]["reason"] == Reason.LEFT_TO_SIM
        assert {line["reason"] for line in desk.service.explain("+36209999999", 1)} == {Reason.FIRST, Reason.ABLE}
        for task in tasks:
            task.cancel()
