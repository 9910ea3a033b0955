"""What every route is: the pool of modems, an SMPP account, whatever else carries messages.

A route fetches its work from the dispatcher and never says what an order becomes: it reports what came of each part.

- It claims orders, in memory only, and has it committed that their parts are being sent. Only then the first octet
  may leave. What came of each part is committed after that: what is known not to have left is `not_sent`; what may
  have left and was not confirmed is `unknown`, also when the connection is lost.
- Receipts and received messages go to the service, which returns after the commit: acknowledge them to the peer then.
- `RouteHealth` is pushed: the route calls what it was given for that as soon as it changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sms_bridge.core.model import InboundMessage, Receipt
from sms_bridge.core.routing import Capabilities, RouteHealth

__all__ = ["Capabilities", "Route", "RouteHealth", "RouteSink"]


class Route(Protocol):
    """A way out for messages, and perhaps in."""

    @property
    def name(self) -> str:
        """`modems`, or the kind and the account: `smpp:backup`. It stays: the journal names it."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""

    def health(self) -> RouteHealth:
        """Whether it would take an order now. In memory, at once."""

    def start(self) -> None:
        """Begin; returns at once. Idempotent."""

    async def stop(self, grace: float) -> None:
        """Claim nothing more; what is under way may end within `grace` seconds. Idempotent."""


class RouteSink(Protocol):
    """Where a route puts what it receives; `core.service.Service` is one. StoreError: nothing was committed."""

    async def receive_receipts(self, batch: Sequence[Receipt]) -> None:
        """Returns after the commit."""

    async def receive_messages(self, batch: Sequence[InboundMessage]) -> None:
        """Returns after the commit."""
