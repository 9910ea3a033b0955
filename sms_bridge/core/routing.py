"""What the core knows of a route: a way out for messages, such as all modems together or one SMPP account."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a route can do, as it is configured or known."""

    two_way: bool = True  # answers come back
    receipts: bool = True  # it tells what was delivered
    max_parts: int = 255  # of one message
    binary: bool = True  # 8-bit data, and text to a port
    flash: bool = True  # class 0
    senders: tuple[str, ...] = ()  # that an order may name; (): it has its own, which cannot be chosen
    throughput: float | None = None  # parts a second; None: nobody knows


@dataclass(frozen=True, slots=True)
class RouteHealth:
    """Whether a route would take an order now; `reason` in words where it would not."""

    can_send: bool
    reason: str | None = None
