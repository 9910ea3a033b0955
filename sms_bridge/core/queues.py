"""How many orders wait, as the journal has them: what the dispatcher holds in memory is a part of it."""

from __future__ import annotations

import asyncio

from sms_bridge.core.dispatcher import Dispatcher
from sms_bridge.core.lanes import lanes_for
from sms_bridge.core.model import ClaimantView
from sms_bridge.core.ports import Journal

REST = 100  # times as long as a count took it is left alone: a hundred thousand rows are counted in some milliseconds


class Queues:
    """Counts that are looked up now and then."""

    def __init__(self, journal: Journal, dispatcher: Dispatcher) -> None:
        self._journal = journal
        self._dispatcher = dispatcher
        self._lanes: dict[str, int] = {}
        self._next = 0.0  # loop time

    @property
    def total(self) -> int:
        """Orders that wait for a modem or are in the hands of one."""
        return sum(self._lanes.values())

    def of(self, modem: ClaimantView) -> int:
        """Those that only this modem or its SIM may send, and what it holds of the common ones."""
        bound, own, _ = lanes_for(modem)
        return self._lanes.get(bound, 0) + self._lanes.get(own, 0) + self._dispatcher.holds_of_all(modem.name)

    async def look(self) -> None:
        """Count anew, unless it was done just before. StoreError: the counts stay as they are."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        if began < self._next:
            return
        self._lanes = await self._journal.read(lambda reader: reader.queues())
        ended = loop.time()
        self._next = ended + (ended - began) * REST
