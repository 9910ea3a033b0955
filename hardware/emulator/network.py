"""The network between the emulated SIMs: latency, a service centre that keeps trying, reports, the ledger."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import Any, Protocol

from hardware.emulator import wire
from hardware.emulator.interpreter import Verdict
from hardware.emulator.ledger import Ledger
from hardware.emulator.phone import SMSC
from hardware.pdu import PduError, decode

_NO_SERVICE = 331
_NO_SMSC = 330
_DELIVERED = 0x00
_TRUNK, _COUNTRY = "06", "+36"  # how a number of the emulated SIMs' country is dialled inside it


class Reception(Enum):
    """What a phone says to a message from the network."""

    ACCEPTED = auto()
    FULL = auto()  # kept until there is room
    ABSENT = auto()  # kept until it is reached again
    PENDING = auto()  # kept until the host acknowledges it with +CNMA


class Terminal(Protocol):
    """A phone as the network sees it."""

    @property
    def index(self) -> int: ...
    @property
    def imei(self) -> str: ...
    @property
    def iccid(self) -> str: ...
    @property
    def number(self) -> str: ...
    @property
    def smsc(self) -> str: ...
    def take_mr(self) -> int: ...
    def in_service(self) -> bool: ...
    def filtered(self) -> bool:
        """The network accepts what it sends, and drops it (domain B4)."""

    def reachable(self) -> bool:
        """In service, and its firmware takes messages."""

    def receive(self, item: Item) -> Reception: ...


@dataclass(slots=True)
class Item:
    """A message on its way to a phone; `origin` is who gets a report when it has arrived."""

    kind: str  # "deliver" or "report"
    sender: str
    number: str
    pdu: str  # hex, SMSC field in front
    tpdu: bytes
    decoded: Any = None
    origin: Origin | None = None
    refused: bool = False  # that it did not fit is in the ledger already


@dataclass(frozen=True, slots=True)
class Origin:
    terminal: Terminal
    mr: int
    address: bytes
    sent: datetime


@dataclass(slots=True)
class Outside:
    """What becomes of messages to a number that no emulated SIM has."""

    status: int | None = _DELIVERED  # TP-ST; None: no report ever
    delay: float | None = None  # seconds; None: half of a message's latency


@dataclass(slots=True)
class _Queue:
    items: deque[Item] = field(default_factory=deque)
    pumping: bool = False
    pending: bool = False


class Network:
    """Carries SUBMITs to DELIVERs. All of it runs on the event loop; nothing waits."""

    def __init__(self, ledger: Ledger, latency: tuple[float, float], seed: int) -> None:
        self.latency = latency
        self.outside: dict[str, Outside] = {"*": Outside()}
        self.in_flight = 0
        self._ledger = ledger
        self._random = random.Random(seed)
        self._terminals: dict[str, Terminal] = {}
        self._queues: dict[str, _Queue] = {}
        self._timers: set[asyncio.TimerHandle | asyncio.Handle] = set()

    def attach(self, terminal: Terminal) -> None:
        self._terminals[terminal.number] = terminal
        self._queues[terminal.number] = _Queue()

    def stop(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    @property
    def idle(self) -> bool:
        """Nothing is on its way, messages that a full or absent phone cannot take aside."""
        return self.in_flight == 0 and not any(
            queue.items and self._terminals[number].reachable() and not queue.items[0].refused
            for number, queue in self._queues.items()
        )

    def waiting(self, number: str) -> int:
        """How many messages the service centre holds for that SIM."""
        return len(self._queues[number].items)

    def submit(self, terminal: Terminal, pdu: bytes, cause: int | None, done: Callable[[Verdict], None]) -> None:
        """Take a SUBMIT; `done` after the latency, unless the phone is gone by then. `cause`: refuse it."""
        mr = terminal.take_mr()
        self._after(self._sample(), lambda: self._decide(terminal, pdu, mr, cause, done))

    def deliver(self, to: Terminal, sender: str, pdu: bytes) -> None:
        """A DELIVER from outside, SMSC field in front, at once; any octets will do."""
        self._enqueue(Item("deliver", sender, to.number, pdu.hex().upper(), wire.without_smsc(pdu)))

    def note_delivered(self, to: Terminal, sender: str, pdu: bytes) -> None:
        """A message that a phone has had all along: in the ledger as if it had come just now."""
        hexed = pdu.hex().upper()
        item = Item("deliver", sender, to.number, hexed, wire.without_smsc(pdu), _decoded(hexed, "mt"))
        self._write_item(to, item, None)

    def retry(self, terminal: Terminal) -> None:
        """The phone has room again, or is back: try what waits for it."""
        queue = self._queues[terminal.number]
        if queue.items and not queue.pending:
            self._after(0, lambda: self._pump(terminal.number))

    def acknowledged(self, terminal: Terminal, ok: bool) -> None:
        """The host's answer to a directly routed message; not ok: it is kept and tried again later."""
        queue = self._queues[terminal.number]
        queue.pending = False
        if ok and queue.items:
            self._arrived(terminal, queue.items.popleft())
            self._after(0, lambda: self._pump(terminal.number))

    def withdrawn(self, terminal: Terminal) -> None:
        """The phone is gone, and with it what it had not acknowledged."""
        self._queues[terminal.number].pending = False

    def _decide(
        self, terminal: Terminal, pdu: bytes, mr: int, cause: int | None, done: Callable[[Verdict], None]
    ) -> None:
        if not terminal.in_service():
            done(Verdict(mr, _NO_SERVICE))
            return
        smsc, tpdu = wire.split_smsc(pdu)
        if len(smsc) == 1 and not terminal.smsc:
            done(Verdict(mr, _NO_SMSC))
            return
        if len(smsc) == 1:
            smsc = wire.smsc_field(terminal.smsc)
        tpdu = bytes((tpdu[0], mr)) + tpdu[2:]
        submit = wire.parse_submit(tpdu)
        self._write_submit(terminal, submit, (smsc + tpdu).hex().upper(), cause)
        if cause is None and not terminal.filtered():
            self._carry(terminal, submit)
        done(Verdict(mr, cause))

    def _carry(self, terminal: Terminal, submit: wire.Submit) -> None:
        now = datetime.now().astimezone()
        origin = Origin(terminal, submit.mr, submit.address, now) if submit.status_report else None
        target = self._subscriber(submit.number)
        if target is None:
            fate = self.outside.get(submit.number) or self.outside["*"]
            if origin is not None and fate.status is not None:
                status = fate.status
                delay = self._sample() / 2 if fate.delay is None else fate.delay
                self._after(delay, lambda: self._report(origin, status))
            return
        tpdu = wire.deliver_of(submit, terminal.number, now)
        item = Item("deliver", terminal.number, target.number, _with_smsc(target, tpdu), tpdu, origin=origin)
        self._after(self._sample() / 2, lambda: self._enqueue(item))

    def _subscriber(self, number: str) -> Terminal | None:
        """The emulated SIM with that number, however it was dialled."""
        for prefix, instead in (("", ""), ("00", "+"), (_TRUNK, _COUNTRY), ("", "+")):
            if number.startswith(prefix):
                found = self._terminals.get(instead + number[len(prefix) :])
                if found is not None:
                    return found
        return None

    def _report(self, origin: Origin, status: int) -> None:
        done = datetime.now().astimezone()
        tpdu = wire.status_report(origin.mr, origin.address, origin.sent, done, status)
        sender, terminal = wire.address_digits(origin.address), origin.terminal
        self._enqueue(Item("report", sender, terminal.number, _with_smsc(terminal, tpdu), tpdu))

    def _enqueue(self, item: Item) -> None:
        item.decoded = _decoded(item.pdu, "mt")
        self._queues[item.number].items.append(item)
        self._pump(item.number)

    def _pump(self, number: str) -> None:
        queue, terminal = self._queues[number], self._terminals[number]
        if queue.pumping:
            return
        queue.pumping = True
        try:
            while queue.items and not queue.pending and terminal.reachable():
                item = queue.items[0]
                match terminal.receive(item):
                    case Reception.ACCEPTED:
                        self._arrived(terminal, queue.items.popleft())
                    case Reception.PENDING:
                        queue.pending = True
                    case Reception.FULL:
                        if not item.refused:
                            item.refused = True
                            self._write_item(terminal, item, "memory_full")
                        return
                    case Reception.ABSENT:
                        return
        finally:
            queue.pumping = False

    def _arrived(self, terminal: Terminal, item: Item) -> None:
        self._write_item(terminal, item, None)
        if item.origin is not None:
            origin = item.origin
            self._after(self._sample() / 2, lambda: self._report(origin, _DELIVERED))

    def _write_submit(self, terminal: Terminal, submit: wire.Submit, pdu: str, cause: int | None) -> None:
        decoded = _decoded(pdu, "mo")
        self._ledger.write(
            {
                "kind": "submit",
                **_who(terminal),
                "from": terminal.number,
                "to": submit.number,
                "mr": submit.mr,
                "pdu": pdu,
                "text": decoded.text if decoded else None,
                "concat": _concat(decoded),
                "status_report": submit.status_report,
                "accepted": cause is None,
                "cause": cause,
            }
        )

    def _write_item(self, terminal: Terminal, item: Item, cause: str | None) -> None:
        report = item.kind == "report"
        self._ledger.write(
            {
                "kind": item.kind,
                **_who(terminal),
                "from": item.sender,
                "to": item.number,
                "mr": item.tpdu[1] if report else None,
                "pdu": item.pdu,
                "text": None if report else getattr(item.decoded, "text", None),
                "concat": None if report else _concat(item.decoded),
                "status_report": report,
                "accepted": cause is None,
                "cause": cause,
            }
        )

    def _sample(self) -> float:
        low, high = self.latency
        return low if low == high else self._random.uniform(low, high)

    def _after(self, delay: float, action: Callable[[], None]) -> None:
        self.in_flight += 1

        def run() -> None:
            self._timers.discard(handle)
            self.in_flight -= 1
            action()

        loop = asyncio.get_running_loop()
        handle = loop.call_later(delay, run) if delay > 0 else loop.call_soon(run)
        self._timers.add(handle)


def _with_smsc(terminal: Terminal, tpdu: bytes) -> str:
    return (wire.smsc_field(terminal.smsc or SMSC) + tpdu).hex().upper()


def _who(terminal: Terminal) -> dict[str, Any]:
    return {"modem": terminal.index, "imei": terminal.imei, "iccid": terminal.iccid}


def _concat(decoded: Any) -> dict[str, int] | None:
    concat = getattr(decoded, "concat", None)
    if concat is None:
        return None
    return {"ref": concat.ref, "total": concat.total, "seq": concat.seq, "bits": concat.bits}


def _decoded(pdu: str, direction: Any) -> Any:
    try:
        return decode(pdu, direction=direction)
    except PduError:
        return None
