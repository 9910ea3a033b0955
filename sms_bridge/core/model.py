"""What the core speaks about: requests, orders, attempts, statuses, received messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hardware.pdu import Concat
from hardware.types import SendResult
from sms_bridge.core.asking import Escalate, Expect
from sms_bridge.core.states import OnUnknown, OrderState, PartState, ReceiptState, Stage

AUTO = "auto"
MODEMS = "modems"  # the route that all modems together are


@dataclass(slots=True, kw_only=True)
class SendRequest:
    """A well-formed request as an edge produces it; recipients as they were typed."""

    to: tuple[str, ...]
    text: str | None = None
    id: str | None = None  # None: the core makes a ULID
    data: bytes | None = None
    port: int | None = None
    modem: str = AUTO
    route: str = AUTO
    sender: str | None = None  # the number or name to send from; None: any
    flash: bool = False
    priority: int = 0  # -128 to 127, higher first
    validity: int | None = None  # seconds
    send_at: datetime | None = None  # aware
    deadline: datetime | None = None  # aware; never sent after it
    expires_in: float | None = None  # seconds from its submission; a deadline that no clock has a say in
    delivery_report: bool = True
    on_unknown: OnUnknown = OnUnknown.HOLD
    encoding: str = AUTO  # "auto", "gsm7", "ucs2"
    transliterate: bool = False
    transaction: Any = None  # any JSON value, echoed
    source: str = "mqtt"
    delivery_key: str | None = None  # names one delivery by the broker: session, packet id, payload hash
    redelivered: bool = False  # the broker says that it may have delivered this before
    received_at: datetime | None = None
    expect: Expect | None = None  # an answer
    escalate: Escalate | None = None


@dataclass(slots=True)
class StatusError:
    """Why; `code` is a stable string."""

    code: str
    text: str
    retryable: bool = False

    def as_dict(self) -> dict[str, Any]:
        return {"code": self.code, "text": self.text, "retryable": self.retryable}


@dataclass(slots=True)
class Order:
    """One message to one recipient. The journal's row; times are UTC milliseconds since 1970."""

    seq: int  # 0 until stored
    id: str
    to: str
    state: OrderState
    stage: Stage
    lane: str  # who may claim it, see `lanes`
    precedence: int  # minus the priority: lower goes first
    fingerprint: bytes
    text: str | None
    data: bytes | None
    port: int | None
    modem_wanted: str
    route_wanted: str
    flash: bool
    validity: int
    send_at: int | None
    deadline: int | None
    delivery_report: bool
    on_unknown: OnUnknown
    encoding_wanted: str
    transaction: str  # JSON text
    source: str
    accepted_at: int
    parts: int
    encoding: str
    # What changes from here on.
    state_at: int = 0
    attempt: int = 1
    failures: int = 0  # attempts that count against the limit
    generation: int = 0  # grows when the whole message starts anew
    resends: int = 0  # how often parts of unknown fate were allowed to go again, in this generation
    parts_sent: int = 0
    modem: str | None = None
    sim: str | None = None
    not_before: int | None = None
    bound_until: int | None = None  # until when the rest of a half-sent message waits for its SIM
    excluded: str = ""  # modems that refused it, separated by spaces
    error_code: str | None = None
    error_text: str | None = None
    error_retryable: bool = False
    route: str | None = None  # that has it or had it last; None: the modems', or nobody's yet
    plan: str = ""  # the lane it began in; "": as `modem_wanted` says
    sender: str | None = None  # the number or name that it is to come from; None: any

    @property
    def key(self) -> tuple[int, int]:
        """Its place in its lane."""
        return (self.precedence, self.seq)

    def set_error(self, error: StatusError | None) -> None:
        self.error_code = error.code if error else None
        self.error_text = error.text if error else None
        self.error_retryable = error.retryable if error else False


