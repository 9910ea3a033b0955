"""The guards: who may be written to, and when nothing is sent."""

from __future__ import annotations

from collections.abc import Callable, Collection

from sms_bridge.config import Settings
from sms_bridge.core.book import Book
from sms_bridge.core.clock import Clock
from sms_bridge.core.dispatcher import Dispatcher
from sms_bridge.core.guarding import Guard
from sms_bridge.core.holds import Holds
from sms_bridge.core.numbers import normal_sender
from sms_bridge.mqtt.people import people_handlers
from sms_bridge.mqtt.requests import Handler
from sms_bridge.mqtt.switches import pause_handlers
from sms_bridge.store.journal import Journal
from sms_bridge.store.late import late_orders
from sms_bridge.store.people import PeopleTable

OWN_AGE = 5.0  # s after which the modems are asked for their SIMs' numbers again: not with each order


class Guards:
    """Built before the service, which asks `rules`; `start` before the first claim."""

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        dispatcher: Dispatcher,
        clock: Clock,
        *,
        own_numbers: Callable[[], Collection[str]],
        changed: Callable[[], None],
    ) -> None:
        """`changed`: told after the pause was switched on or off."""
        self.book = Book(
            settings.contacts, settings.groups, settings.default_region, PeopleTable(journal), self._people_changed
        )
        self.guard = Guard(settings.guards, self.book, self._own, monotonic=clock.monotonic, price_of=self._price)
        self._journal = journal
        self.holds = Holds(journal, dispatcher, clock)
        self._routing = settings.routing
        self._settings = settings.guards
        self._changed = changed
        self._own_numbers = own_numbers
        self._region = settings.default_region
        self._clock = clock
        self._known_own: frozenset[str] = frozenset()
        self._asked = -OWN_AGE

    def adopt(self, settings: Settings) -> None:
        """Options were changed."""
        self._settings = settings.guards
        self.book.adopt(settings.contacts, settings.groups, settings.default_region)
        self.guard.adopt(settings.guards)
        self._apply()

    async def start(self) -> None:
        """StoreError: try again."""
        await self.book.start()
        await self.holds.start()
        self._apply()
        self.guard.restore(await late_orders(self._journal, self._clock.now()))

    def warnings(self) -> list[str]:
        """What a person should know, as sentences."""
        return [*self.holds.warnings(), *self.guard.warnings()]

    async def pause(self, reason: str | None = None) -> bool:
        """See `Holds.pause`."""
        done = await self.holds.pause(reason)
        self._changed()
        return done

    async def resume(self) -> bool:
        """See `Holds.resume`."""
        done = await self.holds.resume()
        self._changed()
        return done

    def summary(self) -> dict[str, str | None]:
        """See `Holds.summary`."""
        return self.holds.summary()

    def handlers(self) -> dict[str, Handler]:
        """Requests that are answered here."""
        return {**pause_handlers(self), **people_handlers(self.book)}

    def _people_changed(self) -> None:
        self._apply()
        self._changed()

    def _apply(self) -> None:
        self.holds.adopt(self._settings.urgent, self.guard.held if self.guard.quiet else None)

    def _price(self, number: str) -> float | None:
        """Of a part to `number` by the dearest route that says one: which one it will be is not known yet."""
        known = [self._routing.cost(route, number) for route in self._routing.costs]
        return max((cost for cost in known if cost is not None), default=None)

    def _own(self) -> frozenset[str]:
        now = self._clock.monotonic()
        if now - self._asked >= OWN_AGE:
            try:
                own = frozenset(normal_sender(number, self._region) for number in self._own_numbers())
            except RuntimeError:  # a modem came or went while the journal's thread asked
                return self._known_own
            self._asked, self._known_own = now, own
        return self._known_own
