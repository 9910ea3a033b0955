"""paho's client, with its hot paths cut short: a plain PUBLISH in, a plain PUBACK in, and the calls of the system.

paho 2 builds its tables of MQTT 5 properties anew for each of them, 55 of 165 us an order. Whatever is not plain
(properties, an error code, QoS 0 and 2) takes paho's own way, and so does a paho that these lines were not
written for. It also reads a packet in three calls and more, and writes each in one: each call lets the thread that
writes the journal in between, and each segment wakes the broker.
"""

from __future__ import annotations

import contextlib
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
READ_SIZE = 65_536


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
    _heard = memoryview(b"")  # read from the socket, not yet by paho
    _ended = False
    _said: bytearray | None = None  # written by paho, not yet to the socket

    @property
    def unread(self) -> bool:
        """Whether there is something to read of which no selector will tell."""
        pending = getattr(self.socket(), "pending", None)  # TLS: what was decrypted already
        return bool(self._heard) or (pending is not None and pending() > 0)

    @property
    def unsent(self) -> bool:
        """Whether the socket did not take all that was written."""
        return bool(self._said)

    def gather(self) -> None:
        """From now on what is written waits for `drain`. For plain TCP only: a TLS socket has its own records."""
        self._said = bytearray()

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

    if paho.mqtt.__version__.startswith(KNOWN_VERSIONS):

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
            # 0x10: nobody subscribes to it, which is no failure.
            nobody = len(packet) == 3 and packet[2] == 0x10 and self._protocol == MQTTProtocolVersion.MQTTv5
            if cmd != "PUBACK" or not (nobody or len(packet) == 2):
                return super()._handle_pubackcomp(cmd)
            mid = packet[0] << 8 | packet[1]
            with self._out_message_mutex:
                if mid in self._out_messages:
                    return self._do_on_publish(mid, _SUCCESS, _NO_PROPERTIES)
            return MQTTErrorCode.MQTT_ERR_SUCCESS


EMPTY: Final[Mapping[str, Any]] = {}
_SUCCESS = ReasonCode(PacketTypes.PUBACK, "Success")
_NO_PROPERTIES = Properties(PacketTypes.PUBACK)  # type: ignore[no-untyped-call]
