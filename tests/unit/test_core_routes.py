"""Orders over several routes: who takes what, what goes on to the next one, and what never does."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from hardware.types import Action, SendError, SendOutcome, SendResult
from sms_bridge.core.breaker import BreakerSettings
from sms_bridge.core.model import MODEMS, Accepted, ClaimantView, Finished, Receipt, SendRequest, StatusError
from sms_bridge.core.numbers import DictContactBook
from sms_bridge.core.people import Contact
from sms_bridge.core.queue import SCAN
from sms_bridge.core.quota import Limits
from sms_bridge.core.routes import Routes
from sms_bridge.core.routing import Capabilities, RouteHealth, RoutingSettings, Rule
from sms_bridge.core.states import OnUnknown, ReceiptState
from tests.support.desk import ANNA, FAST, OTHER, STICK, Desk, open_desk, refused, sent, unknown

MAIN = ClaimantView("smpp:main", route="smpp:main")
BACKUP = ClaimantView("smpp:backup", route="smpp:backup")
UP = RouteHealth(True)
DOWN = RouteHealth(False, "not connected")
QUICK = RoutingSettings(settle=0.2, back_after=0.1, breaker=BreakerSettings(in_a_row=3, back_off=0.05))
LONG = "x" * 400  # three parts


def routes(*names: str, settings: RoutingSettings = QUICK) -> Routes:
    made = Routes(settings)
    for name in names or (MAIN.name, BACKUP.name):
        made.add(name)
    return made


@asynccontextmanager
async def house(path, made: Routes | None = None, *, modems=("stick",), up=(MAIN.name, BACKUP.name), **wiring):
    """A desk with routes: the modems in service and the routes that are up are as given."""
    made = made or routes()
    async with open_desk(path, wiring.pop("settings", FAST), routes=made, **wiring) as desk:
        if modems:
            made.modems_in_service(modems)
        for name in up:
            made.set_health(name, UP)
        yield desk


@pytest.fixture
async def desk(tmp_path):
    async with house(tmp_path) as opened:
        yield opened


async def wait(desk: Desk, view: ClaimantView) -> None:
    await asyncio.wait_for(desk.dispatcher.wait_for_work(view), 2)


async def nothing(desk: Desk, view: ClaimantView) -> None:
    """Not now, nor when its lanes have been read."""
    assert desk.dispatcher.claim_many(view, 10) == []
    await asyncio.sleep(0.02)
    assert desk.dispatcher.claim_many(view, 10) == []


async def take(desk: Desk, view: ClaimantView, limit: int = 10):
    await wait(desk, view)
    return desk.dispatcher.claim_many(view, limit)


async def send(desk: Desk, view: ClaimantView, *results: SendResult, id: str | None = None):
    """One order whole, as a route does it: all parts begun at once."""
    (job,) = await take(desk, view, 1)
    assert await desk.dispatcher.begin_many([job]) == [True]
    done = [Finished(job, index, result, id) for index, result in zip(job.wanted, results, strict=True)]
    await desk.told(desk.dispatcher.finish_many(done))
    return job


def route_refuses(code: str = "0x45") -> SendResult:
    return refused(Action.FAIL_ROUTE, code)


async def test_the_modems_take_what_is_theirs_and_nobody_else(desk):
    await desk.order("a")
    await nothing(desk, MAIN)
    await desk.send(sent())
    assert desk.states("a") == ["queued", "sending", "sent"]


async def test_an_order_that_names_a_route_goes_by_it_and_says_so(desk):
    await desk.order("a", route=BACKUP.name)
    await nothing(desk, MAIN)
    await send(desk, BACKUP, sent(), id="4711")
    last = desk.statuses("a")[-1]
    assert (last["state"], last["route"], last["modem"], last["sim"]) == ("sent", BACKUP.name, None, None)
    (attempt,) = (await desk.service.get("a"))[0]["attempts"]
    assert (attempt["route"], attempt["modem"], attempt["message_id"]) == (BACKUP.name, None, "4711")


async def test_a_route_that_does_not_exist_is_rejected_with_those_that_do(desk):
    rejected = await desk.order("a", route="smpp:nobody")
    assert rejected.rejections[0].code == "unknown_route"
    assert rejected.rejections[0].text.endswith("there are: modems, smpp:main, smpp:backup")


async def test_when_the_last_modem_goes_its_orders_leave_by_the_next_route_at_once(desk):
    await desk.order("a")
    waits = asyncio.create_task(desk.dispatcher.wait_for_work(MAIN))
    await asyncio.sleep(0.02)
    assert not waits.done()
    desk.dispatcher.routes.modems_in_service(())
    await asyncio.wait_for(waits, 0.5)
    assert [job.order.id for job in desk.dispatcher.claim_many(MAIN, 10)] == ["a"]
    await nothing(desk, BACKUP)


async def test_at_the_start_the_modems_have_time_to_settle(tmp_path):
    async with house(tmp_path, modems=()) as desk:
        await desk.order("a")
        waits = asyncio.create_task(wait(desk, MAIN))
        await nothing(desk, MAIN)
        await asyncio.sleep(QUICK.settle)
        desk.dispatcher.look_again()
        await waits
        assert [job.order.id for job in desk.dispatcher.claim_many(MAIN, 10)] == ["a"]


async def test_modems_that_come_within_their_time_keep_what_is_theirs(tmp_path):
    async with house(tmp_path, modems=()) as desk:
        await desk.order("a")
        desk.dispatcher.routes.modems_in_service(["stick"])
        await asyncio.sleep(QUICK.settle)
        await nothing(desk, MAIN)
        assert (await asyncio.wait_for(desk.dispatcher.claim(STICK), 1)).order.id == "a"


async def test_a_route_that_came_back_takes_nothing_from_the_one_in_use_before_it_has_stayed(desk):
    table = desk.dispatcher.routes
    table.modems_in_service(())
    await asyncio.sleep(QUICK.back_after)
    table.modems_in_service(["stick"])
    await desk.order("a")
    assert [job.order.id for job in await take(desk, MAIN)] == ["a"]
    await desk.order("b")
    await asyncio.sleep(QUICK.back_after)
    await nothing(desk, MAIN)
    assert (await asyncio.wait_for(desk.dispatcher.claim(STICK), 1)).order.id == "b"


async def test_where_no_other_route_is_up_one_that_came_back_is_used_at_once(desk):
    table = desk.dispatcher.routes
    for name in (MAIN.name, BACKUP.name):
        table.set_health(name, DOWN)
    table.modems_in_service(())
    table.modems_in_service(["stick"])
    await desk.order("a")
    assert (await asyncio.wait_for(desk.dispatcher.claim(STICK), 1)).order.id == "a"


async def test_a_refusal_of_the_whole_route_goes_on_to_the_next_and_the_last_one_fails(desk):
    await desk.order("a")
    await desk.send(route_refuses("cms_38"))
    await send(desk, MAIN, route_refuses("0x0a"))
    assert desk.states("a")[-1] == "sending"
    await send(desk, BACKUP, route_refuses("0x45"))
    assert desk.statuses("a")[-1]["error"]["code"] == "0x45"
    assert [status["state"] for status in desk.statuses("a")] == ["queued", "sending", "sending", "sending", "failed"]
    assert [status["route"] for status in desk.statuses("a")][1:] == ["modem", MAIN.name, BACKUP.name, BACKUP.name]
    (order,) = await desk.service.get("a")
    assert [attempt["route"] for attempt in order["attempts"]] == ["modem", MAIN.name, BACKUP.name]


async def test_another_modem_is_tried_before_another_route(desk):
    desk.dispatcher.routes.modems_in_service(["stick", "other"])
    idle = asyncio.create_task(desk.dispatcher.claim(OTHER))
    await desk.order("a")
    job = await idle
    await desk.send(refused(Action.RETRY_OTHER), modem=OTHER, job=job)
    await nothing(desk, MAIN)
    await desk.send(refused(Action.RETRY_OTHER))
    assert [job.order.id for job in await take(desk, MAIN)] == ["a"]


async def test_what_is_wrong_with_the_message_itself_is_tried_nowhere_else(desk):
    await desk.order("a")
    await desk.send(refused(Action.FAIL, "cms_1"))
    assert desk.states("a")[-1] == "failed"
    await nothing(desk, MAIN)


async def test_what_passes_is_tried_twice_and_then_elsewhere(desk):
    await desk.order("a")
    await desk.send(refused(Action.RETRY_SAME))
    await nothing(desk, MAIN)
    await desk.send(refused(Action.RETRY_SAME))
    await send(desk, MAIN, sent())
    assert desk.states("a")[-1] == "sent"


async def test_with_the_next_route_down_the_modems_go_on(desk):
    for name in (MAIN.name, BACKUP.name):
        desk.dispatcher.routes.set_health(name, DOWN)
    await desk.order("a")
    for _ in range(FAST.max_attempts - 1):
        await desk.send(refused(Action.RETRY_SAME))
    await desk.send(sent())
    assert desk.states("a")[-1] == "sent"


async def test_an_order_for_a_modem_never_changes_the_route(desk):
    await desk.order("a", modem="stick")
    desk.dispatcher.routes.modems_in_service(())
    await nothing(desk, MAIN)
    for _ in range(FAST.max_attempts):
        await desk.send(refused(Action.RETRY_OTHER))
    assert desk.states("a")[-1] == "failed"


async def test_the_rest_of_a_half_sent_message_waits_for_its_sim(desk):
    await desk.order("a", LONG)
    await desk.send(sent(1), refused(Action.RETRY_OTHER, "port_lost"))
    desk.dispatcher.routes.modems_in_service(())
    await nothing(desk, MAIN)
    desk.dispatcher.routes.modems_in_service(["stick"])
    await desk.send(sent(2), sent(3))
    assert desk.states("a")[-1] == "sent"


async def test_unknown_holds_and_moves_only_when_asked_to(desk):
    await desk.order("hold")
    await desk.send(unknown())
    await nothing(desk, MAIN)
    await desk.order("move", on_unknown=OnUnknown.FAILOVER)
    await desk.send(unknown())
    await send(desk, MAIN, sent())
    assert (desk.states("hold")[-1], desk.states("move")[-1]) == ("unknown", "sent")


async def test_a_route_with_a_lost_connection_leaves_its_orders_unknown(desk):
    await desk.order("a", route=MAIN.name)
    (job,) = await take(desk, MAIN)
    assert await desk.dispatcher.begin_many([job]) == [True]
    desk.dispatcher.release(job)
    await asyncio.sleep(0.1)
    assert desk.states("a")[-1] == "unknown"


async def test_what_was_only_claimed_goes_back(desk):
    await desk.order("a", route=MAIN.name)
    (job,) = await take(desk, MAIN)
    await nothing(desk, MAIN)
    desk.dispatcher.release(job)
    assert [again.order.id for again in await take(desk, MAIN)] == ["a"]


async def test_a_flood_for_one_route_hides_nothing_of_another(tmp_path):
    made = routes(settings=replace(QUICK, rules=(Rule((BACKUP.name,), prefixes=("+49",)),)))
    async with house(tmp_path, made, settings=replace(FAST, window=20)) as desk:
        flood = [SendRequest(to=(f"+49151{n:08}",), text="x", id=f"f{n}", priority=9) for n in range(SCAN + 50)]
        await desk.submit(*flood)
        await desk.order("a", to=(ANNA,))
        made.set_health(BACKUP.name, DOWN)
        assert (await asyncio.wait_for(desk.dispatcher.claim(STICK), 1)).order.id == "a"


async def test_a_route_that_refuses_again_and_again_is_left_alone_then_tried(desk):
    table = desk.dispatcher.routes
    table.modems_in_service(())
    for n in range(QUICK.breaker.in_a_row):
        await desk.order(f"a{n}")
        await send(desk, MAIN, route_refuses())
    await desk.tick()
    events = [(event["event_type"], event["route"]) for event in desk.published("event")]
    assert events == [("route_down", MODEMS), ("route_down", MAIN.name)]
    assert {row["name"]: (row["state"], row["breaker"]) for row in desk.service.routes()}[MAIN.name] == ("down", "open")
    await desk.order("b")
    jobs = await take(desk, BACKUP)
    assert {job.order.id for job in jobs} == {"a0", "a1", "a2", "b"}
    await asyncio.sleep(QUICK.breaker.back_off)
    for id in ("c", "d"):
        await desk.order(id)
        await desk.order(f"{id}-2")
        assert [job.order.id for job in await take(desk, MAIN)] == [id]  # one to see, no more
        job = next(iter(desk.dispatcher._jobs.keys() - set(jobs)))
        assert await desk.dispatcher.begin_many([job]) == [True]
        jobs += await take(desk, BACKUP)
        await desk.told(desk.dispatcher.finish_many([Finished(job, 0, sent())]))
    await desk.tick()
    assert [event["event_type"] for event in desk.published("event")][-1] == "route_up"


async def test_throttling_is_no_failure_and_uses_up_no_try(desk):
    slower = SendResult(SendOutcome.NOT_SENT, error=SendError("throttled", "less", Action.RETRY_SAME, 0.01))
    await desk.order("a", route=MAIN.name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sms_bridge.core.retry.SLOWER_DELAY", 0.01)
        for _ in range(FAST.max_attempts + 2):
            await send(desk, MAIN, slower)
        await send(desk, MAIN, sent())
    assert desk.states("a")[-1] == "sent"
    assert {row["breaker"] for row in desk.service.routes()} == {"closed"}


# Batches


async def test_a_batch_is_one_commit_to_begin_and_one_to_finish(desk):
    await desk.submit(*(SendRequest(to=(ANNA,), text="x", id=str(n), route=MAIN.name) for n in range(30)))
    jobs = await take(desk, MAIN, 50)
    assert [job.order.id for job in jobs] == [str(n) for n in range(30)]
    assert all(job.parts == () and job.wanted == (0,) for job in jobs)
    commits = desk.journal.commits
    assert all(await desk.dispatcher.begin_many(jobs))
    assert desk.journal.commits == commits + 1
    (order,) = await desk.service.get("7")
    assert (order["state"], order["attempts"][0]["state"]) == ("sending", "sending")
    await desk.told(desk.dispatcher.finish_many([Finished(job, 0, sent(), f"id-{job.order.id}") for job in jobs]))
    assert desk.journal.commits == commits + 2
    assert all(desk.states(str(n)) == ["queued", "sending", "sent"] for n in range(30))
    assert desk.dispatcher.in_memory == 0


async def test_what_was_cancelled_or_expired_since_it_was_claimed_is_not_begun(desk):
    await desk.order("a", route=MAIN.name)
    await desk.order("b", route=MAIN.name, expires_in=5)
    await desk.order("c", route=MAIN.name)
    jobs = await take(desk, MAIN)
    await desk.service.cancel("a")
    desk.clock.forward(6)
    assert await desk.told(desk.dispatcher.begin_many(jobs)) == [False, False, True]
    assert [desk.states(id)[-1] for id in "abc"] == ["cancelled", "expired", "sending"]


async def test_parts_that_are_out_all_at_once_end_as_one_message(desk):
    await desk.order("a", LONG, route=MAIN.name)
    (job,) = await take(desk, MAIN)
    assert job.wanted == (0, 1, 2)
    assert await desk.told(desk.dispatcher.begin_many([job])) == [True]
    for index in (1, 2, 0):
        assert desk.states("a")[-1] == "sending"
        await desk.told(desk.dispatcher.finish_many([Finished(job, index, sent(), f"p{index}")]))
    assert desk.statuses("a")[-1]["parts_sent"] == 3
    assert desk.states("a")[-1] == "sent"


@pytest.mark.parametrize("last", [0, 1, 2])
async def test_of_parts_that_were_out_at_once_only_the_refused_one_goes_again(desk, last):
    await desk.order("a", LONG, route=MAIN.name)
    (job,) = await take(desk, MAIN)
    assert await desk.dispatcher.begin_many([job]) == [True]
    results = {index: refused(Action.RETRY_SAME) if index == 1 else sent() for index in range(3)}
    for index in [n for n in range(3) if n != last] + [last]:
        await desk.told(desk.dispatcher.finish_many([Finished(job, index, results[index])]))
    (again,) = await take(desk, MAIN)
    assert again.wanted == (1,)
    assert await desk.dispatcher.begin_many([again]) == [True]
    await desk.told(desk.dispatcher.finish_many([Finished(again, 1, sent())]))
    assert desk.states("a")[-1] == "sent"


async def test_a_lost_connection_settles_what_is_left_of_a_message_of_which_a_part_was_refused(desk):
    await desk.order("a", LONG, route=MAIN.name)
    (job,) = await take(desk, MAIN)
    assert await desk.dispatcher.begin_many([job]) == [True]
    await desk.told(desk.dispatcher.finish_many([Finished(job, 0, refused(Action.RETRY_SAME))]))
    assert desk.dispatcher.sending == 1
    desk.dispatcher.release(job)
    await asyncio.sleep(0.1)
    assert desk.dispatcher.sending == 0
    (again,) = await take(desk, MAIN)
    assert again.wanted == (0,)
    assert await desk.dispatcher.begin_many([again]) == [True]
    await desk.told(desk.dispatcher.finish_many([Finished(again, 0, sent())]))
    assert desk.states("a")[-1] == "unknown"


# Receipts


def receipt(id: str, state=ReceiptState.DELIVERED, *, to=ANNA, route=MAIN.name, at=None, desk: Desk, error=None):
    return Receipt(route, id, to, state, error, desk.clock.now() if at is None else at)


async def sent_by(desk: Desk, id: str, message_id: str, to: str = ANNA) -> None:
    await desk.order(id, to=(to,), route=MAIN.name)
    await send(desk, MAIN, sent(), id=message_id)


@pytest.mark.parametrize(
    ("given", "reported"),
    [
        ("4711", "4711"),
        ("abC1", "ABc1"),
        ("1A2B", "6699"),
        ("6699", "1a2b"),
        ("001A2B", "6699"),
        ("0000006699", "1A2B"),
    ],
)
async def test_a_receipt_finds_its_message_however_its_id_is_written(desk, given, reported):
    """domain C2.1"""
    await sent_by(desk, "a", given)
    await desk.told(desk.service.receive_receipts([receipt(reported, desk=desk)]))
    assert desk.states("a")[-1] == "delivered"


async def test_a_receipt_of_another_route_or_number_or_time_is_nobodys(desk):
    await sent_by(desk, "a", "4711")
    week = desk.clock.now() + 8 * 86_400_000
    strangers = [
        receipt("4711", route=BACKUP.name, desk=desk),
        receipt("4711", to="+36209999999", desk=desk),
        receipt("4711", at=week, desk=desk),
        receipt("4712", desk=desk),
    ]
    await desk.told(desk.service.receive_receipts(strangers))
    assert desk.states("a")[-1] == "sent"


async def test_a_receipt_that_may_be_of_either_of_two_is_of_none(desk):
    await sent_by(desk, "a", "7")
    await sent_by(desk, "b", "7")
    await desk.told(desk.service.receive_receipts([receipt("7", desk=desk)]))
    assert (desk.states("a")[-1], desk.states("b")[-1]) == ("sent", "sent")


@pytest.mark.parametrize("reported", ["6699", "1A2B"])
async def test_a_receipt_that_overtakes_its_response_is_kept(desk, reported):
    """domain C2.2"""
    await desk.order("a", route=MAIN.name)
    (job,) = await take(desk, MAIN)
    assert await desk.dispatcher.begin_many([job]) == [True]
    await desk.told(desk.service.receive_receipts([receipt(reported, desk=desk)]))
    assert desk.states("a")[-1] == "sending"
    await desk.told(desk.dispatcher.finish_many([Finished(job, 0, sent(), "1A2B")]))
    assert desk.states("a")[-2:] == ["sent", "delivered"]


async def test_repeated_and_late_receipts_change_nothing_and_bad_news_has_its_reason(desk):
    await sent_by(desk, "a", "1")
    failed = receipt("1", ReceiptState.FAILED, desk=desk, error=StatusError("undeliv", "no such subscriber"))
    await desk.told(desk.service.receive_receipts([receipt("1", ReceiptState.UNDERWAY, desk=desk), failed, failed]))
    await desk.told(desk.service.receive_receipts([receipt("1", desk=desk), failed]))
    assert desk.states("a") == ["queued", "sending", "sent", "failed"]
    assert desk.statuses("a")[-1]["error"]["text"] == "no such subscriber"


async def test_a_receipt_settles_what_was_unknown_when_it_can_be_no_other(desk):
    await desk.order("a", route=MAIN.name)
    await send(desk, MAIN, unknown())
    assert desk.states("a")[-1] == "unknown"
    await desk.told(desk.service.receive_receipts([receipt("never-seen", desk=desk)]))
    assert desk.states("a")[-1] == "delivered"


async def test_one_id_for_all_parts_settles_them_all(desk):
    await desk.order("a", LONG, route=MAIN.name)
    await send(desk, MAIN, sent(), sent(), sent(), id="whole")
    await desk.told(desk.service.receive_receipts([receipt("whole", desk=desk)]))
    assert desk.states("a")[-1] == "delivered"


# Plans


async def test_what_cannot_go_anywhere_is_rejected_with_the_reasons(tmp_path):
    made = Routes(replace(QUICK, rules=(Rule((MAIN.name,)),)))
    made.add(MAIN.name, Capabilities(max_parts=1))
    async with house(tmp_path, made, up=(MAIN.name,)) as desk:
        rejected = await desk.order("a", LONG)
        assert rejected.rejections[0].code == "no_route"
        assert "3 parts are more than the 1 it takes" in rejected.rejections[0].text
        assert isinstance(await desk.order("b"), Accepted)


async def test_an_estimate_shows_the_plan_with_its_reasons(desk):
    found = desk.service.plan(ANNA, 1)
    assert [step["route"] for step in found["routes"]] == [MODEMS, MAIN.name, BACKUP.name]
    assert all(step["reason"] for step in found["routes"])


async def test_orders_of_a_route_that_is_gone_are_planned_anew_at_the_start(tmp_path):
    async with house(tmp_path) as desk:
        await desk.order("any")
        await desk.order("pinned", route=BACKUP.name)
        await desk.order("later", send_at=desk.clock.datetime.replace(year=2027))
    made = routes("smpp:new")
    clock = desk.clock
    async with house(tmp_path, made, modems=(), up=("smpp:new",), clock=clock) as desk:
        rows = {status["id"]: status for status in desk.statuses()}
        assert rows["pinned"]["error"]["code"] == "unknown_route"
        made.modems_in_service(["stick"])
        made.modems_in_service(())
        new = ClaimantView("smpp:new", route="smpp:new")
        assert [job.order.id for job in await take(desk, new)] == ["any"]
        clock.forward(366 * 86_400)
        await desk.tick()
        assert [job.order.id for job in await take(desk, new)] == ["later"]


async def test_orders_from_before_there_was_another_route_may_take_it(tmp_path):
    async with open_desk(tmp_path) as desk:
        await desk.order("a")
    async with house(tmp_path) as desk:
        desk.dispatcher.routes.modems_in_service(())
        assert [job.order.id for job in await take(desk, MAIN)] == ["a"]


async def test_a_failed_message_goes_again_as_a_new_order_by_the_route_that_is_named(desk):
    await desk.order("a")
    await desk.send(refused(Action.FAIL))
    again, (new,) = await desk.told(desk.service.resend("a", BACKUP.name))
    assert again == 0
    await send(desk, BACKUP, sent())
    assert (desk.states("a")[-1], desk.states(new)[-1]) == ("failed", "sent")


async def test_an_unknown_message_goes_again_by_the_route_that_is_named(desk):
    await desk.order("a")
    await desk.send(unknown())
    assert await desk.service.resend("a", MAIN.name) == (1, [])
    await send(desk, MAIN, sent())
    assert desk.states("a") == ["queued", "sending", "unknown", "sent"]


async def test_without_other_routes_the_modems_are_the_one_that_may_be_named(tmp_path):
    async with open_desk(tmp_path) as desk:
        await desk.order("a", route="modems")
        await desk.send(sent())
        assert desk.states("a")[-1] == "sent"


async def test_orders_that_no_modem_may_send_today_take_the_next_route(tmp_path):
    async with house(tmp_path, limits_of=lambda modem: Limits(per_day=1)) as desk:
        await desk.order("a")
        await desk.send(sent())
        await desk.order("b")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(desk.dispatcher.claim(STICK), 0.05)
        await desk.tick()
        await send(desk, MAIN, sent())
        assert desk.statuses("b")[-1]["route"] == MAIN.name


async def test_a_limit_that_is_over_in_a_minute_is_waited_for(tmp_path):
    async with house(tmp_path, limits_of=lambda modem: Limits(per_minute=1)) as desk:
        await desk.order("a")
        await desk.send(sent())
        await desk.order("b")
        await desk.tick()
        await nothing(desk, MAIN)


async def test_a_contact_s_route_goes_first_and_the_others_stay_behind_it(tmp_path):
    book = DictContactBook({"anna": Contact(ANNA, route=BACKUP.name), "old": Contact("+36201111111", route="smpp:old")})
    async with house(tmp_path, contacts=book) as desk:
        await desk.order("a", to=("@anna",))
        await desk.order("b", to=("@anna",), route=MAIN.name)
        await desk.order("c", to=("@old",))
        assert (await send(desk, BACKUP, sent(), id="1")).order.id == "a"
        assert (await send(desk, MAIN, sent(), id="2")).order.id == "b"
        assert (await desk.send(sent())).order.id == "c"
        await desk.order("d", to=("@anna",))
        await send(desk, BACKUP, route_refuses())
        assert (await desk.send(sent())).order.id == "d"
        assert desk.states("d")[-1] == "sent"


async def test_an_estimate_knows_what_each_route_costs(tmp_path):
    costs = {BACKUP.name: {"+": 0.05, "+36": 0.02}}
    async with house(tmp_path, routes(settings=replace(QUICK, costs=costs))) as desk:
        found = desk.service.plan(ANNA, 3)
        assert {step["route"]: step["cost"] for step in found["routes"]} == {
            MODEMS: None, MAIN.name: None, BACKUP.name: 0.06,
        }  # fmt: skip
