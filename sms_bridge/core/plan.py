"""Which routes a message takes, in which order, and why. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sms_bridge.core.model import AUTO, MODEMS
from sms_bridge.core.routing import Capabilities, RouteHealth, RoutingSettings, Rule, Strategy

MODEM = "modem"  # what a status calls the modems' route; an order may name it so too


@dataclass(frozen=True, slots=True)
class Facts:
    """What is looked at of a message."""

    to: str
    parts: int = 1
    kind: str = "text"  # "text", "data", "flash"
    priority: int = 0
    sender: str | None = None
    route: str = AUTO  # that the order names
    modem: str = AUTO
    known: str | None = None  # the route that the recipient wrote to last


@dataclass(frozen=True, slots=True)
class RouteFacts:
    """What is looked at of a route."""

    name: str
    capabilities: Capabilities = field(default_factory=Capabilities)
    health: RouteHealth = field(default_factory=lambda: RouteHealth(True))
    barred: str | None = None  # why it may take nothing at all, such as a budget that is spent


@dataclass(frozen=True, slots=True)
class Step:
    route: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """`steps` are tried one after the other; `problem` says why there are none."""

    steps: tuple[Step, ...]
    left_out: tuple[Step, ...] = ()
    problem: str | None = None
    unknown: bool = False  # the order names a route that does not exist

    @property
    def routes(self) -> tuple[str, ...]:
        return tuple(step.route for step in self.steps)


def make(
    facts: Facts,
    routes: Sequence[RouteFacts],
    settings: RoutingSettings,
    country_of: Callable[[str], str | None],
    turn: int = 0,
) -> Plan:
    """The plan of a message; `turn` counts messages, for the strategies that take turns.

    The first rule that fits decides. Without one: the modems, then all other routes as they stand in the file.
    """
    known = {route.name: route for route in routes}
    if facts.modem != AUTO:
        return Plan((Step(MODEMS, f"the order names the modem {facts.modem}"),))
    wanted = MODEMS if facts.route == MODEM else facts.route
    if wanted != AUTO:
        return _pinned(facts, wanted, known)
    number, rule = _rule(facts, settings.rules, country_of)
    if rule is None:
        chosen = [Step(name, "no rule speaks of this message: the routes in their order") for name in known]
        left_out: list[Step] = []
    else:
        chosen, left_out = _ordered(facts, rule, f"rule {number}", settings, known, turn)
        left_out += [Step(name, f"rule {number} does not name it") for name in known if name not in rule.routes]
    steps = []
    for step in chosen:
        reason = _unfit(facts, known[step.route])
        if reason is None:
            steps.append(step)
        else:
            left_out.append(Step(step.route, reason))
    steps = _known_first(facts, steps)
    steps = [Step(step.route, step.reason + _now(known[step.route])) for step in steps]
    problem = None
    if not steps:
        reasons = "; ".join(f"{step.route}: {step.reason}" for step in left_out)
        problem = f"no route can take it: {reasons or 'there is none'}"
    return Plan(tuple(steps), tuple(left_out), problem)


def _pinned(facts: Facts, wanted: str, known: dict[str, RouteFacts]) -> Plan:
    left_out = tuple(Step(name, "the order names another route") for name in known if name != wanted)
    route = known.get(wanted)
    if route is None:
        there = ", ".join(known) or "none"
        return Plan((), left_out, f"there is no route {wanted[:40]!a}; there are: {there}", unknown=True)
    reason = _unfit(facts, route)
    if reason is not None:
        return Plan((), (*left_out, Step(wanted, reason)), f"the route {wanted} cannot take it: {reason}")
    return Plan((Step(wanted, "the order names it" + _now(route)),), left_out)


def _rule(facts: Facts, rules: Sequence[Rule], country_of: Callable[[str], str | None]) -> tuple[int, Rule | None]:
    for number, rule in enumerate(rules, 1):
        if _fits(facts, rule, country_of):
            return number, rule
    return 0, None


def _fits(facts: Facts, rule: Rule, country_of: Callable[[str], str | None]) -> bool:
    if rule.priority is not None and facts.priority < rule.priority:
        return False
    if rule.classes and facts.kind not in rule.classes:
        return False
    if rule.senders and facts.sender not in rule.senders:
        return False
    if rule.prefixes and not facts.to.startswith(rule.prefixes):
        return False
    return not rule.countries or country_of(facts.to) in rule.countries


def _ordered(
    facts: Facts, rule: Rule, name: str, settings: RoutingSettings, known: dict[str, RouteFacts], turn: int
) -> tuple[list[Step], list[Step]]:
    there = [route for route in rule.routes if route in known]
    gone = [Step(route, "there is no such route") for route in rule.routes if route not in known]
    match rule.strategy:
        case Strategy.FAILOVER:
            return [Step(route, f"{name}, place {place}") for place, route in enumerate(there, 1)], gone
        case Strategy.LEAST_COST:
            costs = {route: settings.cost(route, facts.to) for route in there}
            cheap = sorted(there, key=lambda route: (costs[route] is None, costs[route] or 0.0))
            return [Step(route, f"{name}, {_price(costs[route])}") for route in cheap], gone
        case Strategy.ROUND_ROBIN:
            first = turn % len(there) if there else 0
            return [Step(route, f"{name}, in turn") for route in there[first:] + there[:first]], gone
        case Strategy.WEIGHTED:
            weights = {route: rule.weights.get(route, 1) for route in there}
            return [Step(route, f"{name}, weight {weights[route]}") for route in _by_weight(weights, turn)], gone


def _by_weight(weights: dict[str, int], turn: int) -> list[str]:
    """The one whose turn it is first; the others by their weight."""
    by_weight = sorted(weights, key=lambda route: -weights[route])
    point = turn % max(1, sum(weights.values()))
    for route in by_weight:
        if point < weights[route]:
            return [route, *(other for other in by_weight if other != route)]
        point -= weights[route]
    return by_weight


def _price(cost: float | None) -> str:
    return "of unknown cost" if cost is None else f"{cost:g} a part"


def _known_first(facts: Facts, steps: list[Step]) -> list[Step]:
    """An answer goes out where the question came in, when that is one of the routes."""
    if facts.known is None or not any(step.route == facts.known for step in steps):
        return steps
    own = Step(facts.known, "the recipient wrote to it last")
    return [own, *(step for step in steps if step.route != facts.known)]


def _unfit(facts: Facts, route: RouteFacts) -> str | None:
    able = route.capabilities
    if route.barred is not None:
        return route.barred
    if facts.parts > able.max_parts:
        return f"{facts.parts} parts are more than the {able.max_parts} it takes"
    if facts.kind == "data" and not able.binary:
        return "it takes text only"
    if facts.kind == "flash" and not able.flash:
        return "it knows no flash messages"
    if facts.sender is not None and not able.any_sender and facts.sender not in able.senders:
        return f"it may not send as {facts.sender}"
    return None


def _now(route: RouteFacts) -> str:
    if route.health.can_send:
        return ""
    return f" (down now: {route.health.reason})" if route.health.reason else " (down now)"
