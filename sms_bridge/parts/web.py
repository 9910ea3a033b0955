"""The HTTP interface and the webhooks as parts of the bridge; what they take is loaded only where it is configured."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sms_bridge.config import Settings
from sms_bridge.core.balances import Balances
from sms_bridge.core.clock import Clock
from sms_bridge.core.errors import StoreError
from sms_bridge.core.queues import Queues
from sms_bridge.core.service import Service
from sms_bridge.modems import Modems
from sms_bridge.mqtt.front import Mqtt
from sms_bridge.mqtt.requests import Handler
from sms_bridge.store.feed import Feed
from sms_bridge.store.journal import Journal

if TYPE_CHECKING:
    from sms_bridge.parts.webfront import WebFront
    from sms_bridge.parts.webhooks import WebhookFront

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What of the bridge is shown over HTTP."""

    settings: Settings
    clock: Clock
    journal: Journal
    service: Service
    queues: Queues
    modems: Modems
    balances: Balances
    mqtt: Mqtt
    handlers: Mapping[str, Handler]
    health: Callable[[], dict[str, Any]]


class Web:
    """Off without `web:` and `webhooks:`. `start` and `stop` may be called twice."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._front: WebFront | None = None
        self._webhooks: WebhookFront | None = None

    async def start(self) -> None:
        """Returns when it listens, or has said why it does not: the rest of the bridge works without it."""
        settings = self._parts.settings
        if settings.webhooks and self._webhooks is None:
            self._webhooks = webhooks = (await _loaded("sms_bridge.parts.webhooks")).WebhookFront(self._parts)
            await webhooks.start()
        elif self._webhooks is None:
            await self._forget_webhooks()
        if settings.web is not None and self._front is None:
            module = await _loaded("sms_bridge.parts.webfront")
            figures = self._webhooks.figures if self._webhooks is not None else dict
            self._front = front = module.WebFront(self._parts, figures)
            await front.start()

    async def stop(self) -> None:
        """No further order is taken; those under way are answered."""
        front, self._front = self._front, None
        webhooks, self._webhooks = self._webhooks, None
        for part in (front, webhooks):
            if part is not None:
                await part.stop()

    def warnings(self) -> list[str]:
        """What a person should know of a bridge that works, as sentences."""
        parts = [part for part in (self._front, self._webhooks) if part is not None]
        return [text for part in parts for text in part.warnings()]

    async def _forget_webhooks(self) -> None:
        """Those of an earlier configuration: nothing is collected for them any more."""
        try:
            await Feed(self._parts.journal).open({})
        except StoreError as error:
            log.error("what was collected for webhooks stays: %s", error)


async def _loaded(module: str) -> Any:
    """In a thread: what it imports takes some hundred milliseconds on a Pi."""
    return await asyncio.get_running_loop().run_in_executor(None, importlib.import_module, module)
