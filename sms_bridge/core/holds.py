"""What keeps ready orders from being sent for a while: the pause switch, and hours in which people sleep."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

from sms_bridge.core.clock import Clock, rfc3339
from sms_bridge.core.dispatcher import Dispatcher
from sms_bridge.core.events import event_json
from sms_bridge.core.model import Order, OutboxKind
from sms_bridge.core.policy import UNTIL_TOLD
from sms_bridge.core.ports import Journal, Transaction

log = logging.getLogger(__name__)

PAUSE = "pause"  # in `meta`: JSON while sending is paused, else empty
MAX_REASON = 200  # characters; it stands in a retained topic

QuietUntil = Callable[[Order, int], int | None]
"""Until when (UTC ms) nobody writes to this order's recipient; None: now is as good as any time."""


class Holds:
    """The pause, kept in the journal, and quiet hours: asked before each claim, at no cost while there is neither."""

    def __init__(
        self,
        journal: Journal,
        dispatcher: Dispatcher,
        clock: Clock,
        *,
        urgent: int | None = None,
        quiet_until: QuietUntil | None = None,
    ) -> None:
        """As `adopt`."""
        self._journal = journal
        self._dispatcher = dispatcher
        self._clock = clock
        self._urgent = urgent
        self._quiet_until = quiet_until
        self.since: int | None = None  # UTC ms; None: not paused
        self.reason: str | None = None

    @property
    def paused(self) -> bool:
        return self.since is not None

    def warnings(self) -> list[str]:
        """What a person should know, as sentences."""
        if self.since is None:
            return []
        return [f"sending is paused since {rfc3339(self.since)}: orders wait until bridge/request/resume"]

    def summary(self) -> dict[str, str | None]:
        """`since` and `reason` of the pause, null while there is none."""
        return {"since": rfc3339(self.since) if self.since is not None else None, "reason": self.reason}

    def adopt(self, urgent: int | None, quiet_until: QuietUntil | None) -> None:
        """From now on orders of the priority `urgent` or a higher one are held by nothing; no hours: None."""
        self._urgent = urgent
        self._quiet_until = quiet_until
        self._apply()
        self._dispatcher.look_again()

    async def start(self) -> None:
        """Go on as the last process left it; before the first claim."""
        kept = await self._journal.read(lambda reader: reader.meta(PAUSE))
        if kept:
            found = json.loads(kept)
            self.since, self.reason = found["since"], found["reason"]
            log.warning("%s", self.warnings()[0])
        self._apply()

    async def pause(self, reason: str | None = None) -> bool:
        """Send nothing more until `resume`; False: it was paused already. StoreError: nothing changed."""
        if self.since is not None:
            return False
        now = self._clock.now()
        # At once, not after the commit: what is claimed meanwhile would be sent.
        self.since, self.reason = now, reason[:MAX_REASON] if reason else None
        self._apply()
        try:
            await self._journal.write(self._keep(json.dumps({"since": now, "reason": self.reason}), "paused", now))
        except BaseException:
            self._lift()
            raise
        log.warning("sending is paused")
        return True

    async def resume(self) -> bool:
        """Send again, in the order of priority and age; False: it was not paused. StoreError: nothing changed."""
        if self.since is None:
            return False
        await self._journal.write(self._keep("", "resumed", self._clock.now()))
        self._lift()
        log.warning("sending goes on")
        return True

    def _keep(self, value: str, event: str, now: int) -> Callable[[Transaction], None]:
        reason = self.reason

        def work(tx: Transaction) -> None:
            tx.set_meta(PAUSE, value)
            tx.emit(OutboxKind.EVENT, event_json(event, now, {"reason": reason}))

        return work

    def _lift(self) -> None:
        self.since = self.reason = None
        self._apply()
        self._dispatcher.look_again()

    def _apply(self) -> None:
        """The dispatcher asks only while there may be something to say."""
        self._dispatcher.policy.held = self._held if self.paused or self._quiet_until is not None else None

    def _held(self, order: Order, now: int) -> int | None:
        if self._urgent is not None and -order.precedence >= self._urgent:
            return None
        if self.paused:
            return UNTIL_TOLD
        return self._quiet_until(order, now) if self._quiet_until is not None else None
