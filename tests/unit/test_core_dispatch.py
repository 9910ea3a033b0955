"""Orders out: claims, parts, outcomes, retries, and what may never happen twice."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardware.pdu import decode
from hardware.types import Action
from sms_bridge.core import queues
from sms_bridge.core.model import ClaimantView, Finished, SendRequest
from sms_bridge.core.numbers import DictContactBook
from sms_bridge.core.queues import Queues
from sms_bridge.core.retry import Retry, decide
from sms_bridge.core.settings import CoreSettings
from sms_bridge.core.states import RANK, OnUnknown, OrderState
from sms_bridge.core.submission import prepare
from tests.support.desk import ANNA, FAST, OTHER, STICK, open_desk, refused, sent, unknown
from tests.support.examples import examples

LONG = "x" * 400  # three parts


@pytest.fixture
async def desk(tmp_path):
    async with open_desk(tmp_path) as opened:
        yield opened


async def later(seconds=0.05):
    await asyncio.sleep(seconds)


async def claim(desk, modem=STICK):
    return await asyncio.wait_for(desk.dispatcher.claim(modem), 2)


async def idle(desk, modem=STICK):
    """Nothing to do for `modem`, not even what a lane's first look would bring."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(desk.dispatcher.claim(modem), 0.1)


async def test_a_message_goes_through_its_states(desk):
    await desk.order("a")
    job = await desk.send(sent(mr=17))
    assert desk.states("a") == ["queued", "sending", "sent"]
    last = desk.statuses("a")[-1]
    assert (last["modem"], last["sim"], last["route"], last["parts_sent"]) == ("stick", "8936…42", "modem", 1)
    (pdu,) = job.parts
    submitted = decode(pdu.pdu, direction="mo")
    assert (submitted.text, submitted.number, submitted.status_report) == ("hello", ANNA, True)
    await idle(desk)


async def test_the_part_is_in_the_journal_as_sending_before_begin_returns(desk):
    await desk.order("a")
    job = await claim(desk)
    assert await desk.dispatcher.begin(job, 0)
    (status,) = await desk.service.get("a")
    assert (status["state"], status["attempts"][0]["state"]) == ("sending", "sending")


async def test_one_commit_records_the_last_part_and_begins_the_next(desk):
    await desk.order("a")
    await desk.order("b")
    first, second = await claim(desk), await claim(desk)
    assert await desk.dispatcher.begin(first, 0)
    commits = desk.journal.commits
    assert await desk.dispatcher.begin(second, 0, Finished(first, 0, sent()))
    assert desk.journal.commits == commits + 1
    await later(0)
    assert desk.states("a")[-1] == "sent"
    assert desk.states("b")[-1] == "sending"


async def test_priority_goes_first_and_equals_in_order(desk):
    for id, priority in (("a", 0), ("b", 5), ("c", 0), ("d", -5), ("e", 127)):
        await desk.order(id, priority=priority)
    assert [(await claim(desk)).order.id for _ in range(5)] == ["e", "b", "a", "c", "d"]


async def test_an_order_for_one_modem_waits_for_it(desk):
    await desk.order("a", modem="other")
    await idle(desk, STICK)
    assert (await claim(desk, OTHER)).order.id == "a"


async def test_the_modem_that_waited_longest_gets_the_order(desk):
    waits = [asyncio.create_task(desk.dispatcher.claim(modem)) for modem in (OTHER, STICK)]
    await later()
    await desk.order("a")
    await desk.order("b")
    jobs = [await asyncio.wait_for(wait, 2) for wait in waits]
    assert [(job.modem, job.order.id) for job in jobs] == [("other", "a"), ("stick", "b")]


async def test_a_cancelled_claim_loses_no_order(desk):
    wait = asyncio.create_task(desk.dispatcher.claim(STICK))
    await later()
    await desk.order("a")  # the job is the waiter's now
    wait.cancel()
    await asyncio.gather(wait, return_exceptions=True)
    if not wait.cancelled():
        desk.dispatcher.release(wait.result())
    assert (await claim(desk)).order.id == "a"


