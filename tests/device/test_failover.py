"""Sticks are pulled with orders waiting: these leave by another stick, then by another route, each once."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

from hardware.types import ModemState, SendOutcome, SendResult
from sms_bridge.core.model import SendRequest
from sms_bridge.core.routes import Routes
from sms_bridge.core.routing import RoutingSettings
from tests.support.house_rig import House, house
from tests.support.paper_route import PaperRoute

ORDERS = 40
AT_MOST = 2.0  # s from a modem's death to the next message by another route
SENT = SendResult(SendOutcome.SENT)


async def until_ready(it: House, path: str) -> None:
    await it.until(lambda: it.state_in(path) is ModemState.READY)


def texts(n: int) -> list[SendRequest]:
    return [SendRequest(id=f"a{i}", to=(f"+3630{1000000 + i}",), text=f"alarm {i}") for i in range(n)]


@pytest.mark.parametrize("both", [False, True], ids=["one stick", "both sticks"])
async def test_what_waits_for_a_stick_that_is_pulled_leaves_another_way_within_two_seconds(tmp_path, both):
    routes = Routes(RoutingSettings(back_after=1.0))
    routes.add("smpp:paper")
    async with house(tmp_path, latency=0.05, routes=routes) as it:
        left: list[tuple[float, str]] = []

        def answer(job, _index):
            left.append((time.monotonic(), job.order.text))
            return SENT

        paper = PaperRoute("smpp:paper", it.dispatcher, answer)
        paper.start()
        plugs = ("1-1.1", "1-1.2")
        for index, plug in enumerate(plugs):
            it.sticks.put(index, plug)
            await until_ready(it, plug)
        await it.service.submit(texts(ORDERS))
        await it.until(lambda: len(it.accepted()) >= 4)
        before = len(it.accepted())
        for plug in plugs if both else plugs[:1]:
            it.sticks.pull(plug)
        pulled = time.monotonic()
        await it.until(lambda: len(left) if both else len(it.accepted()) > before + 1, AT_MOST)
        await it.until(lambda: len(it.states) == ORDERS and set(it.states.values()) <= {"sent", "delivered", "unknown"})
        await paper.stop(1.0)
        went = Counter(it.accepted()) + Counter(text for _, text in left)
        unknown = {id for id, state in it.states.items() if state == "unknown"}
        assert max(went.values()) == 1
        assert {f"alarm {id[1:]}" for id in it.states.keys() - unknown} <= went.keys()
        assert len(unknown) <= 2  # what was on its way in a stick
        assert bool(left) is both
        if both:
            assert left[0][0] - pulled < AT_MOST


async def test_a_stick_that_comes_back_takes_what_is_its_own_again(tmp_path):
    routes = Routes(RoutingSettings(settle=0.0, back_after=0.2))
    routes.add("smpp:paper")
    async with house(tmp_path, ["ec25"], routes=routes) as it:
        paper = PaperRoute("smpp:paper", it.dispatcher, lambda job, index: SENT)
        paper.start()
        (first, second) = texts(2)
        await it.service.submit([first])
        await it.until(lambda: it.states.get("a0") in ("sent", "delivered"))
        assert it.accepted() == []
        it.sticks.put(0, "1-1.1")
        await until_ready(it, "1-1.1")
        await asyncio.sleep(0.3)
        await it.service.submit([second])
        await it.until(lambda: it.states.get("a1") in ("sent", "delivered"))
        assert it.accepted() == [second.text]
        await paper.stop(1.0)
