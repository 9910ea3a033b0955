"""SMPP accounts as routes: built from the configuration, started and stopped with the bridge."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from types import MappingProxyType
from typing import Any

from sms_bridge.config import Settings
from sms_bridge.config.smpp import SenderSettings, SmppSettings
from sms_bridge.core import model
from sms_bridge.core.clock import Clock
from sms_bridge.core.dispatcher import Dispatcher
from sms_bridge.core.guards import country_of
from sms_bridge.core.model import InboundMessage
from sms_bridge.core.numbers import normal_sender
from sms_bridge.core.ports import Journal, Reader
from sms_bridge.core.receipts import find
from sms_bridge.core.settings import CoreSettings
from sms_bridge.routes.smpp.account import AccountSettings, Link, Tls
from sms_bridge.routes.smpp.intake import Intake, Sink
from sms_bridge.routes.smpp.own_numbers import OwnNumbers
from sms_bridge.routes.smpp.pdu import Bind
from sms_bridge.routes.smpp.route import RouteSettings, SmppRoute
from sms_bridge.routes.smpp.senders import Sender
from sms_bridge.routes.smpp.status import OnSubmit
from sms_bridge.routes.smpp.submit import Charset, Kind, LongMessages, Style

log = logging.getLogger(__name__)

GRACE = 5.0  # s at the end for what came of the last messages to be recorded
Event = Callable[[str, dict[str, object]], Coroutine[Any, Any, None]]


class Smpp:
    """All accounts. The routes are known to the dispatcher from the start; `start` connects them."""

    def __init__(
        self,
        settings: Settings,
        core: CoreSettings,
        journal: Journal,
        dispatcher: Dispatcher,
        clock: Clock,
        event: Event,
    ) -> None:
        self._core = core
        self._journal = journal
        self._dispatcher = dispatcher
        self._clock = clock
        self._event = event
        self._accounts = [account for account in settings.smpp.values() if account.enabled]
        self._routes: list[SmppRoute] = []
        self._numbers: dict[str, OwnNumbers] = {}
        self._told: set[asyncio.Task[None]] = set()
        for account in self._accounts:
            made = route_settings(account)
            dispatcher.routes.add(made.name, made.capabilities)

    def __len__(self) -> int:
        return len(self._accounts)

    @property
    def up(self) -> int:
        """Accounts that would take a message now."""
        return sum(route.health().can_send for route in self._routes)

    def problems(self) -> list[str]:
        """Why the others would not, in words."""
        found = [(route.name, route.health()) for route in self._routes]
        return [f"{name}: {health.reason}" for name, health in found if not health.can_send]

    async def start(self, sink: Sink) -> None:
        """StoreError: the journal cannot be read."""
        for account in self._accounts:
            made = route_settings(account)
            numbers = self._numbers[made.name] = OwnNumbers()
            numbers.load(await self._journal.read(partial(_kept, name=made.name)))
            route = self._make(made, numbers, sink)
            self._routes.append(route)
            route.start()

    async def stop(self) -> None:
        """Idempotent."""
        routes, self._routes = self._routes, []
        for route in routes:
            self._dispatcher.routes.set_health(route.name, route.health())
        await asyncio.gather(*(route.stop(GRACE) for route in routes))
        await asyncio.gather(*self._told, return_exceptions=True)

    def _make(self, made: RouteSettings, numbers: OwnNumbers, sink: Sink) -> SmppRoute:
        own = frozenset(sender.text.removeprefix("+") for sender in made.senders)
        intake = Intake(
            made.name,
            made.style.charset,
            own,
            sink,
            self._clock,
            known=self._known,
            heard=partial(self._heard, made.name, numbers, len(made.senders) > 1),
        )
        route: SmppRoute
        route = SmppRoute(
            made,
            self._dispatcher,
            intake,
            self._clock,
            country_of=country_of,
            known_number=numbers.of,
            told=lambda link, reason: self._changed(route, link, reason),
        )
        return route

    async def _known(self, receipt: model.Receipt) -> bool:
        """Whether the receipt names an order of ours."""
        return await self._journal.write(lambda tx: bool(find(tx, receipt, self._core)))

    def _heard(self, name: str, numbers: OwnNumbers, kept: bool, message: InboundMessage) -> None:
        if message.recipient is None:
            return
        numbers.note(normal_sender(message.sender, self._core.default_region), message.recipient)
        if kept and numbers.changed:
            text = numbers.dump()
            self._journal.later(lambda tx: tx.set_meta(_meta(name), text))

    def _changed(self, route: SmppRoute, link: Link, reason: str) -> None:
        self._dispatcher.routes.set_health(route.name, route.health())
        if link is Link.REFUSED:
            task = asyncio.get_running_loop().create_task(
                self._event("route_refused", {"route": route.name, "reason": reason}), name="smpp-refused"
            )
            self._told.add(task)
            task.add_done_callback(self._told.discard)


def route_settings(account: SmppSettings) -> RouteSettings:
    """What the configuration says, in the route's own words."""
    tls = account.tls
    return RouteSettings(
        account=AccountSettings(
            name=account.name,
            host=account.host,
            port=account.port,
            bind=Bind(account.system_id, account.password, account.system_type),
            tls=Tls(tls.ca, tls.cert, tls.key, tls.insecure) if tls is not None else None,
            separate=account.bind == "separate",
            binds=account.binds,
            window=account.window,
            rate=account.rate,
            enquire_link=account.enquire_link,
            response_timeout=account.response_timeout,
        ),
        style=Style(
            LongMessages(account.long_messages),
            Charset(account.charset),
            account.service_type,
            Kind(account.destination.ton, account.destination.npi) if account.destination is not None else None,
        ),
        senders=tuple(_sender(sender) for sender in account.senders),
        vendor=MappingProxyType({status: OnSubmit(action) for status, action in account.vendor_errors.items()}),
    )


def _sender(sender: SenderSettings) -> Sender:
    return Sender(
        text=sender.sender,
        kind=Kind(sender.ton, sender.npi) if sender.ton is not None and sender.npi is not None else None,
        two_way=sender.two_way,
        countries=frozenset(sender.countries) if sender.countries is not None else None,
        throughput=sender.throughput,
    )


def _kept(reader: Reader, name: str) -> str | None:
    return reader.meta(_meta(name))


def _meta(name: str) -> str:
    return f"numbers of {name}"