async def test_what_is_given_back_is_not_handed_round_in_a_circle(desk):
    """Two modems that look at an order and give it back, as one does that has just lost its network."""
    await desk.order("a")
    turns = Counter()

    async def worker(modem):
        while True:
            desk.dispatcher.release(await desk.dispatcher.claim(modem))
            if desk.dispatcher.try_claim(modem) is not None:
                return
            turns[modem.name] += 1

    workers = [asyncio.create_task(worker(modem)) for modem in (STICK, OTHER)]
    await asyncio.wait(workers, timeout=2, return_when=asyncio.FIRST_COMPLETED)
    for task in workers:
        task.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    assert sum(turns.values()) < 5


async def test_parts_go_in_order_on_one_sim_with_one_reference(desk):
    await desk.order("a", LONG)
    job = await desk.send(sent(1), sent(2), sent(3))
    pdus = [decode(part.pdu, direction="mo") for part in job.parts]
    assert [p.concat.seq for p in pdus] == [1, 2, 3]
    assert len({p.concat.ref for p in pdus}) == 1
    assert desk.states("a") == ["queued", "sending", "sent"]
    assert desk.statuses("a")[-1]["parts_sent"] == 3


async def test_following_messages_have_other_references(desk):
    refs = []
    for n in range(20):
        await desk.order(str(n), LONG)
        job = await desk.send(sent(), sent(), sent())
        refs.append(decode(job.parts[0].pdu, direction="mo").concat.ref)
    assert len(set(refs)) == 20


async def test_a_transient_refusal_is_tried_again_and_stays_sending(desk):
    await desk.order("a")
    await desk.send(refused(Action.RETRY_SAME, "cms_41"))
    await desk.send(sent(), job=await claim(desk))
    assert desk.states("a") == ["queued", "sending", "sending", "sent"]
    assert [s["attempt"] for s in desk.statuses("a")] == [1, 1, 2, 2]
    (status,) = await desk.service.get("a")
    assert [(a["state"], a["error"]) for a in status["attempts"]] == [("not_sent", "cms_41"), ("sent", None)]


async def test_the_modems_wish_to_wait_is_respected(tmp_path):
    async with open_desk(tmp_path) as desk:
        await desk.order("a")
        await desk.send(refused(Action.RETRY_SAME, retry_after=0.3))
        await idle(desk)
        await asyncio.sleep(0.25)
        assert (await claim(desk)).order.id == "a"


async def test_attempts_are_limited(desk):
    await desk.order("a")
    for _ in range(FAST.max_attempts):
        await desk.send(refused(Action.RETRY_SAME, "cms_41"), job=await claim(desk))
    last = desk.statuses("a")[-1]
    assert (last["state"], last["error"]) == (
        "failed",
        {"code": "cms_41", "text": "refused", "retryable": True},
    )
    await idle(desk)


@pytest.mark.parametrize("action", [Action.FAIL, Action.BUG, Action.FAIL_ROUTE, Action.TREAT_AS_SENT])
async def test_a_permanent_refusal_fails_at_once(desk, action):
    await desk.order("a")
    await desk.send(refused(action, "cms_1"))
    assert desk.states("a")[-1] == "failed"
    assert desk.statuses("a")[-1]["error"] == {"code": "cms_1", "text": "refused", "retryable": False}


async def test_what_one_modem_was_refused_another_tries(tmp_path):
    async with open_desk(tmp_path, CoreSettings(retry_base=30)) as desk:
        await desk.order("a")
        job = await claim(desk, STICK)
        wait = asyncio.create_task(desk.dispatcher.claim(OTHER))
        await later()
        await desk.send(refused(Action.RETRY_OTHER, "cms_38"), job=job)
        second = await asyncio.wait_for(wait, 2)
        assert second.modem == "other"
        await desk.send(sent(), job=second)
        assert desk.statuses("a")[-1]["modem"] == "other"


async def test_the_only_modem_tries_again_itself(desk):
    await desk.order("a")
    await desk.send(refused(Action.RETRY_OTHER, "cms_38"))
    await desk.send(sent(), job=await claim(desk))
    assert desk.states("a")[-1] == "sent"


