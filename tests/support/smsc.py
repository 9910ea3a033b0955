"""A message centre for tests and benches: SMPP 3.4 over TCP, with faults, and a ledger of every submit.

`python -m tests.support.smsc --dir DIR` prints one line of JSON with its port, writes DIR/smsc.jsonl and listens for
commands, a line of JSON each, on DIR/control: {"do": "set", "throttle": 10}, {"do": "deliver", "from": …, "text": …}.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import ssl
import sys
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sms_bridge.routes.smpp import pdu
from sms_bridge.routes.smpp.framing import Framer
from sms_bridge.routes.smpp.pdu import RESPONSE, Address, Command, Message, Tag

REDELIVER_AFTER = 0.2  # seconds, of what was answered with a temporary error
BINDS = (Command.BIND_TRANSCEIVER, Command.BIND_TRANSMITTER, Command.BIND_RECEIVER)


@dataclass
class Faults:
    """What the centre does wrong, or in another way; counters count down with each submit or bind they hit."""

    latency: float = 0.0  # seconds before each response
    drop_responses: int = 0  # these are accepted and never answered
    late_responses: int = 0  # these are answered after `late_by`
    late_by: float = 0.0
    reverse: int = 0  # so many responses are gathered and sent last first
    refuse: int = 0  # these are answered with `refuse_status`
    refuse_status: int = 0x58
    bind_refuse: int = 0
    bind_status: int = 0x05
    deaf: bool = False  # enquire_link is not answered
    mute: bool = False  # nothing at all is answered
    ids: str = "hex"  # how submit_sm_resp names a message: hex, dec
    receipt_ids: str = "same"  # how receipts do: same, hex, dec
    receipts: str = "after"  # after, before (the response), none
    receipt_delay: float = 0.0
    receipt_stat: str = "DELIVRD"
    receipt_tlv: bool = False  # the id and state as parameters, and a text that is no receipt
    cut_after: int = 0  # the connection is cut when so many more submits have come, the last of them not answered
    nack: int = 0  # these submits are answered with generic_nack
    nack_status: int = 0x03
    unbind_after: int = 0  # so many more submits, and the centre takes its leave


@dataclass
class Smsc:
    """The centre. In-process: `await start()`, then the methods; `ledger` is what it knows."""

    system_id: str = "bridge"
    password: str = "secret"
    port: int = 0
    tls: ssl.SSLContext | None = None
    faults: Faults = field(default_factory=Faults)
    file: Path | None = None
    ledger: list[dict[str, Any]] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    undelivered: dict[int, bytes] = field(default_factory=dict)  # body of a deliver_sm by its number, until accepted

    def __post_init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._out = self.file.open("a", encoding="utf-8", buffering=1) if self.file else None
        self._next_id = 0x1000A0  # with letters in hexadecimal
        self._next_delivery = 0

    async def start(self) -> Smsc:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Link(self), "127.0.0.1", self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for link in list(self.links):
            link.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()
        if self._out is not None:
            self._out.close()
        await asyncio.sleep(0)  # connections that were cut are told

    async def __aenter__(self) -> Smsc:
        return await self.start()

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()

    @property
    def submits(self) -> list[dict[str, Any]]:
        """What was submitted and accepted, as far as the centre is concerned."""
        return [entry for entry in self.ledger if entry["kind"] == "submit" and entry["status"] == 0]

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [entry for entry in self.ledger if entry["kind"] == kind]

    def note(self, kind: str, **fields: Any) -> None:
        entry = {"kind": kind, "at": time.monotonic(), **fields}
        self.ledger.append(entry)
        if self._out is not None:
            self._out.write(json.dumps(entry) + "\n")

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def take(self, fault: str) -> bool:
        """Whether this counter still counts, and one down."""
        left = getattr(self.faults, fault)
        if left:
            setattr(self.faults, fault, left - 1)
        return bool(left)

    def new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def deliver(self, body: bytes) -> int:
        """Hand a deliver_sm over, now and with each bind, until it is accepted; its number."""
        self._next_delivery += 1
        self.undelivered[self._next_delivery] = body
        for link in self.links:
            if link.receives:
                link.hand_over(self._next_delivery)
                break
        return self._next_delivery

    def deliver_text(self, sender: str, to: str, text: str, **fields: Any) -> int:
        """A message from a phone, in the GSM alphabet's ASCII part."""
        message = Message(source=Address(sender, 1, 1), destination=Address(to, 1, 1), octets=text.encode(), **fields)
        return self.deliver(pdu.message_body(message))

    def receipt(self, submitted: Message, number: int, **changed: Any) -> None:
        faults = self.faults
        form = faults.ids if faults.receipt_ids == "same" else faults.receipt_ids
        named = changed.get("id") or spelled(number, form)
        stat = changed.get("stat") or faults.receipt_stat
        text = f"id:{named} sub:001 dlvrd:001 submit date:2611251200 done date:2611251201 stat:{stat} err:000 text:x"
        tlvs: tuple[tuple[int, bytes], ...] = ()
        if faults.receipt_tlv:
            text, state = "delivery", {"DELIVRD": 2, "EXPIRED": 3, "UNDELIV": 5, "REJECTD": 8}.get(stat, 7)
            tlvs = ((Tag.RECEIPTED_ID, named.encode() + b"\0"), (Tag.STATE, bytes((state,))))
        message = Message(
            source=submitted.destination, destination=submitted.source, esm_class=0x04, octets=text.encode(), tlvs=tlvs
        )
        self.deliver(pdu.message_body(message))

    async def command(self, asked: dict[str, Any]) -> dict[str, Any]:
        """One line on the control socket."""
        fields = {key: value for key, value in asked.items() if key != "do"}
        match asked.get("do"):
            case "set":
                for key, value in fields.items():
                    if not hasattr(self.faults, key):
                        raise ValueError(f"no such fault: {key}")
                    setattr(self.faults, key, value)
            case "deliver":
                self.deliver_text(fields["from"], fields.get("to", "36201112222"), fields["text"])
            case "raw":
                for link in self.links:
                    link.write(bytes.fromhex(fields["hex"]))
            case "unbind":
                for link in self.links:
                    link.send(Command.UNBIND)
            case "cut":
                for link in list(self.links):
                    link.cut()
            case "state":
                return {"links": len(self.links), "undelivered": len(self.undelivered), "submits": len(self.submits)}
            case other:
                raise ValueError(f"unknown: {other}")
        return {}


