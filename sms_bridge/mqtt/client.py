"""paho's client, with its hot paths cut short: plain PUBLISH and PUBACK, in and out, and the calls of the system.

paho 2 builds its tables of MQTT 5 properties anew for each PUBLISH and PUBACK that comes, 55 of 165 us an order, and
keeps what goes out once more, which we keep already. Whatever is not plain (properties, QoS 0 and 2, TLS) takes paho's
own way, and so does all with a paho that these lines were not written for. It also reads a packet in three calls of
the system and more, and writes each in one: each call lets the thread that writes the journal in between, and each
segment wakes the broker.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import paho.mqtt
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

KNOWN_VERSIONS = ("2.1.", "2.2.")
KNOWN = paho.mqtt.__version__.startswith(KNOWN_VERSIONS)
READ_SIZE = 65_536
PUBACK = 0x40


@dataclass(slots=True, eq=False)
class Delivery:
    """One PUBLISH as the broker handed it over."""

    topic: bytes
    payload: bytes
    mid: int
    qos: int
    retain: bool
    dup: bool
    properties: Mapping[str, Any]  # of MQTT 5, by paho's names; empty otherwise


class LeanClient(Client):
    """Calls `on_delivery` for each PUBLISH, instead of `on_message`. `fill`, then read; write, then `drain`."""

    on_delivery: Callable[[Delivery], None]
    on_said: Callable[[int, str], None]
    _heard = memoryview(b"")  # read from the socket, not yet by paho
    _ended = False
    _said: bytearray | None = None  # written, not yet to the socket; None: paho writes to the socket
    _awaited: set[int]  # ids of what `say` wrote

    @property
    def unread(self) -> bool:
        """Whether there is something to read of which no selector will tell."""
        pending = getattr(self.socket(), "pending", None)  # TLS: what was decrypted already
        return bool(self._heard) or (pending is not None and pending() > 0)

    @property
    def unsent(self) -> bool:
        """Whether the socket did not take all that was written."""
        return bool(self._said)

    def gather(self, on_said: Callable[[int, str], None]) -> None:
        """From now on what is written waits for `drain`. For plain TCP only: a TLS socket has its own records.

        `on_said` gets the packet id that `say` gave, and why the broker refused it, or "".
        """
        self._said = bytearray()
        self._awaited = set()
        self.on_said = on_said

    def say(self, topic: bytes, payload: bytes, *, retain: bool) -> int | None:
        """PUBLISH at QoS 1, without properties; its packet id. None: `publish` has to do it."""
        if self._said is None or not KNOWN or not 0 < len(topic) < 65_536:
            return None
        mid = self._mid_generate()
        five = self._protocol == MQTTProtocolVersion.MQTTv5
        self._said.append(0x33 if retain else 0x32)
        size = 4 + five + len(topic) + len(payload)
        while size > 127:
            self._said.append(size & 127 | 128)
            size >>= 7
        self._said.append(size)
        self._said += b"%b%b%b%b%b" % (
            len(topic).to_bytes(2), topic, mid.to_bytes(2), b"\0" if five else b"", payload
        )  # fmt: skip
        self._awaited.add(mid)
        return mid

    def acknowledge(self, mid: int, qos: int) -> bool:
        """PUBACK what came under this id; True: it waits for `drain`."""
        if self._said is None or qos != 1:
            self.ack(mid, qos)
            return False
        self._said += b"\x40\x02%b" % mid.to_bytes(2)
        return True

    def fill(self) -> None:
        """Take what the socket has, if all that it had before is read. OSError."""
        if self._heard or self._ended:
            return
        try:
            found = super()._sock_recv(READ_SIZE)
        except BlockingIOError:
            return
        self._heard = memoryview(found)
        self._ended = not found

    def drain(self) -> None:
        """Give the socket what was written, in as few segments as it takes. OSError."""
        if self._said and self._sock is not None:
            try:
                sent = self._sock.send(self._said)
            except BlockingIOError:
                return
            del self._said[:sent]
            self._last_msg_out = time.monotonic()  # of paho's keep-alive

    def read(self) -> MQTTErrorCode:
        """Take one packet of what `fill` brought, if one is there whole; else what there is, as `loop_read` does."""
        if not KNOWN or self._in_packet["command"]:
            return self.loop_read()
        heard, found = self._heard, _plain(self._heard)
        if found is None:
            return self.loop_read()
        start, end = found
        command = heard[0]
        if command == PUBACK:
            if not self._is_acknowledged(heard[start:end]):
                return self.loop_read()
            self._heard = heard[end:]
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        packet = self._in_packet
        packet["command"], packet["packet"] = command, bytearray(heard[start:end])
        packet["remaining_length"] = end - start
        self._heard = heard[end:]
        try:
            rc = self._handle_publish()
        finally:
            packet["command"], packet["packet"], packet["remaining_length"] = 0, bytearray(), 0
        return self._loop_rc_handle(rc) if rc > 0 else rc

    def _is_acknowledged(self, body: memoryview | bytearray) -> bool:
        """Whether this PUBACK is for what `say` wrote; then it is told."""
        mid = body[0] << 8 | body[1]
        if self._said is None or mid not in self._awaited:
            return False
        self._awaited.discard(mid)
        code = body[2] if len(body) > 2 else 0
        self.on_said(mid, _refusal(code) if code >= 0x80 else "")
        return True

    def _sock_recv(self, bufsize: int) -> bytes:
        found = bytes(self._heard[:bufsize])
        if not found and not self._ended:
            raise BlockingIOError
        self._heard = self._heard[bufsize:]
        return found

    def _sock_send(self, buf: bytes | bytearray) -> int:
        if self._said is None:
            return super()._sock_send(buf)
        self._said += buf
        return len(buf)

    def _do_on_disconnect(self, *arguments: Any, **named: Any) -> None:
        with contextlib.suppress(OSError):
            self.drain()  # the DISCONNECT that this follows upon: the socket is closed next
        super()._do_on_disconnect(*arguments, **named)

    def listen(self, on_delivery: Callable[[Delivery], None]) -> None:
        """Set the callback; before `connect`."""
        self.on_delivery = on_delivery
        self.on_message = self._slowly

    def _slowly(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        found = message.properties
        properties = {key: value for key, value in vars(found).items() if key[0].isupper()} if found else EMPTY
        topic = message._topic
        self.on_delivery(
            Delivery(topic, bytes(message.payload), message.mid, message.qos, message.retain, message.dup, properties)
        )

    if KNOWN:

        def _handle_publish(self) -> MQTTErrorCode:
            command, packet = self._in_packet["command"], self._in_packet["packet"]
            size = len(packet)
            end = 2 + (packet[0] << 8 | packet[1]) if size > 1 else size
            start = end + 2
            if command & 0x06 != 0x02 or size < start or end == 2:
                return super()._handle_publish()
            if self._protocol == MQTTProtocolVersion.MQTTv5:
                if size == start or packet[start]:
                    return super()._handle_publish()
                start += 1
            self.on_delivery(
                Delivery(
                    bytes(packet[2:end]),
                    bytes(packet[start:]),
                    packet[end] << 8 | packet[end + 1],
                    1,
                    bool(command & 0x01),
                    bool(command & 0x08),
                    EMPTY,
                )
            )
            return MQTTErrorCode.MQTT_ERR_SUCCESS

        def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
            packet = self._in_packet["packet"]
            if cmd == "PUBACK" and len(packet) > 1 and self._is_acknowledged(packet):
                return MQTTErrorCode.MQTT_ERR_SUCCESS  # it came in pieces, or behind one of paho's own
            # 0x10: nobody subscribes to it, which is no failure.
            nobody = len(packet) == 3 and packet[2] == 0x10 and self._protocol == MQTTProtocolVersion.MQTTv5
            if cmd != "PUBACK" or not (nobody or len(packet) == 2):
                return super()._handle_pubackcomp(cmd)
            mid = packet[0] << 8 | packet[1]
            with self._out_message_mutex:
                if mid in self._out_messages:
                    return self._do_on_publish(mid, _SUCCESS, _NO_PROPERTIES)
            return MQTTErrorCode.MQTT_ERR_SUCCESS


def _plain(heard: memoryview) -> tuple[int, int] | None:
    """Where the body of a PUBACK or of a PUBLISH at QoS 1 begins and ends; None: another packet, or not all of it."""
    size = len(heard)
    if size < 4 or (heard[0] != PUBACK and heard[0] & 0xF6 != 0x32):
        return None
    length = shift = 0
    for at in range(1, min(size, 5)):
        length |= (heard[at] & 127) << shift
        shift += 7
        if heard[at] < 128:
            end = at + 1 + length
            return (at + 1, end) if length >= 2 and end <= size else None
    return None


def _refusal(code: int) -> str:
    try:
        return str(ReasonCode(PacketTypes.PUBACK, identifier=code))
    except (KeyError, AssertionError):
        return f"reason {code:#04x}"


EMPTY: Final[Mapping[str, Any]] = {}
_SUCCESS = ReasonCode(PacketTypes.PUBACK, "Success")
_NO_PROPERTIES = Properties(PacketTypes.PUBACK)  # type: ignore[no-untyped-call]