async def test_a_barred_sim_hands_over_to_one_other_and_no_more(tmp_path):
    async with open_desk(tmp_path, CoreSettings(retry_base=30)) as desk:
        third = ClaimantView("third", "8936200000000000391")
        await desk.order("a")
        job = await claim(desk, STICK)
        waits = [asyncio.create_task(desk.dispatcher.claim(modem)) for modem in (OTHER, third)]
        await later()
        await desk.send(refused(Action.FAIL_ROUTE, "cms_8"), job=job)
        await desk.send(refused(Action.FAIL_ROUTE, "cms_8"), job=await asyncio.wait_for(waits[0], 2))
        assert desk.states("a")[-1] == "failed"
        waits[1].cancel()
        await asyncio.gather(*waits, return_exceptions=True)


async def test_an_order_whose_modem_was_lost_goes_to_another_at_once(tmp_path):
    async with open_desk(tmp_path, CoreSettings(retry_base=30)) as desk:
        await desk.order("a")
        await desk.send(refused(Action.RETRY_OTHER, "port_lost"), modem=STICK)
        assert (await claim(desk, OTHER)).order.id == "a"


def decided(error, *, attempt=1, failures=0, excluded="", others=True, bound=False):
    request = SendRequest(to=(ANNA,), text="x", id="a")
    (order,) = prepare(request, 0, CoreSettings(), DictContactBook(), lambda name: True).orders
    order.attempt, order.failures, order.excluded = attempt, failures, excluded
    result = refused(*error) if error else None
    return decide(order, result.error if result else None, CoreSettings(), modem="stick", others=others, bound=bound)


@pytest.mark.parametrize(
    ("error", "state", "expected"),
    [
        ((Action.RETRY_SAME, "cms_41"), {}, Retry(5, False, True)),
        ((Action.RETRY_SAME, "cms_41", 10), {}, Retry(10, False, True)),
        ((Action.RETRY_SAME, "cms_41", 1), {"failures": 2}, Retry(20, False, True)),
        ((Action.RETRY_SAME, "cms_41"), {"failures": 4}, None),
        ((Action.RETRY_OTHER, "cms_38", 300), {}, Retry(300, True, True)),
        ((Action.RETRY_OTHER, "cms_38", 300), {"others": False}, Retry(300, False, True)),
        ((Action.RETRY_OTHER, "cms_38", 300), {"bound": True}, Retry(300, False, True)),
        ((Action.SIM_PIN, "cms_311"), {}, Retry(5, True, True)),
        ((Action.UNKNOWN, "cms_500"), {}, Retry(5, False, True)),  # before the prompt: surely not sent
        ((Action.FAIL_ROUTE, "cms_8"), {}, Retry(5, True, True)),
        ((Action.FAIL_ROUTE, "cms_8"), {"excluded": "other"}, None),
        ((Action.FAIL_ROUTE, "cms_8"), {"others": False}, None),
        ((Action.FAIL_ROUTE, "cms_8"), {"bound": True}, None),
        ((Action.FAIL, "cms_1"), {}, None),
        ((Action.BUG, "cms_304"), {}, None),
        ((Action.RETRY_OTHER, "port_lost"), {}, Retry(1, True, False)),
        ((Action.RETRY_OTHER, "port_lost"), {"attempt": 5, "failures": 4}, Retry(16, True, False)),
        ((Action.RETRY_OTHER, "port_lost"), {"attempt": 50, "bound": True}, Retry(60, False, False)),
        ((Action.RETRY_OTHER, "port_lost"), {"attempt": 200}, None),
        (None, {}, Retry(5, False, True)),
    ],
)
def test_what_follows_from_a_refusal(error, state, expected):
    assert decided(error, **state) == expected


async def test_a_failure_before_the_prompt_is_an_attempt_like_any_other(desk):
    await desk.order("a")
    job = await claim(desk)
    await desk.told(desk.dispatcher.finish(Finished(job, 0, refused(Action.RETRY_SAME, "prompt_timeout"))))
    (status,) = await desk.service.get("a")
    assert [(a["state"], a["error"]) for a in status["attempts"]] == [("not_sent", "prompt_timeout")]
    await desk.send(sent(), job=await claim(desk))
    assert desk.states("a")[-1] == "sent"


