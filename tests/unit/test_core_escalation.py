"""Orders that go further when they come to nothing: each step once, none too many, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from hardware.types import Action
from sms_bridge.core.asking import Escalate, Expect, Option, Step, Until
from sms_bridge.core.model import Accepted, ClaimantView, Cutoffs, Rejected
from sms_bridge.core.routes import Routes
from sms_bridge.core.routing import RouteHealth, RoutingSettings
from sms_bridge.core.settings import CoreSettings
from tests.support.desk import ANNA, START, STICK, ManualClock, deliver, open_desk, refused, sent, unknown

BOSS = "+36209999999"
BACKUP = ClaimantView("smpp:backup", route="smpp:backup")
TEAM = ("+36201111111", "+36202222222")
SETTINGS = CoreSettings(
    default_region="HU", contacts={"boss": BOSS}, groups={"team": TEAM}, max_attempts=1, retry_base=0.01
)
TO_BOSS = Escalate((Step(60, ("@boss",)),))
ACK = (Option.of("ok", "ack"),)


@pytest.fixture
async def desk(tmp_path):
    async with open_desk(tmp_path, SETTINGS) as opened:
        yield opened


async def later(desk, seconds):
    desk.clock.forward(seconds)
    await desk.tick()


def steps(desk, id="alarm"):
    """The orders that its steps have made, by id."""
    return sorted({status["id"] for status in desk.statuses() if status["id"].startswith(f"{id}/")})


def escalated(desk):
    return [event for event in desk.published("event") if event["event_type"] == "escalated"]


async def test_a_message_that_is_not_delivered_goes_to_the_next_person_once(desk):
    await desk.order("alarm", "Fire", escalate=TO_BOSS, priority=5, transaction={"n": 1})
    await desk.send(sent())
    await later(desk, 59)
    assert steps(desk) == []
    for _ in range(3):
        await later(desk, 1)
    assert steps(desk) == ["alarm/e1"]
    job = await desk.dispatcher.claim(STICK)
    assert (job.order.to, job.order.text, job.order.precedence, job.order.source) == (BOSS, "Fire", -5, "escalation")
    (event,) = escalated(desk)
    assert (event["id"], event["step"], event["order"], event["to"]) == ("alarm", 1, "alarm/e1", ["@boss"])
    assert (event["state"], event["transaction"], event["error"]) == ("sent", {"n": 1}, None)
    (order,) = await desk.service.get("alarm")
    assert [(step["step"], step["state"], step["order"]) for step in order["escalate"]] == [(1, "done", "alarm/e1")]


async def test_what_was_delivered_needs_no_step(desk):
    await desk.order("alarm", "Fire", escalate=TO_BOSS)
    await desk.send(sent(7))
    await desk.report(7)
    await later(desk, 61)
    assert (steps(desk), escalated(desk)) == ([], [])
    assert (await desk.service.get("alarm"))[0]["escalate"][0]["state"] == "over"


async def test_until_sent(desk):
    await desk.order("alarm", "Fire", escalate=Escalate((Step(60, ("@boss",)),), Until.SENT))
    await desk.send(sent())
    await later(desk, 61)
    assert steps(desk) == []


@pytest.mark.parametrize("result", [sent(), unknown(), refused(Action.FAIL), None])
async def test_the_same_person_by_another_way_however_it_stands(desk, result):
    """What is doubled by a step is meant to be: nobody knows that it has arrived."""
    await desk.order("alarm", "Fire", escalate=Escalate((Step(60, modem="other"),)))
    if result is not None:
        await desk.send(result)
    await later(desk, 60)
    status = desk.statuses("alarm/e1")[0]
    assert (status["to"], status["state"]) == (ANNA, "queued")


async def test_only_those_whom_it_has_not_reached_get_it_again(desk):
    await desk.order("alarm", "Fire", (ANNA, *TEAM), escalate=Escalate((Step(60, modem="other"),)))
    for mr in (1, 2, 3):
        await desk.send(sent(mr))
    await desk.report(2, number=TEAM[0])
    await later(desk, 60)
    assert [status["to"] for status in desk.statuses("alarm/e1")] == [ANNA, TEAM[1]]


async def test_each_step_in_its_time_and_no_further_one_when_a_step_has_arrived(desk):
    plan = Escalate((Step(60, ("@boss",)), Step(120, ("#team",), text="Call the boss"), Step(300, modem="other")))
    await desk.order("alarm", "Fire", escalate=plan)
    await desk.send(sent(1))
    await later(desk, 60)
    await desk.send(sent(2))
    await later(desk, 60)
    assert [status["to"] for status in desk.statuses("alarm/e2")] == list(TEAM)
    assert (await desk.send(sent(3))).order.text == "Call the boss"
    await desk.report(2, number=BOSS)
    await later(desk, 300)
    assert steps(desk) == ["alarm/e1", "alarm/e2"]


async def test_a_reply_acknowledges_and_a_delivery_does_not(desk):
    plan = Escalate((Step(60, ("@boss",)), Step(120, ("#team",))))
    await desk.order("alarm", "Fire", escalate=plan, expect=Expect(600, ACK))
    await desk.send(sent(1))
    await desk.report(1)
    await later(desk, 60)
    await desk.send(sent(2))
    await desk.receive(*deliver("what?", BOSS, at=desk.clock.datetime))
    await desk.receive(*deliver("OK!", BOSS, at=desk.clock.datetime))
    message = desk.published("in")[-1]
    assert message["in_reply_to"] == "alarm"
    assert message["reply"] == {"option": "ok", "value": "ack", "late": False, "step": 1}
    await later(desk, 600)
    assert steps(desk) == ["alarm/e1"]


async def test_a_cancelled_order_takes_its_steps_with_it(desk):
    plan = Escalate((Step(60, ("@boss",)), Step(120, ("#team",)), Step(180, ("#team",))))
    await desk.order("alarm", "Fire", escalate=plan)
    await desk.send(sent())
    await later(desk, 60)
    _, count = await desk.told(desk.service.cancel("alarm"))
    assert count == 3  # the boss's message, which waits, and two steps
    assert desk.states("alarm/e1")[-1] == "cancelled"
    await later(desk, 600)
    assert steps(desk) == ["alarm/e1"]


async def test_no_step_after_the_deadline(desk):
    await desk.order("alarm", "Fire", escalate=TO_BOSS, deadline=START + timedelta(seconds=50))
    await later(desk, 60)
    assert steps(desk) == []


async def test_a_step_expires_with_the_order(desk):
    await desk.order("alarm", "Fire", escalate=TO_BOSS, expires_in=100)
    await desk.send(sent())
    await later(desk, 60)
    assert desk.states("alarm/e1") == ["queued"]
    desk.clock.learn(START + timedelta(days=9))  # a span of time goes on after a jump
    await desk.tick()
    assert desk.states("alarm/e1") == ["queued"]
    await later(desk, 41)
    assert desk.states("alarm/e1")[-1] == "expired"


async def test_a_schedule_is_what_the_steps_count_from(desk):
    await desk.order("alarm", "Fire", escalate=TO_BOSS, send_at=START + timedelta(hours=1))
    await later(desk, 600)
    assert steps(desk) == []
    await later(desk, 3000)
    await later(desk, 59)
    assert steps(desk) == []
    await later(desk, 1)
    assert steps(desk) == ["alarm/e1"]


@pytest.mark.parametrize("days", [200, -200])
async def test_a_clock_that_jumps_neither_takes_a_step_early_nor_late(desk, days):
    await desk.order("alarm", "Fire", escalate=TO_BOSS)
    await later(desk, 30)
    desk.clock.learn(START + timedelta(days=days))
    await desk.tick()
    await later(desk, 29)
    assert steps(desk) == []
    await later(desk, 1)
    assert steps(desk) == ["alarm/e1"]


async def test_a_restart_forgets_no_step_and_repeats_none(tmp_path):
    clock = ManualClock()
    async with open_desk(tmp_path, SETTINGS, clock) as desk:
        await desk.order("alarm", "Fire", escalate=TO_BOSS)
    clock.forward(61)
    for expected in (["alarm/e1"], []):
        async with open_desk(tmp_path, SETTINGS, clock) as desk:
            await desk.tick()
            assert steps(desk) == expected


async def test_the_same_order_twice_has_its_steps_once(desk):
    for _ in range(2):
        await desk.order("alarm", "Fire", escalate=TO_BOSS)
    await later(desk, 60)
    assert len(escalated(desk)) == 1


async def test_an_id_that_somebody_took_before_stops_no_step(desk):
    await desk.order("alarm/e1", "something else")
    await desk.order("alarm", "Fire", escalate=TO_BOSS)
    await later(desk, 60)
    (event,) = escalated(desk)
    assert event["order"].startswith("alarm/e1-")
    assert desk.states(event["order"]) == ["queued"]


async def test_a_step_whose_order_is_rejected_says_so_and_the_next_one_is_taken(tmp_path):
    clock = ManualClock()
    plan = Escalate((Step(60, ("@boss",)), Step(120, ("#team",))))
    async with open_desk(tmp_path, SETTINGS, clock) as desk:
        await desk.order("alarm", "Fire", escalate=plan)
    without = CoreSettings(default_region="HU", groups={"team": TEAM})
    async with open_desk(tmp_path, without, clock) as desk:
        await later(desk, 60)
        (event,) = escalated(desk)
        assert "no contact" in event["error"]
        await later(desk, 60)
        assert desk.states("alarm/e2") == ["queued", "queued"]


async def test_a_defect_in_a_step_holds_up_no_other_one(desk, monkeypatch):
    await desk.order("bad", "Fire", escalate=TO_BOSS)
    await desk.order("good", "Fire", escalate=TO_BOSS)
    tx = desk.journal._writer._tx
    whole = tx.orders_of

    def broken(id):
        if id == "bad":
            raise RuntimeError("a defect")
        return whole(id)

    monkeypatch.setattr(tx, "orders_of", broken)
    for seconds in (60, 1, 1):
        await later(desk, seconds)
    assert steps(desk, "good") == ["good/e1"]
    assert (await desk.journal.read(lambda reader: reader.steps(1)))[0].state == "failed"


@pytest.mark.parametrize(
    ("plan", "fields", "says"),
    [
        (Escalate((Step(-1, ("@boss",)),)), {}, "step 1: `after` is 1 to"),
        (Escalate((Step(60, ("@nobody",)),)), {}, "step 1: there is no contact '@nobody'"),
        (Escalate((Step(1, ("@boss",)), Step(60, ("x",)))), {}, "step 2: 'x' is not a phone number"),
        (Escalate((Step(60, route="pigeon"),)), {}, "step 1: there is no route"),
        (Escalate((Step(60),)), {}, "step 1: it says nothing to do"),
        (Escalate((Step(60, ("@boss",)),) * 11), {}, "11 steps, and may have 1 to 10"),
        (Escalate(()), {}, "0 steps"),
        (Escalate((Step(60, ("@boss",)),), Until.REPLY), {}, "until a reply needs `expect_reply`"),
        (TO_BOSS, {"delivery_report": False}, "needs `delivery_report`"),
        (None, {"expect": Expect(0.5)}, "`expect_reply` waits for 1 to"),
    ],
)
async def test_what_cannot_be_done_is_refused_with_the_order(desk, plan, fields, says):
    result = await desk.order("alarm", "Fire", escalate=plan, **fields)
    assert isinstance(result, Rejected)
    (status,) = desk.statuses()
    assert (status["state"], status["error"]["code"]) == ("rejected", "invalid_field")
    assert says in status["error"]["text"]


async def test_nothing_is_asked_for_longer_than_the_order_is_kept(tmp_path):
    async with open_desk(tmp_path, CoreSettings(retention_days=1 / 24)) as desk:
        assert isinstance(await desk.order("a", escalate=Escalate((Step(3601, modem="x"),))), Rejected)
        assert isinstance(await desk.order("b", expect=Expect(3600)), Accepted)


async def test_an_order_whose_steps_wait_is_not_purged(tmp_path):
    """Retention may have been shortened since it was accepted."""
    clock = ManualClock()
    async with open_desk(tmp_path, SETTINGS, clock) as desk:
        await desk.order("alarm", "Fire", escalate=Escalate((Step(2 * 86_400, ("@boss",)),)))
        await desk.order("other", "Fire")
        for mr in (1, 2):
            await desk.send(sent(mr))
        await later(desk, 40 * 3600)
        gone = Cutoffs(9, 0, 0, 0, 0, 0, ended_before=desk.clock.now())
        await desk.journal.write(lambda tx: tx.purge(gone, 100))
        assert await desk.service.get("other") == []
        await later(desk, 8 * 3600)
        assert steps(desk) == ["alarm/e1"]


async def test_a_step_takes_another_route_and_one_that_does_not_exist_is_refused(tmp_path):
    routes = Routes(RoutingSettings())
    routes.add("smpp:backup")
    async with open_desk(tmp_path, SETTINGS, routes=routes) as desk:
        routes.modems_in_service(("stick",))
        routes.set_health("smpp:backup", RouteHealth(True))
        result = await desk.order("typo", "Fire", escalate=Escalate((Step(60, route="smpp:bakup"),)))
        assert isinstance(result, Rejected)
        assert "step 1: there is no route" in desk.statuses("typo")[0]["error"]["text"]
        await desk.order("alarm", "Fire", escalate=Escalate((Step(60, route="smpp:backup"),)))
        await desk.send(unknown())
        await later(desk, 60)
        async with asyncio.timeout(2):
            await desk.dispatcher.wait_for_work(BACKUP)
        (job,) = desk.dispatcher.claim_many(BACKUP, 10)
        assert (job.order.id, job.order.to) == ("alarm/e1", ANNA)
