"""`routing:` which routes a message takes."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import voluptuous as vol

from sms_bridge.config.kinds import NAME, Choice, Duration, ListOf, MapOf, Real, Section, Text, Whole
from sms_bridge.config.sections.guards import COUNTRY, PREFIX
from sms_bridge.core.routing import RoutingSettings, Rule, Strategy

MAX_RULES = 200
MAX_ROUTES = 16  # of one rule
MAX_WEIGHT = 1000

ROUTE = Text(
    rf"modems|[a-z][a-z0-9]{{0,15}}:{NAME}",
    "modems, or an account such as smpp:backup",
    hint=lambda text: "write modems" if text.strip().lower() in ("modem", "gsm", "pool", "sim") else "",
)
ANY_PREFIX = Text(
    r"\+(?:[1-9][0-9]{0,14})?",
    'how numbers begin, such as "+36", or "+" for all, in quotes',
    hint=lambda text: f'write "+{text.strip()}"' if text.strip().isdigit() else "",
)
_LINE = Text(r"[^\x00-\x1f\x7f]{1,20}", "a sender's number or name, in quotes")


class _OneOrMore:
    """One value, or a list of them."""

    def __init__(self, item: Text, most: int, example: str) -> None:
        self._item = item
        self._list = ListOf(item, most, example)

    @property
    def json(self) -> dict[str, Any]:
        return {"anyOf": [self._item.json, {**self._list.json, "type": "array"}]}

    def __call__(self, value: Any) -> tuple[str, ...]:
        return tuple(self._list(value)) if isinstance(value, list) else (self._item(value),)


def _opt(key: str, description: str) -> Any:
    return vol.Optional(key, description=description)


RULE = Section(
    {
        _opt("prefix", "numbers that begin so, one or several"): _OneOrMore(PREFIX, 500, '- "+36"'),
        _opt("country", "numbers of these countries, one or several"): _OneOrMore(COUNTRY, 300, "- HU"),
        _opt("priority", "messages of this priority and above"): Whole(-128, 127),
        _opt("class", "kinds of message: text, data, flash"): _OneOrMore(
            Text(r"text|data|flash", "text, data or flash"), 3, "- flash"
        ),
        _opt("sender", "messages that are to come from one of these"): _OneOrMore(_LINE, 100, '- "INFO"'),
        vol.Required("routes", description="the routes, the first one first"): ListOf(ROUTE, MAX_ROUTES, "- modems"),
        _opt("strategy", "failover: as they stand; least_cost; round_robin; weighted"): Choice(
            "failover", "least_cost", "round_robin", "weighted"
        ),
        _opt("weights", "for weighted: how often each is the first, 1 without"): MapOf(
            ROUTE, Whole(0, MAX_WEIGHT), MAX_ROUTES, "modems: 3"
        ),
    },
    "routes: [modems]",
)

ROUTING = Section(
    {
        _opt("rules", "the first that fits a message decides; without one all routes in their order"): ListOf(
            RULE, MAX_RULES, "- routes: [modems]"
        ),
        _opt("costs", "of one part by each route, by how the number begins"): MapOf(
            ROUTE, MapOf(ANY_PREFIX, Real(0, 1000), 1000, '"+36": 0.05'), 64, 'modems: {"+": 0.02}'
        ),
        _opt("settle", "from the start until other routes take what is the modems'"): Duration(0, 600),
        _opt("back_after", "a route that came back must be up so long before it takes from the one in use"): Duration(
            0, 600
        ),
    },
    "rules:",
)


def routing_checks(routing: Any, accounts: Any) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Routes that are named and do not exist; the data may be wrong elsewhere."""
    if not isinstance(routing, dict):
        return
    there = ["modems", *(f"smpp:{name}" for name in accounts if isinstance(name, str))] if accounts else ["modems"]
    named: list[tuple[tuple[str | int, ...], Any]] = []
    rules, costs = routing.get("rules"), routing.get("costs")
    for index, rule in enumerate(rules if isinstance(rules, list) else ()):
        routes = rule.get("routes") if isinstance(rule, dict) else None
        for place, route in enumerate(routes if isinstance(routes, list) else ()):
            named.append((("routing", "rules", index, "routes", place), route))
    named += [(("routing", "costs", route), route) for route in costs] if isinstance(costs, dict) else []
    for path, route in named:
        if isinstance(route, str) and ":" in route and route.strip() not in there:
            close = difflib.get_close_matches(route.strip(), there, 1, 0.6)
            hint = f"write {close[0]}" if close else f"there are: {', '.join(there)}"
            yield path, f"there is no route {route.strip()[:64]}", hint


def routing_settings(data: dict[str, Any]) -> RoutingSettings:
    """The checked section as settings."""
    given = {key: data[key] for key in ("settle", "back_after") if key in data}
    costs = {route: MappingProxyType(dict(prices)) for route, prices in data.get("costs", {}).items()}
    return RoutingSettings(
        rules=tuple(_rule(rule) for rule in data.get("rules", [])), costs=MappingProxyType(costs), **given
    )


def _rule(data: dict[str, Any]) -> Rule:
    return Rule(
        routes=tuple(dict.fromkeys(data["routes"])),
        strategy=Strategy(data.get("strategy", Strategy.FAILOVER)),
        prefixes=data.get("prefix", ()),
        countries=data.get("country", ()),
        priority=data.get("priority"),
        classes=data.get("class", ()),
        senders=data.get("sender", ()),
        weights=MappingProxyType(data.get("weights", {})),
    )