async def test_what_may_have_been_sent_is_unknown_and_never_repeated(desk):
    await desk.order("a")
    await desk.send(unknown("timeout"))
    last = desk.statuses("a")[-1]
    assert (last["state"], last["error"]["code"]) == ("unknown", "timeout")
    await idle(desk)


async def test_a_late_result_resolves_the_unknown(desk):
    await desk.order("a")
    job = await desk.send(unknown())
    await desk.told(desk.dispatcher.finish(Finished(job, 0, sent(9))))
    assert desk.states("a") == ["queued", "sending", "unknown", "sent"]


async def test_a_late_result_during_a_further_part_does_not_end_the_message(desk):
    await desk.order("a", LONG)
    job = await claim(desk)
    assert await desk.dispatcher.begin(job, 0)
    assert await desk.dispatcher.begin(job, 1, Finished(job, 0, unknown()))
    assert await desk.dispatcher.begin(job, 2, Finished(job, 1, sent(2)))
    await desk.told(desk.dispatcher.finish(Finished(job, 0, sent(1))))
    assert desk.states("a")[-1] == "sending"
    await desk.told(desk.dispatcher.finish(Finished(job, 2, sent(3))))
    assert desk.states("a")[-1] == "sent"


async def test_the_rest_of_a_message_follows_an_unknown_part(desk):
    await desk.order("a", LONG)
    await desk.send(sent(1), unknown(), sent(3))
    last = desk.statuses("a")[-1]
    assert (last["state"], last["parts_sent"]) == ("unknown", 2)


async def test_a_half_sent_message_is_finished_by_its_sim_alone_and_first(desk):
    await desk.order("a", LONG)
    await desk.order("b", priority=100)
    job = await claim(desk)
    assert job.order.id == "b"
    await desk.send(sent(), job=job)
    await desk.send(sent(1), refused(Action.RETRY_OTHER, "cms_331"), job=await claim(desk))
    await desk.order("c", priority=100)
    await later()
    assert (await claim(desk, OTHER)).order.id == "c"
    await idle(desk, OTHER)
    moved = ClaimantView("newname", STICK.iccid)
    job = await claim(desk, moved)
    assert [part.index for part in job.parts] == [1, 2]
    assert decode(job.parts[0].pdu, direction="mo").concat.seq == 2
    await desk.send(sent(2), sent(3), job=job)
    assert desk.states("a")[-1] == "sent"


async def test_a_sim_that_does_not_come_back_ends_the_message(desk):
    await desk.order("a", LONG)
    await desk.send(sent(1), refused(Action.RETRY_OTHER, "port_lost"))
    desk.clock.forward(FAST.bound_wait + 60)
    await desk.tick()
    last = desk.statuses("a")[-1]
    assert (last["state"], last["error"]["code"], last["parts_sent"]) == ("failed", "incomplete", 1)
    await idle(desk)


async def test_a_message_with_an_unknown_part_whose_sim_is_gone_is_unknown(desk):
    await desk.order("a", LONG)
    await desk.send(unknown(), refused(Action.RETRY_OTHER, "port_lost"))
    desk.clock.forward(FAST.bound_wait + 60)
    await desk.tick()
    assert desk.states("a")[-1] == "unknown"


async def test_resend_sends_the_unknown_part_again_marked_for_the_network(desk):
    await desk.order("a", LONG, on_unknown=OnUnknown.RESEND)
    first = await desk.send(sent(1), unknown(), sent(3))
    again = await claim(desk)
    assert [part.index for part in again.parts] == [1]
    pdus = [decode(job.parts[i].pdu, direction="mo") for job, i in ((first, 1), (again, 0))]
    assert [p.reject_duplicates for p in pdus] == [False, True]
    assert pdus[0].concat == pdus[1].concat
    await desk.send(sent(2), job=again)
    assert desk.states("a") == ["queued", "sending", "sending", "sent"]


