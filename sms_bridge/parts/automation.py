"""Commands by SMS: heard by the service, published from the journal."""

from __future__ import annotations

import asyncio
import contextlib

from sms_bridge.automation.commands import Commands
from sms_bridge.automation.dispatch import Outgoing, Publish
from sms_bridge.config import Settings
from sms_bridge.core.clock import Clock
from sms_bridge.core.ports import Journal


class Automation:
    """Built before the service, which tells its `listener` of messages; `start` when there is a link."""

    def __init__(self, settings: Settings) -> None:
        self.listener = Commands(settings.commands)
        self._task: asyncio.Task[None] | None = None

    def start(self, journal: Journal, clock: Clock, publish: Publish) -> None:
        """What a command before left in the journal is looked at too, whether any is configured now or not."""
        outgoing = Outgoing(journal, clock, publish)
        outgoing.start()
        self._task = asyncio.get_running_loop().create_task(outgoing.run(), name="commands")

    async def stop(self) -> None:
        """Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