@dataclass(slots=True)
class Attempt:
    """One try to hand one part to the network."""

    order_seq: int
    n: int  # counts the tries of this order from 1
    generation: int
    part: int  # from 0
    attempt: int  # of the order, as in its status
    state: PartState
    modem: str  # "" on other routes
    sim: str  # on other routes the route's name
    recipient: str
    began_at: int
    ended_at: int | None = None
    mr: int | None = None
    error_code: str | None = None
    error_text: str | None = None
    report_status: int | None = None  # TP-ST
    report_weak: bool = False
    route: str = MODEMS
    message_id: str | None = None  # the service centre's


@dataclass(frozen=True, slots=True)
class Handed:
    """A part that the network took and for which a delivery report is wanted."""

    sim: str
    recipient: str
    at: int  # when the network took it
    reported: bool
    took: int | None  # ms until the report, where it can be told


@dataclass(slots=True)
class StatusEvent:
    """One line on `sms/status`."""

    id: str | None
    to: str | None
    state: OrderState
    ts: int
    route: str | None = None
    modem: str | None = None
    sim: str | None = None  # the whole ICCID; masked when it is encoded
    parts: int = 0
    parts_sent: int = 0
    encoding: str | None = None
    attempt: int = 0
    error: StatusError | None = None
    transaction: str = "null"  # JSON text


@dataclass(slots=True)
class Rejection:
    """Input that will not be sent, with the reason; becomes a `rejected` status."""

    code: str
    text: str
    id: str | None = None
    to: str | None = None
    transaction: Any = None
    retryable: bool = False


@dataclass(slots=True)
class Accepted:
    """The request is durable. `repeated`: it was already known and nothing new will be sent."""

    id: str
    orders: int
    repeated: bool = False
    rejections: list[Rejection] = field(default_factory=list)
    state: OrderState | None = field(default=None, compare=False)  # of its first order, as it was committed


@dataclass(slots=True)
class Rejected:
    """Nothing of the request will be sent."""

    id: str | None
    rejections: list[Rejection]


@dataclass(frozen=True, slots=True)
class ClaimantView:
    """What the dispatcher must know of a modem that asks for work."""

    name: str  # of the modem, or of the route where that is no pool of modems
    iccid: str | None = None
    imei: str | None = None
    route: str = MODEMS

    @property
    def sim(self) -> str:
        """The SIM's name in the journal; a SIM without readable ICCID is known by its modem, other routes by theirs."""
        return self.name if self.route != MODEMS else self.iccid or f"modem:{self.name}"


@dataclass(frozen=True, slots=True)
class JobPart:
    index: int
    pdu: str  # upper hex, SMSC octets included
    length: int  # TPDU octets without the SMSC: what AT+CMGS= takes


@dataclass(slots=True, eq=False)
class Job:
    """An order in the hands of one modem, or of another route; `parts` are those that are still to be sent, in order.

    Another route encodes the order itself: there `parts` is empty, and `wanted` has the indexes.
    """

    order: Order
    modem: str  # the route's name where that is no pool of modems
    sim: str
    parts: tuple[JobPart, ...]
    began: float = 0.0  # loop time at which the last part was begun; 0: none was
    route: str = MODEMS
    wanted: tuple[int, ...] = ()

    def after(self, finished: Finished | None) -> JobPart | None:
        """The part to send next on this modem; None: this job is over here."""
        if finished is None:
            return self.parts[0] if self.parts else None
        if finished.result.outcome == "not_sent":
            return None
        for part in self.parts:
            if part.index > finished.index:
                return part
        return None


@dataclass(frozen=True, slots=True)
class Finished:
    """What came of one part of a job."""

    job: Job
    index: int  # the part's index, as in JobPart
    result: SendResult
    message_id: str | None = None  # what the service centre calls it, where it says so


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One message to publish; rows are published in the order of `seq`."""

    seq: int
    kind: str  # "status", "in", "raw", "event"
    payload: str  # JSON text


class OutboxKind:
    STATUS = "status"
    IN = "in"
    RAW = "raw"
    EVENT = "event"


@dataclass(slots=True)
class InboundSet:
    """A received message, whole or still in pieces. The journal's row."""

    seq: int  # 0 until stored
    id: str
    scope: str  # the SIM's name in the journal
    modem: str
    sender: str
    state: str  # "whole", "collecting", "partial" (what there was is published), "broken" (none of it can be read)
    received_at: int
    sent_at: int | None
    total: int
    have: int
    ref: int | None
    bits: int | None
    partial_at: int | None  # when to publish what there is
    payload: str  # the JSON text that was published last