async def test_a_refused_duplicate_means_that_the_first_arrived(desk):
    await desk.order("a", on_unknown=OnUnknown.RESEND)
    await desk.send(unknown())
    await desk.send(refused(Action.TREAT_AS_SENT, "cms_197"), job=await claim(desk))
    assert desk.states("a")[-1] == "sent"


async def test_resending_ends(desk):
    await desk.order("a", on_unknown=OnUnknown.RESEND)
    for _ in range(FAST.max_attempts):
        await desk.send(unknown(), job=await claim(desk))
    assert desk.states("a")[-1] == "unknown"
    await idle(desk)


async def test_failover_starts_the_whole_message_anew_elsewhere(desk):
    await desk.order("a", LONG, on_unknown=OnUnknown.FAILOVER)
    job = await claim(desk, STICK)
    wait = asyncio.create_task(desk.dispatcher.claim(OTHER))
    await later()
    await desk.send(sent(1), unknown(), sent(3), job=job)
    again = await asyncio.wait_for(wait, 2)
    assert [part.index for part in again.parts] == [0, 1, 2]
    refs = {decode(j.parts[0].pdu, direction="mo").concat.ref for j in (job, again)}
    assert len(refs) == 2
    await desk.send(sent(1), sent(2), sent(3), job=again)
    assert desk.states("a")[-1] == "sent"
    assert "unknown" not in desk.states("a")


async def test_failover_that_is_refused_leaves_the_message_unknown(desk):
    await desk.order("a", on_unknown=OnUnknown.FAILOVER)
    job = await claim(desk, STICK)
    wait = asyncio.create_task(desk.dispatcher.claim(OTHER))
    await later()
    await desk.send(unknown(), job=job)
    await desk.send(refused(Action.FAIL), job=await asyncio.wait_for(wait, 2))
    assert desk.states("a")[-1] == "unknown"  # the first try may have arrived all the same


async def test_failover_with_nobody_to_fail_over_to_holds(desk):
    await desk.order("a", on_unknown=OnUnknown.FAILOVER)
    await desk.send(unknown())
    assert desk.states("a")[-1] == "unknown"


async def test_a_person_may_send_an_unknown_message_again(desk):
    await desk.order("a")
    await desk.send(unknown())
    assert await desk.service.resend("a") == (1, [])
    await desk.send(sent(), job=await claim(desk))
    assert desk.states("a") == ["queued", "sending", "unknown", "sent"]
    assert await desk.service.resend("a") == (0, [])


async def test_a_late_result_while_the_second_try_is_under_way(desk):
    await desk.order("a", LONG)
    first = await desk.send(sent(1), sent(2), unknown())
    await desk.service.resend("a")
    second = await claim(desk)
    assert await desk.dispatcher.begin(second, 0)
    await desk.told(desk.dispatcher.finish(Finished(first, 2, sent(3))))
    assert await desk.dispatcher.begin(second, 1, Finished(second, 0, sent(4)))
    assert await desk.dispatcher.begin(second, 2, Finished(second, 1, sent(5)))
    await desk.told(desk.dispatcher.finish(Finished(second, 2, unknown())))
    assert desk.states("a")[-1] == "sent"  # the first try was complete


async def test_a_late_result_while_the_second_try_waits_makes_it_needless(desk):
    await desk.order("a")
    first = await desk.send(unknown())
    await desk.service.resend("a")
    await desk.told(desk.dispatcher.finish(Finished(first, 0, sent(3))))
    assert desk.states("a")[-1] == "sent"
    await idle(desk)


async def test_a_late_result_that_leaves_doubt_leaves_the_second_try_in_the_queue(desk):
    await desk.order("a", LONG)
    first = await desk.send(unknown(), sent(2), unknown())
    await desk.service.resend("a")
    await desk.told(desk.dispatcher.finish(Finished(first, 0, sent(1))))
    assert len((await claim(desk)).parts) == 3


async def test_a_persons_second_try_that_fails_leaves_it_unknown(desk):
    await desk.order("a")
    await desk.send(unknown())
    await desk.service.resend("a")
    await desk.send(refused(Action.FAIL), job=await claim(desk))
    assert desk.states("a")[-1] == "unknown"
    await idle(desk)


