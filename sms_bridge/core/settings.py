"""The core's settings, with defaults that need no configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from sms_bridge.core.choice import Sticky
from sms_bridge.core.people import Contact, Group

DAY = 86_400


@dataclass(frozen=True, slots=True)
class SelfTestSettings:
    """Modems that text each other (domain A12); times in seconds."""

    every: float | None = None  # each of them sends one so often; None: on request only, as it costs money
    budget: tuple[int, float] = (2, DAY)  # messages, and the time in which they may be spent
    between: tuple[str, ...] | None = None  # names; None: all
    timeout: float = 600.0  # from the network's acceptance until a test is lost
    settle: float = 60.0  # after the start, until the modems are what they will be


@dataclass(frozen=True, slots=True)
class SilenceSettings:
    """When a SIM that never gets a delivery report is one whose messages are dropped (domain B4)."""

    unreported: int = 5  # messages in a row
    report_time: float = 3600.0  # s, at least, until a report counts as missing


@dataclass(frozen=True, slots=True)
class ReplySettings:
    """Which order a message may answer that nobody asked for."""

    window: float = DAY  # s since the last order to its sender; 0: none


@dataclass(frozen=True, slots=True)
class CoreSettings:
    default_region: str | None = None  # ISO 3166 code that completes national numbers
    contacts: Mapping[str, str | Contact] = field(default_factory=lambda: MappingProxyType({}))
    groups: Mapping[str, tuple[str, ...] | Group] = field(default_factory=lambda: MappingProxyType({}))
    max_parts: int = 255
    max_recipients: int = 1000
    max_attempts: int = 5  # of one order, refusals and transient errors together
    retry_base: float = 5.0  # seconds before the second attempt, doubled for each further one
    retry_cap: float = 300.0  # seconds, the longest wait between attempts
    bound_wait: float = 600.0  # seconds the rest of a half-sent message waits for its SIM (domain B8)
    reassembly_timeout: float = 3600.0  # seconds without a further part before `partial` is published
    reassembly_gap: float = 24 * 3600.0  # a part that is this much older or newer is of another message (E4.3)
    dedupe_window: float = 72 * 3600.0  # seconds in which a received PDU is recognised, at least (E4.1)
    retention_days: float = 30  # finished orders, received messages
    quarantine_days: float = 90
    outbox_days: float = 30  # what could not be published for so long is dropped
    report_days: float = 7  # how long a status report is waited for, and an orphan kept (A7.2)
    sticky: Sticky = Sticky.PREFER  # how firmly a conversation holds to its SIM (domain B6)
    sticky_ttl: float = 8 * DAY  # seconds of silence after which any SIM may write to a number
    replies: ReplySettings = field(default_factory=ReplySettings)
    window: int = 2000  # orders held in memory for each lane
