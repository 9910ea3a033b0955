"""One emulated modem whole: a phone, its line, its interpreter, its place in the network."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from hardware.emulator import wire
from hardware.emulator.commands import Commands
from hardware.emulator.faults import Fault, Faults
from hardware.emulator.general import registration_urcs
from hardware.emulator.identity import identity
from hardware.emulator.interpreter import Interpreter, Verdict
from hardware.emulator.network import Item, Network, Reception
from hardware.emulator.personality import BootStep, Chatter, Personality
from hardware.emulator.phone import Phone, Stat, Storage, Stored
from hardware.emulator.serial import Line, PtyLine
from hardware.emulator.ussd import UssdService
from hardware.pdu import DeliverRequest, encode_deliver

CNMA_TIMEOUT = 15.0
"""Seconds a host has to acknowledge a directly routed message; networks give 15 to 30 (domain A6)."""

RING_INTERVAL = 5.0
TRACE_LENGTH = 20_000
_WAP_PUSH = (2948, 2949)
_FILLER = "old message"

Tracer = Callable[[int, int, str], None]


class VirtualModem:
    """The host and the services of an interpreter, and a terminal of the network."""

    def __init__(
        self, index: int, personality: Personality, seed: int, network: Network, link: Path, tracer: Tracer | None
    ) -> None:
        self.index = index
        self.personality = personality
        self.faults = Faults()
        self.phone = Phone(index, personality, identity(personality.tac, seed, index), self.faults)
        self.line: Line = PtyLine(link, self.feed)
        self.trace: deque[tuple[int, str]] = deque(maxlen=TRACE_LENGTH)
        self.ussd_service = UssdService(self.phone, self.urc, self._later, self._cancel)
        self._network = network
        self._tracer = tracer
        self._commands = Commands(self.phone, self)
        self._interpreter = Interpreter(self.phone, self._commands, self)
        self._timers: set[asyncio.TimerHandle] = set()
        self._unacknowledged: asyncio.TimerHandle | None = None
        self._send_began = 0.0
        self._told_full = False
        self._told_registration = self._registration()
        self._call: asyncio.TimerHandle | None = None
        self._caller = ""

    @property
    def imei(self) -> str:
        return self.phone.imei

    @property
    def iccid(self) -> str:
        return self.phone.iccid

    @property
    def number(self) -> str:
        return self.phone.number

    @property
    def smsc(self) -> str:
        return self.phone.smsc

    @property
    def sending(self) -> bool:
        return self._interpreter.sending

    def start(self) -> None:
        """Be there, as a modem that was switched on long ago."""
        self.line.open()
        self._start_chatter()

    def stop(self) -> None:
        self._forget()
        self.line.close()

    def unplug(self) -> None:
        """Power and line are gone at once; idempotent."""
        self.phone.powered = False
        self.stop()

    def plug(self, *, booted: bool = False) -> None:
        """Power up behind a new port; idempotent. `booted`: it answers at once and says nothing of its start."""
        if self.phone.powered:
            return
        self.phone.powered = True
        self.faults.clear("wedge")
        self.line.open()
        self._boot(booted=booted)

    def reboot(self) -> None:
        """Restart while the line stays: settings are lost, boot URCs come."""
        self._forget()
        self._boot()

    def brown_out(self) -> None:
        """With a power supply that is too weak, the next restart is not far."""
        fault = self.faults.active("brown_out")
        if fault is not None:
            self._later(float(fault.params.get("every", 20.0)), lambda: self._give_way(fault))

    def clear(self, name: str | None) -> list[str]:
        """Take faults back, all of them or one name."""
        gone = self.faults.clear(name)
        if self.phone.pin_enabled and name in (None, "pin_required"):
            self.phone.release_pin()
            gone.append("pin_required")
        self.room()
        return gone

    def fill(self, sender: str, text: str = _FILLER) -> int:
        """Put old, read messages into every free slot that new ones would take; how many."""
        count = 0
        for storage in self.phone.members(self.phone.settings.memories[2]):
            while storage.free > 0:
                now = datetime.now().astimezone()
                pdu = encode_deliver(DeliverRequest(sender, now, text=f"{text} {count}", smsc=self.smsc))[0]
                octets = bytes.fromhex(pdu)
                self._network.note_delivered(self, sender, octets)
                storage.add(Stored(Stat.READ, pdu, len(wire.without_smsc(octets))))
                count += 1
        return count

    def call(self, caller: str, rings: int, interval: float) -> None:
        """Ring; unanswered after `rings`, it is a missed call."""
        self._stop_call()
        self._caller = caller
        self._ring(rings, interval)

    def end_call(self) -> None:
        """The caller gives up; nothing where nobody calls."""
        if self._call is not None:
            self._missed()

    def feed(self, data: bytes) -> None:
        """What the host has written to the line."""
        self._interpreter.feed(data)

    # Host of the interpreter

    def write(self, data: bytes) -> None:
        self.line.write(data)

    def later(self, delay: float, action: Callable[[], None]) -> None:
        self._later(delay, action)

    def submit(self, pdu: bytes, cause: int | None, done: Callable[[Verdict], None]) -> None:
        counters = self.phone.counters
        began = time.monotonic()
        interpreter = self._interpreter

        def finish(verdict: Verdict) -> None:
            counters.busy_seconds += time.monotonic() - began
            counters.sends += verdict.cause is None
            counters.refused += verdict.cause is not None
            if interpreter is self._interpreter:
                self.mark("decided")
                done(verdict)

        self._network.submit(self, pdu, cause, finish)

    def moment(self, name: str) -> bool:
        """Whether a fault takes the line away at this moment of the dialogue."""
        if name == "accepted" and self.faults.take("die_after_ctrl_z"):
            self.unplug()
            return True
        for fault, action in (("unplug", self.unplug), ("reboot", self.reboot)):
            if self.faults.take(fault, on=name):
                action()
                return True
        return False

    def mark(self, event: str) -> None:
        now = time.monotonic_ns()
        self.trace.append((now, event))
        if event in ("cmgs", "result", "cmti"):
            counters = self.phone.counters
            counters.last_activity = now / 1e9
            counters.first_activity = counters.first_activity or counters.last_activity
        if self._tracer is not None:
            self._tracer(now, self.index, event)

    # Services of the commands

    def acknowledge(self, ok: bool) -> bool:
        if self._unacknowledged is None:
            return False
        self._cancel(self._unacknowledged)
        self._unacknowledged = None
        self._network.acknowledged(self, ok)
        return True

    def ussd(self, text: str) -> None:
        self.ussd_service.take(text)

    def ussd_cancel(self) -> None:
        self.ussd_service.cancel()

    def ussd_under_way(self) -> bool:
        return self.ussd_service.under_way

    def hang_up(self) -> None:
        if self._call is not None:
            self.phone.counters.hung_up += 1
            self._stop_call()

    def urc(self, *lines: str) -> None:
        self._interpreter.urc(*lines)

    def room_in(self, delay: float) -> None:
        """Look again in `delay` seconds: a fault will have ended by itself."""
        self._later(delay, self.room)

    def room(self) -> None:
        self._told_full = False
        self._tell_registration()
        self._network.retry(self)

    # Terminal of the network

    def take_mr(self) -> int:
        return self.phone.take_mr()

    def in_service(self) -> bool:
        return self.phone.in_service

    def filtered(self) -> bool:
        return self.faults.active("filtered") is not None

    def reachable(self) -> bool:
        return self.phone.in_service and self.faults.active("wedge") is None

    def receive(self, item: Item) -> Reception:
        if not self.reachable():
            return Reception.ABSENT
        message = Stored(Stat.UNREAD, item.pdu, len(item.tpdu))
        if item.kind == "report":
            return self._receive_report(message)
        return self._receive_deliver(message, item)

    def _receive_deliver(self, message: Stored, item: Item) -> Reception:
        cnmi, memories = self.phone.settings.cnmi, self.phone.settings.memories
        klass = _class_of(item.tpdu)
        direct = {1: klass == 0, 2: klass != 2, 3: klass == 3}.get(cnmi[1], False)
        if direct:
            return self._route((f"+CMT: ,{message.length}", message.pdu))
        place = self.phone.store(message, "SM" if klass == 2 and "SM" in self.phone.storages else memories[2])
        if place is None:
            self._tell_full(memories[2])
            return Reception.FULL
        self.phone.counters.received += 1
        if cnmi[1] and not self.faults.take("no_urc"):
            name = self.personality.cmti_storage or place[0]
            extra = self.personality.mms_push_extra if _is_push(item) else ""
            self.phone.uncounted_until = time.monotonic() + self.personality.count_lag
            self._message_urc(f'+CMTI: "{name}",{place[1]}{extra}')
            self.mark("cmti")
        return Reception.ACCEPTED

    def _receive_report(self, message: Stored) -> Reception:
        ds = self.phone.settings.cnmi[3]
        if ds == 1:
            return self._route((f"+CDS: {message.length}", message.pdu))
        if ds == 0 and self.personality.unrouted_reports == "drop":
            return Reception.ACCEPTED
        memory = "SR" if "SR" in self.phone.storages else self.phone.settings.memories[2]
        place = self.phone.store(message, memory)
        if place is None:
            self._tell_full(memory)
            return Reception.FULL
        if ds == 2:
            self._message_urc(f'+CDSI: "{place[0]}",{place[1]}')
            self.mark("cdsi")
        return Reception.ACCEPTED

    def _route(self, lines: tuple[str, str]) -> Reception:
        """Hand a message to the host without storing it (TS 27.005 3.4.1); with `+CSMS=1` it must say so."""
        if self.phone.settings.csms and self._unacknowledged is not None:
            return Reception.PENDING
        self.phone.counters.received += 1
        self._message_urc(*lines)
        self.mark("cmt")
        if not self.phone.settings.csms:
            return Reception.ACCEPTED
        self._unacknowledged = self._later(CNMA_TIMEOUT, self._not_acknowledged)
        return Reception.PENDING

    def _not_acknowledged(self) -> None:
        """Routing stops until the host asks for it again (domain A6)."""
        self._unacknowledged = None
        mode, _, bm, _, bfr = self.phone.settings.cnmi
        self.phone.settings.cnmi = (mode, 0, bm, 0, bfr)
        self._network.withdrawn(self)

    def _message_urc(self, *lines: str) -> None:
        if self.phone.settings.cnmi[0] == 0:
            self.phone.held_urcs.append(lines)
        else:
            self.urc(*lines)

    def _tell_full(self, memory: str) -> None:
        it, more = self.personality, self.phone.settings.more
        if self._told_full or not it.full_urc:
            return
        if it.full_urc_setting:
            command, _, value = it.full_urc_setting.partition("=")
            if not more.get(command, "").startswith(value):
                return
        self._told_full = True
        self.urc(it.full_urc.replace("{storage}", memory))

    def _registration(self) -> list[int]:
        return [self.phone.stat_in(domain) for domain in self.personality.registration]

    def _tell_registration(self) -> None:
        if self._told_registration != (now := self._registration()):
            self._told_registration = now
            for line in registration_urcs(self.phone):
                self.urc(line)

    def _boot(self, *, booted: bool = False) -> None:
        self.phone.power_up()
        self._told_full = False
        self._told_registration = self._registration()
        self._interpreter = Interpreter(self.phone, self._commands, self)
        self.phone.sim_ready = self.phone.network_ready = booted or not self.personality.boot
        for step in () if booted else self.personality.boot:
            self._later(step.after, lambda step=step: self._boot_step(step))  # type: ignore[misc]
        self._start_chatter()
        self.brown_out()
        self._network.retry(self)

    def _give_way(self, fault: Fault) -> None:
        if self.faults.active("brown_out") is fault:
            self.reboot()

    def _boot_step(self, step: BootStep) -> None:
        if step.event == "sim":
            self.phone.sim_ready = True
        elif step.event == "network":
            self.phone.network_ready = True
        if step.urc and not (self.phone.sim_absent and "READY" in step.urc):
            self.urc(self._commands.fill(step.urc))
        if step.event:
            self.room()

    def _start_chatter(self) -> None:
        for chatter in self.personality.chatter:
            self._later(chatter.every, lambda chatter=chatter: self._chat(chatter))  # type: ignore[misc]

    def _chat(self, chatter: Chatter) -> None:
        if chatter.silence not in self.phone.settings.silenced:
            self.urc(self._commands.fill(chatter.urc))
        self._later(chatter.every, lambda: self._chat(chatter))

    def _ring(self, left: int, interval: float) -> None:
        if left <= 0:
            self._missed()
            return
        self.urc("+CRING: VOICE" if self.phone.settings.cring else self.personality.ring)
        if self.phone.settings.clip:
            known = self._caller.removeprefix("+").isdigit()
            kind = 145 if self._caller.startswith("+") else 129
            number, validity = (self._caller, 0) if known else ("", 1)
            self.urc(f'+CLIP: "{number}",{kind if known else 128},"",0,"",{validity}')
        self._call = self._later(interval, lambda: self._ring(left - 1, interval))

    def _missed(self) -> None:
        self._stop_call()
        self.urc((self.personality.missed_call or "NO CARRIER").replace("{caller}", self._caller))

    def _stop_call(self) -> None:
        if self._call is not None:
            self._cancel(self._call)
            self._call = None

    def _forget(self) -> None:
        """What ran, runs no more; what the network had for us, it keeps."""
        self._interpreter.close()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._unacknowledged = self._call = None
        self.ussd_service.cancel()
        self._network.withdrawn(self)

    def _later(self, delay: float, action: Callable[[], None]) -> asyncio.TimerHandle:
        def run() -> None:
            self._timers.discard(handle)
            action()

        handle = asyncio.get_running_loop().call_later(delay, run)
        self._timers.add(handle)
        return handle

    def _cancel(self, timer: asyncio.TimerHandle) -> None:
        timer.cancel()
        self._timers.discard(timer)

    def stats(self) -> dict[str, Any]:
        """Counters for benches and device tests; times are CLOCK_MONOTONIC in seconds."""
        counters = self.phone.counters
        return {
            "modem": self.index,
            "commands": counters.commands,
            "sends": counters.sends,
            "refused": counters.refused,
            "received": counters.received,
            "busy_seconds": counters.busy_seconds,
            "first_activity": counters.first_activity,
            "last_activity": counters.last_activity,
            "unknown_commands": list(counters.unknown),
            "garbage_lines": counters.garbage,
            "bytes_while_busy": counters.bytes_while_busy,
            "lost_bytes": self.line.lost_bytes,
            "boots": counters.boots,
            "pins": counters.pins,
            "hung_up": counters.hung_up,
            "sending": self.sending,
            "waiting": self._network.waiting(self.number),
            "faults": self.faults.armed(),
        }

    def storages(self) -> dict[str, Storage]:
        return self.phone.storages


def _class_of(tpdu: bytes) -> int | None:
    """The message class of a DELIVER; None where there is none, or the octets make no sense."""
    position = 2 + (tpdu[1] + 1) // 2 + 2 if len(tpdu) > 1 else 0
    return wire.message_class(tpdu[position]) if 0 < position < len(tpdu) else None


def _is_push(item: Item) -> bool:
    """A WAP push: an MMS notification."""
    ports = getattr(item.decoded, "ports", None)
    return ports is not None and ports[0] in _WAP_PUSH