async def test_cancel_stops_what_was_not_begun(desk):
    await desk.order("a", to=(ANNA, "+36209999999"))
    await desk.send(sent())
    statuses, cancelled = await desk.told(desk.service.cancel("a"))
    assert sorted(s["state"] for s in statuses) == ["cancelled", "sent"]
    assert cancelled == 1
    assert desk.statuses("a")[-1]["state"] == "cancelled"
    await idle(desk)
    again, cancelled = await desk.service.cancel("a")
    assert (sorted(s["state"] for s in again), cancelled) == (["cancelled", "sent"], 0)
    assert await desk.service.cancel("nobody") == ([], 0)


async def test_cancel_reaches_an_order_that_a_modem_has_claimed(desk):
    await desk.order("a")
    job = await claim(desk)
    await desk.service.cancel("a")
    assert not await desk.dispatcher.begin(job, 0)
    assert desk.dispatcher.sending == 0


async def test_cancel_does_not_reach_what_may_have_been_sent(desk):
    await desk.order("a", LONG)
    await desk.send(sent(1), refused(Action.RETRY_SAME))
    await desk.service.cancel("a")
    await desk.send(sent(2), sent(3), job=await claim(desk))
    assert desk.states("a")[-1] == "sent"


async def test_an_order_claimed_before_its_deadline_is_not_begun_after_it(desk):
    await desk.order("a", deadline=desk.clock.datetime + timedelta(seconds=5))
    job = await claim(desk)
    desk.clock.forward(6)
    assert not await desk.told(desk.dispatcher.begin(job, 0))
    assert desk.states("a") == ["queued", "expired"]


async def test_the_previous_outcome_is_recorded_even_when_the_next_part_may_not_be_written(desk):
    await desk.order("a")
    await desk.order("b")
    first, second = await claim(desk), await claim(desk)
    assert await desk.dispatcher.begin(first, 0)
    await desk.service.cancel("b")
    assert not await desk.told(desk.dispatcher.begin(second, 0, Finished(first, 0, sent())))
    assert desk.states("a")[-1] == "sent"


async def test_a_message_half_sent_at_its_deadline_is_finished(desk):
    await desk.order("a", LONG, deadline=desk.clock.datetime + timedelta(seconds=5))
    job = await claim(desk)
    assert await desk.dispatcher.begin(job, 0)
    desk.clock.forward(6)
    assert await desk.dispatcher.begin(job, 1, Finished(job, 0, sent()))


async def test_the_network_may_not_deliver_after_the_deadline_either(desk):
    await desk.order("a", deadline=desk.clock.datetime + timedelta(minutes=30), validity=86_400)
    await desk.order("b", validity=3600)
    await desk.order("c")
    found = [decode((await claim(desk)).parts[0].pdu, direction="mo").validity for _ in range(3)]
    assert [v.seconds for v in found] == [1800, 3600, None]


async def test_a_part_is_begun_once_only(desk):
    await desk.order("a")
    job = await claim(desk)
    assert await desk.dispatcher.begin(job, 0)
    assert not await desk.dispatcher.begin(job, 0)
    await later()
    # The job was given up by that: what was begun may have been written.
    assert desk.states("a")[-1] == "unknown"


async def test_a_worker_that_leaves_midway_leaves_the_rest_to_its_sim(desk):
    await desk.order("a", LONG)
    job = await claim(desk)
    assert await desk.dispatcher.begin(job, 0)
    await desk.dispatcher.finish(Finished(job, 0, sent(1)))
    desk.dispatcher.release(job)
    job = await claim(desk)
    assert [part.index for part in job.parts] == [1, 2]