@dataclass(frozen=True, slots=True)
class InboxPage:
    """Received messages as JSON texts, newest first; `next` is the `before` of the page behind, None at the end."""

    messages: list[str]
    next: int | None


@dataclass(slots=True)
class InboundPart:
    """One received PDU, as it came."""

    seq: int  # 0 until stored
    body_key: bytes  # of the user data alone: tells a repeated part from another one
    set_seq: int
    number: int  # from 1
    raw: str
    received_at: int
    sent_at: int | None
    storage: str
    idx: int | None


@dataclass(slots=True)
class Balance:
    """A SIM's account. The journal's row; times are UTC milliseconds, dates ISO 8601."""

    sim: str  # the SIM's name in the journal
    amount: str | None = None  # a decimal number
    currency: str | None = None
    expires: str | None = None
    checked_at: int | None = None  # of the last reading
    asked_at: int | None = None  # of the last question, answered or not
    sms_times: list[int] = field(default_factory=list)  # of questions that cost a message, the recent ones
    low_told: bool = False  # `balance_low` was published, and it has not risen since
    expiry_told: str | None = None  # the date that `sim_expires_soon` was published for


@dataclass(slots=True)
class Quarantined:
    """A PDU that could not be understood."""

    seq: int
    content_key: bytes
    raw: str
    error: str
    modem: str
    scope: str
    storage: str
    idx: int | None
    received_at: int


@dataclass(slots=True)
class OrphanReport:
    """A status report that fits no part yet (domain A7.3)."""

    seq: int
    sim: str
    mr: int
    number: str
    status: int
    sent_at: int | None  # SCTS
    received_at: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """A delivery receipt of a route (domain C2)."""

    route: str
    message_id: str
    recipient: str | None  # whom the message was for, as the route tells it; None: it does not
    state: ReceiptState
    error: StatusError | None  # why it FAILED
    at: int  # UTC ms when it came, by our clock: the service centre's is ambiguous


@dataclass(slots=True)
class OrphanReceipt:
    """A receipt that fits no part yet (domain C2.2). The journal's row."""

    seq: int
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """A message that a route received, or a part of one; exactly one of `text` and `data` is set."""

    route: str
    sender: str  # E.164, a short code, or a name
    recipient: str | None  # which of our numbers was written to
    text: str | None  # of a part it may begin or end with half a surrogate pair
    data: bytes | None
    encoding: str  # "gsm7", "ucs2", "latin1", "8bit", …
    received_at: int  # UTC ms
    sent_at: datetime | None = None  # aware
    concat: Concat | None = None  # None: it is whole
    message_class: int | None = None
    port: int | None = None
    key: str | None = None  # names this message among all of the route's; None: it has no name
    may_repeat: bool = True  # without a `key`: the peer may deliver it for the second time, as after a lost session


@dataclass(frozen=True, slots=True)
class ClockMark:
    """The clock by which the times in the journal were taken last."""

    boot: str  # the run of the machine
    offset: int  # ms, what the clock adds to the time since the machine was started: constant until it jumps


@dataclass(frozen=True, slots=True)
class Waits:
    """How long each kind of wait may last at most, in ms: no clock makes it longer."""

    bound: int  # for the SIM of a half-sent message
    retry: int
    avoided: int  # a modem that refused
    parts: int  # for the rest of a received message


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """The highest number of each table that may go."""

    orders: int  # and only those that ended before `ended_before`
    inbound: int
    quarantine: int
    orphan_reports: int
    outbox: int
    contents: int  # and only those that are not among the latest of their SIM
    ended_before: int  # UTC ms
    counted_before: int = 0  # UTC ms: of counters of SIMs