class Link(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, smsc: Smsc) -> None:
        self.smsc = smsc
        self.command = 0  # the bind
        self._framer = Framer()
        self._sequence = 0
        self._handed: dict[int, int] = {}  # sequence number: delivery
        self._gathered: list[bytes] = []
        self._transport: asyncio.Transport | None = None

    @property
    def receives(self) -> bool:
        return self.command in (Command.BIND_TRANSCEIVER, Command.BIND_RECEIVER)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.smsc.links.append(self)
        self.smsc.note("connect")

    def connection_lost(self, error: Exception | None) -> None:
        if self in self.smsc.links:
            self.smsc.links.remove(self)
        self.smsc.note("lost")

    def cut(self) -> None:
        assert self._transport is not None
        self._transport.abort()

    def write(self, octets: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(octets)

    def send(self, command: int, body: bytes = b"") -> int:
        self._sequence += 1
        self.write(pdu.pack(command, self._sequence, body))
        return self._sequence

    def hand_over(self, number: int) -> None:
        body = self.smsc.undelivered.get(number)
        if body is not None:
            self._handed[self.send(Command.DELIVER_SM, body)] = number

    def data_received(self, data: bytes) -> None:
        out: list[bytes] = []
        for octets in self._framer.feed(data):
            if self.smsc.faults.mute:
                continue
            frame = pdu.frame_of(octets)
            if frame.command == Command.SUBMIT_SM:
                self._submit(frame, out)
            else:
                self._other(frame)
        if out:
            self._respond(b"".join(out))

    def _respond(self, octets: bytes) -> None:
        latency = self.smsc.faults.latency
        if latency:
            asyncio.get_running_loop().call_later(latency, self.write, octets)
        else:
            self.write(octets)

    def _other(self, frame: pdu.Frame) -> None:
        smsc = self.smsc
        if frame.command in BINDS:
            self._bind(frame)
        elif frame.command == Command.ENQUIRE_LINK:
            smsc.note("enquire_link")
            if not smsc.faults.deaf:
                self.write(pdu.pack(Command.ENQUIRE_LINK_RESP, frame.sequence))
        elif frame.command == Command.UNBIND:
            smsc.note("unbind")
            self.write(pdu.pack(Command.UNBIND_RESP, frame.sequence))
            if self._transport is not None:
                self._transport.close()
        elif frame.command == Command.DELIVER_SM_RESP:
            number = self._handed.pop(frame.sequence, 0)
            smsc.note("deliver_resp", status=frame.status, delivery=number)
            if frame.status == 0x64:
                asyncio.get_running_loop().call_later(REDELIVER_AFTER, self.hand_over, number)
            else:
                smsc.undelivered.pop(number, None)
        else:
            smsc.note("pdu", command=frame.command, status=frame.status, sequence=frame.sequence)

    def _bind(self, frame: pdu.Frame) -> None:
        smsc = self.smsc
        asked = pdu.read_bind(frame.body)
        status = 0
        if smsc.take("bind_refuse"):
            status = smsc.faults.bind_status
        elif asked.system_id != smsc.system_id:
            status = 0x0F
        elif asked.password != smsc.password:
            status = 0x0E
        smsc.note("bind", command=frame.command, status=status, system_id=asked.system_id)
        body = pdu.string_body("smsc") if not status else b""
        self.write(pdu.pack(frame.command | RESPONSE, frame.sequence, body, status))
        if not status:
            self.command = frame.command
            if self.receives:
                for number in list(smsc.undelivered):
                    self.hand_over(number)

    def _submit(self, frame: pdu.Frame, out: list[bytes]) -> None:
        smsc, faults = self.smsc, self.smsc.faults
        message = pdu.read_message(frame.body)
        status = faults.refuse_status if smsc.take("refuse") else 0
        nack = not status and smsc.take("nack")
        number = smsc.new_id()
        smsc.note(
            "submit",
            status=status or (faults.nack_status if nack else 0),
            id=number,
            to=message.destination.text,
            sender=message.source.text,
            coding=message.data_coding,
            esm=message.esm_class,
            validity=message.validity,
            octets=message.content.hex(),
            tlvs=[(tag, value.hex()) for tag, value in message.tlvs if tag != Tag.PAYLOAD],
        )
        if nack:
            out.append(pdu.pack(Command.GENERIC_NACK, frame.sequence, b"", faults.nack_status))
            return
        if status:
            out.append(pdu.pack(Command.SUBMIT_SM_RESP, frame.sequence, b"", status))
            return
        if faults.cut_after:
            faults.cut_after -= 1
            if not faults.cut_after:
                self.cut()
                return
        if faults.unbind_after:
            faults.unbind_after -= 1
            if not faults.unbind_after:
                self.send(Command.UNBIND)
        answer = pdu.pack(Command.SUBMIT_SM_RESP, frame.sequence, spelled(number, faults.ids).encode() + b"\0")
        wants = message.registered_delivery & 3 == 1 and faults.receipts != "none"
        if wants and faults.receipts == "before":
            smsc.receipt(message, number)
        if smsc.take("drop_responses"):
            return
        if smsc.take("late_responses"):
            asyncio.get_running_loop().call_later(faults.late_by, self.write, answer)
            return
        self._answer(answer, out)
        if wants and faults.receipts == "after":
            later = faults.latency + faults.receipt_delay
            asyncio.get_running_loop().call_later(later, smsc.receipt, message, number)

    def _answer(self, answer: bytes, out: list[bytes]) -> None:
        if not self.smsc.faults.reverse:
            out.append(answer)
            return
        self._gathered.append(answer)
        if len(self._gathered) >= self.smsc.faults.reverse:
            out.extend(reversed(self._gathered))
            self._gathered.clear()


def spelled(number: int, form: str) -> str:
    """An id as this centre writes it."""
    return f"{number:X}" if form == "hex" else str(number)


def split_pdus(octets: bytes) -> list[pdu.Frame]:
    """All frames of a recording."""
    return [pdu.frame_of(frame) for frame in Framer().feed(octets)]


async def _control(smsc: Smsc, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while line := await reader.readline():
            try:
                answer = {"ok": True, **await smsc.command(json.loads(line))}
            except (ValueError, KeyError) as error:
                answer = {"ok": False, "error": str(error)}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
    writer.close()


async def _main(options: argparse.Namespace) -> None:
    options.dir.mkdir(parents=True, exist_ok=True)
    faults = Faults(latency=options.latency, receipts=options.receipts)
    file = None if options.no_ledger else options.dir / "smsc.jsonl"
    smsc = Smsc(options.system_id, options.password, options.port, faults=faults, file=file)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sig in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sig, stop.set)
    async with smsc:
        control = await asyncio.start_unix_server(
            lambda reader, writer: _control(smsc, reader, writer), options.dir / "control"
        )
        print(json.dumps({"port": smsc.port}), flush=True)
        await stop.wait()
        control.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.smsc", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--system-id", default="bridge")
    parser.add_argument("--password", default="secret")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each response")
    parser.add_argument("--receipts", default="after", choices=("after", "before", "none"))
    parser.add_argument("--no-ledger", action="store_true", help="for benches")
    asyncio.run(_main(parser.parse_args()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
