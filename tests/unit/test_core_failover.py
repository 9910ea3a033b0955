"""A thousand forced failures over modems and routes that come and go: nothing lost, nothing doubled."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from dataclasses import replace

from hardware.types import Action, SendError, SendOutcome, SendResult
from sms_bridge.core.breaker import BreakerSettings
from sms_bridge.core.clock import SystemClock
from sms_bridge.core.model import ClaimantView, Finished, OutboxKind, OutboxRow, SendRequest
from sms_bridge.core.routes import Routes
from sms_bridge.core.routing import RouteHealth, RoutingSettings
from sms_bridge.core.states import RANK, OrderState
from tests.support.desk import FAST, Desk, open_desk
from tests.support.paper_route import PaperRoute

FAILURES = 1000
ORDERS = 700
BATCH = 50
STICKS = [ClaimantView(f"stick-{n}", f"893620000000000{n:04}") for n in (1, 2)]
ACTIONS = [Action.RETRY_SAME, Action.RETRY_OTHER, Action.FAIL_ROUTE, Action.SIM_FAULT, Action.MODEM_RESET]
FINAL = ["sent"], ["failed"], ["unknown"]


class Network:
    """What really left, and the answers that came of it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.ledger: Counter[tuple[str, int]] = Counter()
        self.failures = 0

    def take(self, id: str, part: int) -> SendResult:
        chance = self.random.random()
        if chance < 0.6:
            self.failures += 1
            action = self.random.choice(ACTIONS)
            return SendResult(SendOutcome.NOT_SENT, error=SendError(f"cms_{len(action)}", "refused", action))
        if chance < 0.7:
            if self.random.random() < 0.5:  # nobody can tell
                self.ledger[id, part] += 1
            return SendResult(SendOutcome.UNKNOWN, error=SendError("timeout", "no result", Action.UNKNOWN))
        self.ledger[id, part] += 1
        return SendResult(SendOutcome.SENT, mr=self.random.randrange(256))


def note(told: dict[str, list[str]], rows: list[OutboxRow]) -> None:
    for row in rows:
        if row.kind == OutboxKind.STATUS:
            status = json.loads(row.payload)
            told[status["id"]].append(status["state"])


async def modem(desk: Desk, view: ClaimantView, network: Network) -> None:
    finished: Finished | None = None
    while True:
        job = desk.dispatcher.try_claim(view)
        if job is None:
            if finished is not None:
                await desk.dispatcher.finish(finished)
                finished = None
            job = await desk.dispatcher.claim(view)
        part = job.after(None)
        while part is not None:
            if not await desk.dispatcher.begin(job, part.index, finished):
                finished = None
                break
            finished = Finished(job, part.index, network.take(job.order.id, part.index))
            part = job.after(finished)


async def weather(desk: Desk, network: Network) -> None:
    """Modems and accounts come and go."""
    routes = desk.dispatcher.routes
    while True:
        working = [stick.name for stick in STICKS if network.random.random() < 0.7]
        routes.modems_in_service(working)
        for name in ("smpp:a", "smpp:b"):
            routes.set_health(name, RouteHealth(network.random.random() < 0.8))
        desk.dispatcher.look_again()
        await asyncio.sleep(0.005)


async def test_a_thousand_forced_failures_double_nothing(tmp_path):
    settings = RoutingSettings(settle=0.0, back_after=0.005, breaker=BreakerSettings(back_off=0.002, cap=0.01))
    routes, network = Routes(settings), Network(1)
    for name in ("smpp:a", "smpp:b"):
        routes.add(name)
    core = replace(FAST, retry_base=0.001, retry_cap=0.002, bound_wait=60.0)
    async with open_desk(tmp_path, core, SystemClock(), routes=routes) as desk:
        told: dict[str, list[str]] = {f"o{n}": [] for n in range(ORDERS)}
        desk.journal.on_outbox(lambda rows: note(told, rows))
        paper = [
            PaperRoute(name, desk.dispatcher, lambda job, part: network.take(job.order.id, part))
            for name in ("smpp:a", "smpp:b")
        ]
        for route in paper:
            route.start()
        tasks = [asyncio.create_task(modem(desk, stick, network)) for stick in STICKS]
        tasks.append(asyncio.create_task(weather(desk, network)))
        requests = [
            SendRequest(id=f"o{n}", to=(f"+3630{1000000 + n}",), text="x" * (400 if n % 10 == 0 else 10))
            for n in range(ORDERS)
        ]
        for start in range(0, ORDERS, BATCH):
            await desk.submit(*requests[start : start + BATCH])
        async with asyncio.timeout(50):
            while any(states[-1:] not in FINAL for states in told.values()):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for route in paper:
            await route.stop(1.0)
        assert network.failures >= FAILURES
        assert max(network.ledger.values()) == 1
        by_route = Counter()
        for n in range(ORDERS):
            (order,) = await desk.service.get(f"o{n}")
            parts = {part for id, part in network.ledger if id == f"o{n}"}
            if order["state"] == "sent":
                assert parts == set(range(order["parts"]))
                by_route[order["route"]] += 1
            if order["state"] == "failed" and order["parts"] == 1:
                assert not parts
            ranks = [RANK[OrderState(state)] for state in told[f"o{n}"]]
            assert ranks == sorted(ranks)
        assert set(by_route) == {"modem", "smpp:a", "smpp:b"}
