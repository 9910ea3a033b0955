"""How much is too much: duplicates, loops, budgets; what a restart remembers, and what never counts."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from sms_bridge.core.guarding import Guard
from sms_bridge.core.guards import GuardSettings, Rate
from sms_bridge.core.model import Accepted, Rejected, SendRequest
from sms_bridge.core.numbers import DictContactBook
from sms_bridge.core.people import Contact
from sms_bridge.store.late import late_orders
from tests.support.desk import ANNA, STICK, ManualClock, deliver, open_desk

BELA = "+36209876543"


@asynccontextmanager
async def opened(path, clock=None, contacts=None, prices=None, **settings):
    clock = clock or ManualClock()
    book = DictContactBook(contacts or {}, {}, "HU")
    guard = Guard(
        GuardSettings(**settings),
        book,
        monotonic=clock.monotonic,
        price_of=lambda number: (prices or {}).get(number[:5]),
    )
    async with open_desk(path, clock=clock, contacts=book, guard=guard) as desk:
        guard.restore(await late_orders(desk.journal, clock.now()))
        desk.guard = guard
        yield desk


def codes(result) -> list[str]:
    return [rejection.code for rejection in result.rejections]


async def test_one_text_to_one_number_goes_so_often_and_no_more(tmp_path):
    async with opened(tmp_path, duplicates=Rate(2, 60.0)) as desk:
        for n in range(2):
            assert isinstance(await desk.order(f"a{n}"), Accepted)
        result = await desk.order("a2")
        assert codes(result) == ["duplicate_text"]
        assert "guards: duplicates" in result.rejections[0].text
        assert desk.statuses("a2")[0]["error"]["retryable"] is True
        assert isinstance(await desk.order("b", "another text"), Accepted)
        assert isinstance(await desk.order("c", to=(BELA,)), Accepted)
        assert "rejected lately" in desk.guard.warnings()[0]
        desk.clock.forward(61)
        assert isinstance(await desk.order("d"), Accepted)
        desk.clock.forward(600)
        assert not desk.guard.warnings()


async def test_the_same_order_again_is_no_second_one_whatever_the_brake_says(tmp_path):
    async with opened(tmp_path, duplicates=Rate(1, 60.0)) as desk:
        await desk.order("a")
        again = await desk.order("a")
        assert (again, desk.states("a")) == (Accepted("a", 0, repeated=True, state=again.state), ["queued", "queued"])
        delivered = [SendRequest(to=(BELA,), text="x", delivery_key="k", redelivered=again) for again in (False, True)]
        first, second = [(await desk.submit(request))[0] for request in delivered]
        assert (second.id, second.repeated, second.rejections) == (first.id, True, [])


async def test_a_batch_and_a_list_of_recipients_are_counted_one_by_one(tmp_path):
    async with opened(tmp_path, duplicates=Rate(3, 60.0), messages=Rate(5, 60.0)) as desk:
        results = await desk.submit(*(SendRequest(to=(ANNA,), text="x") for _ in range(10)))
        assert [isinstance(result, Accepted) for result in results] == [True] * 3 + [False] * 7
        result = await desk.order("list", to=tuple(f"+3630765432{n}" for n in range(9)))
        assert (result.orders, set(codes(result))) == (2, {"budget"})


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"messages": Rate(3, 3600.0)}, "budget"),
        ({"parts": Rate(7, 3600.0)}, "budget"),
        ({"per_recipient": Rate(3, 3600.0)}, "recipient_limit"),
        ({"contacts": {"anna": Contact(ANNA, per_day=3)}}, "recipient_limit"),
    ],
)
async def test_budgets_end_and_come_back_and_a_restart_changes_nothing(tmp_path, settings, code):
    clock = ManualClock()
    for n in range(3):  # of two parts each
        async with opened(tmp_path, clock, **settings) as desk:
            assert isinstance(await desk.order(f"a{n}", f"{n}" * 200), Accepted)
    async with opened(tmp_path, clock, **settings) as desk:
        result = await desk.order("b", "y" * 200)
        assert codes(result) == [code]
        assert desk.dispatcher.try_claim(STICK) is None or desk.states("b") == ["rejected"]
        clock.forward(86_400 if "contacts" in settings else 3600 + 60)
        assert isinstance(await desk.order("b", "y" * 200), Accepted)


async def test_a_jump_of_the_clock_neither_opens_nor_closes_a_brake(tmp_path):
    async with opened(tmp_path, duplicates=Rate(1, 3600.0)) as desk:
        await desk.order("a")
        for days in (400, -800):
            desk.clock.adopt(days * 86_400_000)
            assert codes(await desk.order(f"b{days}")) == ["duplicate_text"]
        desk.clock.forward(3601)
        assert isinstance(await desk.order("c"), Accepted)


async def test_two_machines_that_answer_each_other_stop_after_five(tmp_path):
    """Domain E8.6, G15."""
    async with opened(tmp_path) as desk:
        for n in range(5):
            await desk.receive(*deliver(f"I am away {n}"), first=n + 1)
            desk.clock.forward(10)
            assert isinstance(await desk.order(f"a{n}", f"so am I {n}"), Accepted)
        await desk.receive(*deliver("I am away 5"), first=9)
        result = await desk.order("a5", "so am I 5")
        assert isinstance(result, Rejected)
        assert codes(result) == ["loop"]
        assert isinstance(await desk.order("b", to=(BELA,)), Accepted)
        desk.clock.forward(61)  # who has not written just now is not answered, but written to
        assert isinstance(await desk.order("c", "fire"), Accepted)


async def test_urgent_orders_and_those_of_the_bridge_itself_are_never_too_many(tmp_path):
    async with opened(tmp_path, duplicates=Rate(1, 60.0), messages=Rate(1, 60.0), urgent=100) as desk:
        for n in range(3):
            assert isinstance(await desk.order(f"a{n}", priority=100), Accepted)
            assert isinstance(await desk.order(f"s{n}", source="self_test"), Accepted)
        assert codes(await desk.order("b", "other", to=(BELA,))) == ["budget"]  # they count all the same


async def test_a_budget_of_money_counts_what_has_a_price(tmp_path):
    clock = ManualClock()
    for n in range(2):
        async with opened(tmp_path, clock, prices={"+3630": 2.5}, money=Rate(10, 3600.0)) as desk:
            assert isinstance(await desk.order(f"a{n}", f"{n}" * 200), Accepted)  # two parts, 5 each time
            assert isinstance(await desk.order(f"free{n}", "x", to=(BELA,)), Accepted)
    async with opened(tmp_path, clock, prices={"+3630": 2.5}, money=Rate(10, 3600.0)) as desk:
        assert codes(await desk.order("b")) == ["budget"]
        assert isinstance(await desk.order("c", to=(BELA,)), Accepted)
        clock.forward(3660)
        assert isinstance(await desk.order("b"), Accepted)
