"""What the core knows of a route: a way out for messages, such as all modems together or one SMPP account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from sms_bridge.core.breaker import BreakerSettings


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a route can do, as it is configured or known."""

    two_way: bool = True  # answers come back
    receipts: bool = True  # it tells what was delivered
    max_parts: int = 255  # of one message
    binary: bool = True  # 8-bit data, and text to a port
    flash: bool = True  # class 0
    senders: tuple[str, ...] = ()  # that an order may name; (): it has its own, which cannot be chosen
    any_sender: bool = False  # or it takes whatever an order names
    throughput: float | None = None  # parts a second; None: nobody knows


@dataclass(frozen=True, slots=True)
class RouteHealth:
    """Whether a route would take an order now; `reason` in words where it would not."""

    can_send: bool
    reason: str | None = None


class Strategy(StrEnum):
    """In which order the routes of a rule are tried."""

    FAILOVER = "failover"  # as they stand there
    LEAST_COST = "least_cost"  # the cheapest for this number first
    ROUND_ROBIN = "round_robin"  # each is the first in its turn
    WEIGHTED = "weighted"  # each is the first as often as its weight says


@dataclass(frozen=True, slots=True)
class Rule:
    """Which routes a message takes. What is empty fits everything."""

    routes: tuple[str, ...]
    strategy: Strategy = Strategy.FAILOVER
    prefixes: tuple[str, ...] = ()  # of the recipient, with +
    countries: tuple[str, ...] = ()  # ISO 3166
    priority: int | None = None  # at least
    classes: tuple[str, ...] = ()  # "text", "data", "flash"
    senders: tuple[str, ...] = ()
    weights: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))  # 1 where none is named


@dataclass(frozen=True, slots=True)
class RoutingSettings:
    """Times in seconds."""

    rules: tuple[Rule, ...] = ()  # the first that fits
    costs: Mapping[str, Mapping[str, float]] = field(default_factory=lambda: MappingProxyType({}))  # route -> prefix ->
    settle: float = 20.0  # from the start until other routes take what is the modems': they need 5 to 10 to be ready
    back_after: float = 5.0  # a route that came back takes nothing from the one in use before
    breaker: BreakerSettings = field(default_factory=BreakerSettings)

    def cost(self, route: str, number: str) -> float | None:
        """Of one part, by the longest prefix that is named for the route; None: nobody said."""
        named = [(len(prefix), cost) for prefix, cost in self.costs.get(route, {}).items() if number.startswith(prefix)]
        return max(named)[1] if named else None
