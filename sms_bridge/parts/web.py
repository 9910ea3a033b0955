"""The HTTP interface as a part of the bridge; what it takes is loaded only where it is configured."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sms_bridge.config import Settings
from sms_bridge.core.balances import Balances
from sms_bridge.core.queues import Queues
from sms_bridge.core.service import Service
from sms_bridge.modems import Modems
from sms_bridge.mqtt.front import Mqtt
from sms_bridge.mqtt.requests import Handler
from sms_bridge.store.journal import Journal

if TYPE_CHECKING:
    from sms_bridge.parts.webfront import WebFront

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What of the bridge is shown over HTTP."""

    settings: Settings
    journal: Journal
    service: Service
    queues: Queues
    modems: Modems
    balances: Balances
    mqtt: Mqtt
    handlers: Mapping[str, Handler]
    health: Callable[[], dict[str, Any]]


class Web:
    """Off without `web:`. `start` and `stop` may be called twice."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._front: WebFront | None = None

    async def start(self) -> None:
        """Returns when it listens, or has said why it does not: the rest of the bridge works without it."""
        if self._front is not None or self._parts.settings.web is None:
            return
        # In a thread: what it imports takes some hundred milliseconds on a Pi.
        name = "sms_bridge.parts.webfront"
        module: Any = await asyncio.get_running_loop().run_in_executor(None, importlib.import_module, name)
        front: WebFront = module.WebFront(self._parts)
        self._front = front
        await front.start()

    async def stop(self) -> None:
        """No further order is taken; those under way are answered."""
        front, self._front = self._front, None
        if front is not None:
            await front.stop()
