"""What the web room asks of the rest of the bridge; the composition root fills it in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hardware.types import ModemStatus
from sms_bridge.web.orders import SubmitPort


class Refusal(Exception):
    """What was asked cannot be done; `code` is stable, the text is for the person who asked."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list, newest first; `next` is the `before` of the page behind, None at the end."""

    items: Sequence[Mapping[str, Any]]
    next: int | None


@dataclass(frozen=True, slots=True)
class Figures:
    """What `/metrics` tells besides what the web room counts itself. No number, no text, no ICCID, no IMEI."""

    version: str
    counts: Mapping[str, int]  # orders by stage, and `outbox`
    queues: Mapping[str, int]  # waiting orders by lane
    modems: Sequence[ModemStatus]
    commits: int
    commit_buckets: Sequence[tuple[float, int]]  # (upper bound in s, commits that were not slower)
    commit_seconds: float  # in all
    mqtt_connected: bool
    mqtt_connects: int


@dataclass(frozen=True, slots=True)
class Bridge:
    """The use cases behind the interface. All may raise StoreError."""

    service: SubmitPort
    ask: Callable[[str, dict[str, Any]], Awaitable[Any]]
    """A request of `sms/bridge/request/<name>` and its fields. Refusal."""
    requests: Callable[[], Sequence[str]]
    """The names that `ask` knows."""
    messages: Callable[[str | None, int | None, int], Awaitable[Page]]
    """Orders in this state (None: any), before this number, at most so many."""
    modems: Callable[[], Sequence[Mapping[str, Any]]]
    """As on `sms/modem/<name>`."""
    health: Callable[[], Mapping[str, Any]]
    """As on `sms/bridge/health`."""
    not_ready: Callable[[], Sequence[str]]
    """Why no order can be taken or sent just now, in words."""
    figures: Callable[[], Awaitable[Figures]]
