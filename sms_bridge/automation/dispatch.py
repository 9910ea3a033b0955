"""Commands on their way to the broker: out of the journal, at least once, and never when it is too late."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from sms_bridge.core.clock import Clock
from sms_bridge.core.commandplan import Dispatch
from sms_bridge.core.errors import StoreError
from sms_bridge.core.events import event_json
from sms_bridge.core.model import OutboxKind, OutboxRow
from sms_bridge.core.ports import Journal, Transaction

log = logging.getLogger(__name__)

AGAIN = 1.0  # s until what the broker did not take is offered again
MOST = 100  # commands that are looked at in one go

Publish = Callable[[str, str, float], Awaitable[bool]]
"""Topic, payload, and the seconds after which nobody may obey it: True once the broker has it."""


class Outgoing:
    """Publishes what commands have put into the journal. `start`, then `run` for ever."""

    def __init__(self, journal: Journal, clock: Clock, publish: Publish) -> None:
        self._journal = journal
        self._clock = clock
        self._publish = publish
        self._wake = asyncio.Event()

    def start(self) -> None:
        """Hear of commands from now on; those that are there already are looked at first."""
        self._journal.on_outbox(self._added)
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                if await self.look():
                    await asyncio.sleep(AGAIN)
                    self._wake.set()
            except StoreError as error:
                log.error("commands wait: %s %s", error, error.hint)
                await asyncio.sleep(AGAIN)
                self._wake.set()
            except Exception:  # a mistake of ours must not end it
                log.exception("commands could not be published")
                await asyncio.sleep(AGAIN)
                self._wake.set()

    async def look(self) -> bool:
        """Publish what there is; True: the broker did not take all of it. StoreError."""
        left = False
        for dispatch in await self._journal.read(lambda reader: reader.dispatches(MOST)):
            remaining = (dispatch.expires_at - self._clock.now()) / 1000
            if remaining <= 0:
                await self._end(dispatch, "expired")
            elif await self._publish(dispatch.topic, dispatch.payload, remaining):
                await self._end(dispatch, None)
            else:
                left = True
        return left

    async def _end(self, dispatch: Dispatch, reason: str | None) -> None:
        now = self._clock.now()

        def end(tx: Transaction) -> None:
            tx.drop_dispatch(dispatch.seq)
            if reason is not None:
                about = {"command": dispatch.command, "contact": dispatch.contact, "id": dispatch.message}
                tx.emit(OutboxKind.EVENT, event_json("command_denied", now, {**about, "from": None, "reason": reason}))

        await self._journal.write(end)

    def _added(self, rows: list[OutboxRow]) -> None:
        if any(row.kind == OutboxKind.EVENT and '"event_type":"command"' in row.payload for row in rows):
            self._wake.set()
