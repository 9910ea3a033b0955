"""Plans for orders, with what is known of the routes now; and new plans where routes have come or gone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sms_bridge.core import plan, sending
from sms_bridge.core.dispatcher import Dispatcher
from sms_bridge.core.guards import country_of
from sms_bridge.core.lanes import ANY, is_plan, routes_of, without
from sms_bridge.core.model import MODEMS, Order, StatusError
from sms_bridge.core.plan import Facts, Plan
from sms_bridge.core.ports import Transaction
from sms_bridge.core.states import Stage
from sms_bridge.core.submission import Planner, put_on_plan

CHUNK = 500  # orders of one transaction


class Planning:
    """Knows the routes through the dispatcher; lives on the loop."""

    def __init__(self, dispatcher: Dispatcher, now: Callable[[], int]) -> None:
        self._dispatcher = dispatcher
        self._routes = dispatcher.routes
        self._now = now
        self._turn = 0

    @property
    def planner(self) -> Planner | None:
        """For orders that come in; None: the modems are the only route, and send everything."""
        if self._routes.alone:
            return None
        known = self._routes.steady_facts()

        def make(facts: Facts) -> Plan:
            self._turn += 1
            return self._make(facts, known, self._turn)

        return make

    @property
    def replanner(self) -> Planner:
        """For orders in the journal, and for its thread: who wrote to whom is not looked at."""
        known, settings, turn = self._routes.steady_facts(), self._routes.settings, self._turn
        return lambda facts: plan.make(facts, known, settings, country_of, turn)

    def explain(self, facts: Facts) -> dict[str, Any]:
        """The plan of a message, with its reasons."""
        made = self._make(facts, self._routes.facts(), self._turn + 1)
        settings = self._routes.settings
        costs = {step.route: settings.cost(step.route, facts.to) for step in made.steps}
        return {
            "routes": [
                {
                    "route": step.route,
                    "reason": step.reason,
                    "cost": round(cost * facts.parts, 6) if (cost := costs[step.route]) is not None else None,
                }
                for step in made.steps
            ],
            "left_out": [{"route": step.route, "reason": step.reason} for step in made.left_out],
            "problem": made.problem,
        }

    def fits(self, lane: str) -> bool:
        """Whether all routes of a lane exist, and it is no lane from when there was no other route."""
        if lane == ANY:
            return self._routes.alone
        return all(name in self._routes for name in routes_of(lane))

    def stale(self, lanes: list[str]) -> list[str]:
        """Those whose orders need a new plan."""
        return [lane for lane in lanes if (lane == ANY or is_plan(lane)) and not self.fits(lane)]

    def _make(self, facts: Facts, known: list[plan.RouteFacts], turn: int) -> Plan:
        sim = self._dispatcher.policy.conversations.sim_of(facts.to, self._now())
        if sim is not None and sim in self._routes:
            facts = replace(facts, known=sim)
        return plan.make(facts, known, self._routes.settings, country_of, turn)


def replan(
    tx: Transaction, lane: str, after: tuple[int, int] | None, planner: Planner, now: int
) -> tuple[int, int] | None:
    """Give orders of a lane that nothing is sent of new plans; where to go on, None at the end."""
    orders = tx.ready(lane, after, CHUNK)
    for order in orders:
        put_anew(tx, order, planner, now)
    return orders[-1].key if len(orders) == CHUNK else None


def leave_modems(tx: Transaction, seqs: Sequence[int]) -> list[Order]:
    """Take the modems out of the plans of these orders; returns those that nobody had begun with meanwhile."""
    moved = []
    for seq in seqs:
        order = tx.order(seq)
        left = without(order.lane, MODEMS) if order is not None and order.stage is Stage.READY else None
        if order is None or left is None or not is_plan(order.lane):
            continue
        order.lane = left
        tx.save_order(order)
        moved.append(order)
    return moved


def put_anew(tx: Transaction, order: Order, planner: Planner, now: int) -> bool:
    """A new plan for one order; False: there is none for it, and it failed."""
    before = order.lane
    problem = put_on_plan(order, planner)
    if problem is not None:
        sending.finalise(tx, order, now, StatusError(*problem))
        return False
    if order.lane != before:
        tx.save_order(order)
    return True
