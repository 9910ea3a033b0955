"""The routes that there are, and which of them takes a lane's orders now. Lives on the loop."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from sms_bridge.core.breaker import Breaker, BreakerState
from sms_bridge.core.lanes import routes_of
from sms_bridge.core.model import MODEMS
from sms_bridge.core.plan import RouteFacts
from sms_bridge.core.routing import Capabilities, RouteHealth, RoutingSettings

STARTING = RouteHealth(False, "it has not started yet")
NO_MODEM = RouteHealth(False, "no modem is in service")


class Standing(IntEnum):
    """How a route stands among those of a plan."""

    DOWN = 0
    BACK = 1  # it would take an order, and has not for long: only where no other does
    UP = 2


@dataclass(frozen=True, slots=True)
class Change:
    """A route went down or came up, for `sms/bridge/event`."""

    route: str
    up: bool
    reason: str | None


@dataclass(slots=True)
class _Known:
    name: str
    capabilities: Capabilities
    breaker: Breaker
    health: RouteHealth = STARTING
    since: float = 0.0  # loop time since when it is as it is
    shown: bool | None = None  # as it was told last; None: it has not been up yet


class Routes:
    """Owned by the dispatcher. Whoever drives a route tells how it is, as soon as that changes."""

    def __init__(self, settings: RoutingSettings | None = None) -> None:
        self.settings = settings or RoutingSettings()
        self.changed: Callable[[], None] = lambda: None
        self.in_service: frozenset[str] | None = None  # the modems that work; None: nobody has said
        self._known: dict[str, _Known] = {}
        self._steady: list[RouteFacts] = []
        self._news: list[Change] = []
        self._born: float | None = None
        self._time: Callable[[], float] | None = None
        self.add(MODEMS)

    def add(self, name: str, capabilities: Capabilities | None = None) -> None:
        """There is this route, after those that were added before; at first it is down."""
        self._known[name] = _Known(name, capabilities or Capabilities(), Breaker(self.settings.breaker))
        self._steady = [RouteFacts(known.name, known.capabilities) for known in self._known.values()]

    @property
    def alone(self) -> bool:
        """There is nothing to plan: all that is sent is sent by the modems."""
        return len(self._known) == 1 and not self.settings.rules

    def names(self) -> tuple[str, ...]:
        return tuple(self._known)

    def __contains__(self, name: object) -> bool:
        return name in self._known

    def started(self) -> None:
        """From now on the modems have time to settle."""
        self._born = self._now()

    def set_health(self, name: str, health: RouteHealth) -> None:
        """How a route is now; the modems' follows from `modems_in_service`."""
        known = self._known[name]
        if known.health == health:
            return
        now = self._now()
        if known.health.can_send != health.can_send:
            # What has never been up begins with what is its own, at once.
            known.since = now if known.shown is not None else -math.inf
        known.health = health
        self._tell(known, now)
        self.changed()

    def modems_in_service(self, names: Iterable[str]) -> None:
        """Which modems work now."""
        found = frozenset(names)
        if found == self.in_service:
            return
        self.in_service = found
        self.set_health(MODEMS, RouteHealth(True) if found else NO_MODEM)

    def standing(self, name: str, now: float) -> Standing:
        """How it stands now; one that does not exist is down."""
        known = self._known.get(name)
        if known is None or known.breaker.state(now) is not BreakerState.CLOSED:
            return Standing.DOWN
        if self._settles(known, now):
            return Standing.UP
        if not known.health.can_send:
            return Standing.DOWN
        return Standing.UP if now - known.since >= self.settings.back_after else Standing.BACK

    def serves(self, lane: str, route: str, now: float) -> bool:
        """Whether `route` takes the orders of this lane now: the first of the plan that is up."""
        names = routes_of(lane)
        if route not in names:
            return False
        if len(names) == 1 and route == MODEMS:
            return True  # nobody else could
        back = None
        for name in names:
            if name == route and self._may_probe(name, now):
                return True
            standing = self.standing(name, now)
            if standing is Standing.UP:
                return name == route
            if standing is Standing.BACK and back is None:
                back = name
        if back is None and route == MODEMS:
            return self._known[MODEMS].health.can_send  # it fails again and again, but nobody else is there
        return back == route

    def up(self, now: float) -> frozenset[str]:
        """The routes that would take an order now."""
        return frozenset(name for name in self._known if self.standing(name, now) is not Standing.DOWN)

    def allowance(self, route: str, limit: int, now: float) -> int:
        """How many orders it may take at once: one, to see whether it works again."""
        known = self._known.get(route)
        if known is None:
            return 0
        if known.breaker.state(now) is BreakerState.CLOSED:
            return limit
        return min(limit, 1) if known.breaker.may_probe(now) and known.health.can_send else 0

    def took(self, route: str, now: float) -> None:
        """An order was claimed for it."""
        known = self._known.get(route)
        if known is not None and known.breaker.state(now) is not BreakerState.CLOSED:
            known.breaker.probe(now)

    def worked(self, route: str, now: float, count: int = 1) -> None:
        """Its network took parts."""
        known = self._known.get(route)
        if known is not None and known.breaker.worked(now, count):
            known.since = now
            self._tell(known, now)
            self.changed()

    def failed(self, route: str, now: float, reason: str) -> None:
        """It refused or could not, for a reason that is not the message's."""
        known = self._known.get(route)
        if known is not None and known.breaker.failed(now, reason):
            known.since = now
            self._tell(known, now)
            self.changed()

    def said_nothing(self, route: str) -> None:
        """An order of it ended in a way that says nothing of the route."""
        known = self._known.get(route)
        if known is not None:
            known.breaker.said_nothing()

    def steady_facts(self) -> list[RouteFacts]:
        """What a plan looks at, but for how the routes are: that is asked when an order is claimed."""
        return self._steady

    def facts(self) -> list[RouteFacts]:
        """What a plan looks at."""
        return [
            RouteFacts(known.name, known.capabilities, self._shown(known, self._now()))
            for known in self._known.values()
        ]

    def take_news(self) -> list[Change]:
        """What changed since the last call."""
        news, self._news = self._news, []
        return news

    def figures(self) -> list[dict[str, Any]]:
        """For `sms/bridge/health`."""
        now = self._now()
        found = []
        for known in self._known.values():
            health = self._shown(known, now)
            found.append(
                {
                    "name": known.name,
                    "state": "up" if health.can_send else "down",
                    "reason": health.reason,
                    "breaker": known.breaker.state(now).value,
                }
            )
        return found

    def _now(self) -> float:
        """Loop time, for the writer's thread too."""
        if self._time is None:
            self._time = asyncio.get_running_loop().time
        return self._time()

    def _shown(self, known: _Known, now: float) -> RouteHealth:
        if not known.health.can_send:
            return known.health
        state = known.breaker.state(now)
        if state is BreakerState.CLOSED:
            return known.health
        return RouteHealth(False, f"it failed again and again, the last time with {known.breaker.reason}")

    def _may_probe(self, name: str, now: float) -> bool:
        known = self._known.get(name)
        return known is not None and known.health.can_send and known.breaker.may_probe(now)

    def _settles(self, known: _Known, now: float) -> bool:
        """The bridge has just started: what is the modems' is left to them for a while."""
        if known.name != MODEMS or known.shown is not None:
            return False
        return self._born is None or now - self._born < self.settings.settle

    def _tell(self, known: _Known, now: float) -> None:
        health = self._shown(known, now)
        if known.shown is None and not health.can_send:
            return  # it is starting
        if known.shown != health.can_send:
            if known.shown is not None:
                self._news.append(Change(known.name, health.can_send, health.reason))
            known.shown = health.can_send