async def test_a_restart_takes_up_what_was_left(tmp_path):
    async with open_desk(tmp_path) as desk:
        for id in ("claimed", "sending", "half", "ready"):
            await desk.order(id, LONG if id == "half" else "x")
        claimed, sending, half = [await claim(desk) for _ in range(3)]
        assert claimed.order.id == "claimed"
        assert await desk.dispatcher.begin(sending, 0)
        assert await desk.dispatcher.begin(half, 0)
        await desk.dispatcher.finish(Finished(half, 0, sent(1)))
        clock = desk.clock
    async with open_desk(tmp_path, clock=clock) as desk:
        await later(0)
        assert desk.states("sending") == ["unknown"]
        assert desk.statuses("sending")[0]["error"]["code"] == "restart"
        assert desk.published("event")[0]["event_type"] == "recovery"
        jobs = {}
        for _ in range(3):
            job = await claim(desk)
            jobs[job.order.id] = [part.index for part in job.parts]
        assert jobs == {"half": [1, 2], "claimed": [0], "ready": [0]}
        await idle(desk)


async def test_more_orders_than_the_window_are_all_sent_in_order(tmp_path):
    async with open_desk(tmp_path, CoreSettings(window=10)) as desk:
        ids = [f"{n:03}" for n in range(100)]
        for id in ids[:50]:
            await desk.order(id)
        sent_ids = [(await desk.send(sent(), job=await claim(desk))).order.id for _ in range(20)]
        for id in ids[50:]:
            await desk.order(id)
        await desk.order("urgent", priority=9)
        sent_ids += [(await desk.send(sent(), job=await claim(desk))).order.id for _ in range(81)]
        assert sent_ids == [*ids[:20], "urgent", *ids[20:]]
        assert desk.dispatcher.in_memory == 0
        await idle(desk)


async def test_orders_for_an_absent_modem_do_not_bar_the_way(tmp_path):
    async with open_desk(tmp_path, CoreSettings(window=10)) as desk:
        for n in range(60):
            await desk.order(f"for-absent-{n}", modem="absent", priority=100)
        await desk.order("a")
        assert (await claim(desk)).order.id == "a"
        assert desk.dispatcher.in_memory < 40


async def test_stop_leaves_no_task_behind(tmp_path):
    before = asyncio.all_tasks()
    async with open_desk(tmp_path) as desk:
        wait = asyncio.create_task(desk.dispatcher.claim(STICK))
        await desk.order("a", modem="other")
        await later()
    await asyncio.gather(wait, return_exceptions=True)
    gc.collect()
    assert asyncio.all_tasks() == before


async def test_a_modems_queue_is_what_only_it_may_send_and_what_it_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(queues, "REST", 0)
    async with open_desk(tmp_path, CoreSettings(window=4)) as desk:
        counted = Queues(desk.journal, desk.dispatcher)
        await desk.order("long", LONG)
        await desk.send(sent(1), refused(Action.RETRY_SAME), modem=OTHER)  # its rest waits for that SIM
        for n in range(20):
            await desk.order(f"common {n}")
            await desk.order(f"bound {n}", modem="absent")
        job = await claim(desk)
        await counted.look()
        absent = ClaimantView("absent", "8936200000000000999")
        assert [counted.of(view) for view in (STICK, OTHER, absent)] == [1, 1, 20]
        assert counted.total == 41  # also what is not in memory
        await desk.send(sent(), job=job)
        await counted.look()
        assert (counted.of(STICK), counted.total) == (0, 40)


outcomes = st.one_of(
    st.builds(sent, st.integers(0, 255)),
    st.builds(refused, st.sampled_from(list(Action)), st.sampled_from(["cms_41", "port_lost", "cms_1"])),
    st.builds(unknown),
)


@settings(
    max_examples=examples(60, nightly=5_000), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    orders=st.lists(
        st.tuples(st.sampled_from(["x", LONG]), st.sampled_from(list(OnUnknown)), st.integers(-2, 2)),
        min_size=1,
        max_size=5,
    ),
    script=st.lists(st.tuples(outcomes, st.booleans()), max_size=30),
    restart=st.integers(0, 30),
)
def test_whatever_the_modems_answer_the_promises_hold(tmp_path_factory, orders, script, restart):
    asyncio.run(_play(tmp_path_factory.mktemp("play"), orders, script, restart))


