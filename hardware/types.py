"""Words that the modem stack and the bridge share: states, a part to send, what came of it, what came in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hardware.pdu import Deliver, StatusReport, Submit


class ModemState(StrEnum):
    """Where one modem is in its life. `BLOCKED`: a person must act."""

    DETECTED = "detected"
    INTERVIEWING = "interviewing"
    REGISTERING = "registering"
    READY = "ready"
    DEGRADED = "degraded"
    RECOVERING = "recovering"
    BLOCKED = "blocked"
    OFFLINE = "offline"


class Health(StrEnum):
    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"


class Registration(StrEnum):
    """TS 27.007 7.2, in the words of the contract; 1, 5, 6 and 7 can carry SMS."""

    HOME = "home"
    ROAMING = "roaming"
    SEARCHING = "searching"
    DENIED = "denied"
    NOT_REGISTERED = "not_registered"
    SMS_ONLY = "sms_only"
    UNKNOWN = "unknown"


class Access(StrEnum):
    GSM = "gsm"
    UMTS = "umts"
    LTE = "lte"
    NR = "nr"


class SendOutcome(StrEnum):
    """The certainty of one part (domain A3)."""

    SENT = "sent"
    NOT_SENT = "not_sent"  # definite: the network never had it, or refused it
    UNKNOWN = "unknown"  # may have been sent; never repeated by itself


class Action(StrEnum):
    """What a policy does with a part that was not confirmed (domain A9)."""

    RETRY_SAME = "retry_same"
    RETRY_OTHER = "retry_other"
    FAIL = "fail"
    FAIL_ROUTE = "fail_route"
    SIM_FAULT = "sim_fault"
    SIM_PIN = "sim_pin"
    SIM_CFG = "sim_cfg"
    MODEM_RESET = "modem_reset"
    STORAGE = "storage"
    BUG = "bug"
    CAPABILITY = "capability"
    UNKNOWN = "unknown"
    IGNORE = "ignore"
    TREAT_AS_SENT = "treat_as_sent"


@dataclass(frozen=True, slots=True)
class SendError:
    """Why a part was not confirmed. `code` is stable: `cms_38`, `cme_14`, `timeout`, `port_lost`, ..."""

    code: str
    text: str
    action: Action
    retry_after: float | None = None  # seconds before the same modem may try again


@dataclass(frozen=True, slots=True)
class SendResult:
    """What came of handing one part to the network. `mr` is the modem's own TP-MR, 0 to 255."""

    outcome: SendOutcome
    mr: int | None = None
    error: SendError | None = None
    seconds: float = 0.0  # from AT+CMGS to the result


Authorise = Callable[[], Awaitable[bool]]
"""Commits that this part is now being sent; False: it may not be. Awaited before the first PDU byte."""


@dataclass(frozen=True, slots=True)
class ReceivedPdu:
    """One message as the modem handed it over: the octets first, their meaning if they have one."""

    raw: str  # hex as the modem gave it, SMSC octets included
    pdu: Deliver | StatusReport | Submit | None  # None: could not be decoded
    error: str | None  # the reason, when `pdu` is None
    storage: str  # "SM", "ME", "MT", "SR"; "" when it was routed directly
    index: int | None
    imei: str | None
    iccid: str | None
    modem: str
    received_at: datetime  # aware, UTC


class InboundSink(Protocol):
    """Where received messages go. What it returns from is durable: only then is the modem's copy deleted."""

    async def store(self, batch: list[ReceivedPdu]) -> None:
        """Commit all of `batch`, or raise and have nothing deleted."""


@dataclass(slots=True)
class SimStatus:
    state: str = "unknown"  # "ready", "pin", "puk", "absent", "failure", "unknown"
    pin_attempts_left: int | None = None


@dataclass(slots=True)
class StorageStatus:
    used: int | None = None
    total: int | None = None


@dataclass(slots=True)
class ModemStatus:
    """All that is known of one modem; the payload of `sms/modem/<name>` is made from it."""

    name: str
    state: ModemState = ModemState.OFFLINE
    health: Health = Health.FAIL
    health_reason: str | None = None
    imei: str | None = None
    iccid: str | None = None
    imsi: str | None = None
    number: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    firmware: str | None = None
    port: str | None = None
    usb_path: str | None = None
    vid_pid: str | None = None
    operator: str | None = None
    registration: Registration = Registration.UNKNOWN
    access: Access | None = None
    signal_dbm: int | None = None
    sim: SimStatus = field(default_factory=SimStatus)
    storage: StorageStatus = field(default_factory=StorageStatus)
    smsc: str | None = None
    sent: int = 0
    received: int = 0
    failures: int = 0
    busy_seconds: float = 0.0  # time in sends since start, for `utilisation`
    started_at: datetime | None = None
    last_ok: datetime | None = None
    capabilities: dict[str, object] = field(default_factory=dict)


class ModemListener(Protocol):
    """Told, on the loop and without waiting, what happens to a modem."""

    def modem_changed(self, status: ModemStatus) -> None:
        """Any field of the status changed."""

    def modem_event(self, modem: str, event: str, data: dict[str, object]) -> None:
        """`modem_joined`, `modem_left`, `modem_interview`, `sim_changed`, `storage_full`, `call`, ..."""


@dataclass(frozen=True, slots=True)
class KnownModem:
    """What is remembered of a modem for ever: its name follows it, and which SIM it had."""

    key: str  # its IMEI, or what stands in for one: `serial:…`, `plug:…`
    name: str | None  # None: it has never had one of its own, only one that belongs to a SIM, a plug or a port
    imei: str | None
    iccid: str | None  # of the SIM that was in it last
    previous_iccid: str | None  # and of the one before: two SIMs may change places
    model: str | None
    usb_path: str | None  # the plug it was in last
    first_seen: datetime  # aware, UTC
    last_seen: datetime
    pin_key: str | None = None  # `pin_key` of its configured PIN and the SIM that took that PIN
    pin_iccid: str | None = None


class ModemRegister(Protocol):
    """Where `KnownModem`s are kept; raises whatever the store raises, and then nothing was changed."""

    async def load(self) -> list[KnownModem]:
        """All of them."""

    async def save(self, modem: KnownModem) -> None:
        """Insert, or replace the one with the same key. Durable when it returns."""

    async def rename(self, modem: KnownModem, old: str) -> None:
        """As `save`; whatever else the store has under the name `old` goes to the new one, in the same commit."""

    async def forget(self, key: str) -> None:
        """Delete; no error when it is not there."""