async def _play(directory, orders, script, restart):
    """Play a script of outcomes on two modems with a restart in between; check each order's history after it."""
    ledger: Counter[tuple[str, int]] = Counter()  # what may have been sent, as a network would count it
    rows = []
    steps = list(script)
    clock = None
    for phase in range(2):
        quick = CoreSettings(retry_base=0.0, retry_cap=0.0)
        async with open_desk(directory, quick, clock) as desk:
            clock = desk.clock
            if phase == 0:
                for n, (text, on_unknown, priority) in enumerate(orders):
                    await desk.order(str(n), text, on_unknown=on_unknown, priority=priority)
            stop_at = restart if phase == 0 else None
            while steps and (stop_at is None or len(script) - len(steps) < stop_at):
                result, which = steps.pop(0)
                modem = OTHER if which else STICK
                job = desk.dispatcher.try_claim(modem)
                if job is None:
                    await asyncio.sleep(0.002)
                    continue
                finished = None
                part = job.after(None)
                while part is not None:
                    if not await desk.dispatcher.begin(job, part.index, finished):
                        finished = None
                        break
                    if result.outcome != "not_sent":
                        ledger[job.order.id, part.index] += 1
                    finished = Finished(job, part.index, result)
                    part = job.after(finished)
                    if part is not None and steps:
                        result = steps.pop(0)[0]
                if finished is not None:
                    await desk.dispatcher.finish(finished)
            await desk.told(asyncio.sleep(0.001))
            rows += desk.statuses()
    for n, (_, on_unknown, _) in enumerate(orders):
        states = [OrderState(row["state"]) for row in rows if row["id"] == str(n)]
        ranks = [RANK[state] for state in states]
        assert ranks == sorted(ranks), states
        assert states[0] is OrderState.QUEUED
        if on_unknown is OnUnknown.HOLD:
            assert all(count <= 1 for (id, _), count in ledger.items() if id == str(n))
        if states[-1] in (OrderState.FAILED, OrderState.EXPIRED) and orders[n][0] == "x":
            assert not any(count for (id, _), count in ledger.items() if id == str(n))


async def test_the_outcome_of_a_part_that_comes_after_its_order_was_settled_does_not_lose_the_rest(desk):
    await desk.order("long", text=LONG)
    job = await claim(desk)
    assert await desk.dispatcher.begin(job, 0)
    await desk.order("next")
    following = await claim(desk)
    desk.dispatcher.release(job)  # the modem went before the second part
    await later()
    assert await desk.dispatcher.begin(following, 0, Finished(job, 0, sent(7)))
    await desk.dispatcher.finish(Finished(following, 0, sent(8)))
    rest = await claim(desk)
    assert (rest.order.id, [part.index for part in rest.parts]) == ("long", [1, 2])


async def test_a_barred_modem_does_not_use_up_the_attempts_of_what_another_one_could_send(tmp_path):
    async with open_desk(tmp_path, CoreSettings(retry_base=0.01, retry_cap=0.02, max_attempts=3)) as desk:
        await desk.order("a")
        good = asyncio.create_task(desk.dispatcher.claim(ClaimantView("third", "8936200000000000333")))
        busy = await asyncio.wait_for(good, 2)  # the good modem is at work on something else
        await desk.order("b")
        for _ in range(6):
            job = await claim(desk)
            assert job.order.id == "b"
            assert await desk.dispatcher.begin(job, 0)
            await desk.told(desk.dispatcher.finish(Finished(job, 0, refused(Action.FAIL_ROUTE, "cms_8"))))
            await later()
        assert desk.states("b")[-1] == "sending"
        desk.dispatcher.release(busy)
        await desk.send(sent(1), modem=OTHER)
        await desk.send(sent(2), modem=OTHER)
        assert {desk.states("a")[-1], desk.states("b")[-1]} == {"sent"}


async def test_orders_that_wait_for_a_second_try_do_not_hide_the_others(tmp_path):
    async with open_desk(tmp_path, CoreSettings(retry_base=60.0)) as desk:
        await desk.submit(*[SendRequest(id=f"o{i}", text="hi", to=(f"+3630{i:07d}",)) for i in range(260)])
        for _ in range(250):
            await desk.send(refused(Action.RETRY_SAME))
        assert (await claim(desk)).order.id == "o250"
