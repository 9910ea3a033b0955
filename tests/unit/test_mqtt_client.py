"""The short cuts through paho: the same as paho's own way, and noticed when a new paho moves the road."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Any

import paho.mqtt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from sms_bridge.mqtt.client import KNOWN_VERSIONS, Delivery, LeanClient

VERSIONS = [MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311]


def lean(version: MQTTProtocolVersion) -> tuple[LeanClient, list[Delivery]]:
    client = LeanClient(CallbackAPIVersion.VERSION2, protocol=version, manual_ack=True)
    heard: list[Delivery] = []
    client.listen(heard.append)
    return client, heard


def plain(version: MQTTProtocolVersion) -> tuple[Client, list[MQTTMessage]]:
    client = Client(CallbackAPIVersion.VERSION2, protocol=version, manual_ack=True)
    heard: list[MQTTMessage] = []
    client.on_message = lambda _client, _data, message: heard.append(message)
    return client, heard


def feed(client: Client, command: int, packet: bytes) -> Any:
    client._in_packet["command"] = command
    client._in_packet["packet"] = bytearray(packet)
    client._in_packet["remaining_length"] = len(packet)
    try:
        return client._packet_handle()
    except Exception as error:
        return type(error)


def test_this_paho_is_one_that_the_short_cuts_were_written_for() -> None:
    assert paho.mqtt.__version__.startswith(KNOWN_VERSIONS), "check client.py against it, then add it there"
    assert LeanClient._handle_publish is not Client._handle_publish


def publish(version: MQTTProtocolVersion, topic: bytes, mid: int, payload: bytes, properties: bytes = b"\0") -> bytes:
    head = struct.pack("!H", len(topic)) + topic + struct.pack("!H", mid)
    return head + (properties if version == MQTTProtocolVersion.MQTTv5 else b"") + payload


@pytest.mark.parametrize("version", VERSIONS)
@given(
    topic=st.binary(min_size=1, max_size=40), mid=st.integers(1, 65_535), payload=st.binary(), flags=st.integers(0, 1)
)
def test_a_publish_reads_as_paho_reads_it(
    version: MQTTProtocolVersion, topic: bytes, mid: int, payload: bytes, flags: int
) -> None:
    command = 0x32 | flags | (8 * flags)
    packet = publish(version, topic, mid, payload)
    (ours, heard), (theirs, expected) = lean(version), plain(version)
    assert feed(ours, command, packet) == feed(theirs, command, packet)
    message = expected[0]
    assert (heard[0].topic, heard[0].payload, heard[0].mid) == (message._topic, bytes(message.payload), message.mid)
    assert (heard[0].qos, heard[0].retain, heard[0].dup) == (message.qos, message.retain, message.dup)
    assert heard[0].properties == {}


@pytest.mark.parametrize("version", VERSIONS)
@given(command=st.integers(0x30, 0x3F), packet=st.binary(max_size=60))
def test_any_octets_of_a_publish_end_as_with_paho(version: MQTTProtocolVersion, command: int, packet: bytes) -> None:
    (ours, heard), (theirs, expected) = lean(version), plain(version)
    assert feed(ours, command, packet) == feed(theirs, command, packet)
    assert len(heard) == len(expected)


def test_properties_of_mqtt_5_are_handed_on() -> None:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ResponseTopic = "answers"
    properties.CorrelationData = b"\x01"
    properties.MessageExpiryInterval = 60
    client, heard = lean(MQTTProtocolVersion.MQTTv5)
    feed(client, 0x32, publish(MQTTProtocolVersion.MQTTv5, b"t", 7, b"x", properties.pack()))
    assert dict(heard[0].properties) == {
        "ResponseTopic": "answers",
        "CorrelationData": b"\x01",
        "MessageExpiryInterval": 60,
    }
    assert heard[0].payload == b"x"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("packet", [b"\x00\x01", b"\x00\x01\x10", b"\x00\x01\x87", b"\x00\x01\x00\x00", b"\x00"])
def test_a_puback_ends_as_with_paho(version: MQTTProtocolVersion, packet: bytes) -> None:
    results = []
    for client in (lean(version)[0], plain(version)[0]):
        told: list[tuple[int, int]] = []
        client.on_publish = lambda _c, _d, mid, reason, _p, told=told: told.append((mid, reason.value >= 0x80))
        client.publish("t", b"x", 1)  # not connected: only kept, under packet id 1
        results.append((feed(client, 0x40, packet), told))
    assert results[0] == results[1]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    for one in (ours, theirs):
        one.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


def framed(packet: bytes) -> bytes:
    size, length = len(packet), bytearray()
    while True:
        size, rest = divmod(size, 128)
        length.append(rest | (128 if size else 0))
        if not size:
            return b"\x32" + bytes(length) + packet


def test_packets_cut_anywhere_are_read_whole(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    client, heard = lean(MQTTProtocolVersion.MQTTv5)
    client._sock = ours
    payloads = [b"x" * size for size in (0, 1, 126, 127, 128, 300)]
    octets = b"".join(framed(publish(MQTTProtocolVersion.MQTTv5, b"t", 7, one)) for one in payloads)
    for cut in range(1, len(octets)):
        heard.clear()
        for piece in (octets[:cut], octets[cut:]):
            theirs.send(piece)
            client.fill()
            while client.unread:
                client.read()
        assert [one.payload for one in heard] == payloads


def test_the_end_of_the_connection_is_seen_after_what_came_before_it(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    client, heard = lean(MQTTProtocolVersion.MQTTv5)
    client._sock = ours
    theirs.send(framed(publish(MQTTProtocolVersion.MQTTv5, b"t", 7, b"last")))
    theirs.close()
    client.fill()
    client.read()
    assert [one.payload for one in heard] == [b"last"]
    assert client.socket() is not None
    client.fill()
    client.read()
    assert client.socket() is None


def test_what_the_socket_does_not_take_waits_in_its_order(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    client, _ = lean(MQTTProtocolVersion.MQTTv5)
    client._sock = ours
    client.gather(lambda *_: None)
    said = [bytes([n]) * 50_000 for n in range(40)]
    for one in said:
        assert client._sock_send(one) == len(one)
    client.drain()
    assert client.unsent, "the test wrote less than a socket takes"
    heard = bytearray()
    while client.unsent:
        heard += theirs.recv(1 << 20)
        client.drain()
    while len(heard) < sum(map(len, said)):
        heard += theirs.recv(1 << 20)
    assert heard == b"".join(said)


@pytest.mark.parametrize("version", VERSIONS)
@given(
    topic=st.text("abc/é", min_size=1, max_size=200).map(str.encode),
    payload=st.one_of(st.binary(max_size=40), st.integers(100, 20_000).map(bytes)),
    retain=st.booleans(),
)
def test_a_publish_is_written_as_paho_writes_it(
    version: MQTTProtocolVersion, topic: bytes, payload: bytes, retain: bool
) -> None:
    ours, theirs = lean(version)[0], plain(version)[0]
    ours.gather(lambda *_: None)
    theirs._sock = object()  # type: ignore[assignment]  # connected, as far as this goes
    theirs.on_socket_register_write = lambda *_: None
    mid = ours.say(topic, payload, retain=retain)
    theirs._send_publish(mid or 0, topic, payload, 1, retain)
    assert ours._said == theirs._out_packet[0]["packet"]
    theirs._sock = None


@pytest.mark.parametrize(
    ("answer", "refused"),
    [(b"\x40\x02%b", ""), (b"\x40\x03%b\x10", ""), (b"\x40\x04%b\x00\x00", ""), (b"\x40\x03%b\x87", "Not authorized")],
)
def test_what_was_said_is_acknowledged_once(
    pair: tuple[socket.socket, socket.socket], answer: bytes, refused: str
) -> None:
    ours, theirs = pair
    client, _ = lean(MQTTProtocolVersion.MQTTv5)
    client._sock = ours
    told: list[tuple[int, str]] = []
    client.gather(lambda mid, why: told.append((mid, why)))
    mids = [client.say(b"t", b"x", retain=False) for _ in range(3)]
    client.drain()
    assert len(theirs.recv(100)) == 3 * 9
    for mid in (*reversed(mids), mids[0]):  # the last one is nobody's
        assert mid is not None
        theirs.send(answer % mid.to_bytes(2))
    client.fill()
    while client.unread:
        assert client.read() == 0
    assert told == [(mid, refused) for mid in reversed(mids)]
    told.clear()
    for cut in range(1, len(answer % b"..")):
        mid = client.say(b"t", b"x", retain=False)
        assert mid is not None
        packet = answer % mid.to_bytes(2)
        for piece in (packet[:cut], packet[cut:]):
            theirs.send(piece)
            client.fill()
            assert client.read() == 0
        assert told.pop() == (mid, refused)
    client.drain()
    theirs.recv(1000)
    assert client.acknowledge(7, 1)
    client.drain()
    assert theirs.recv(100) == b"\x40\x02\x00\x07"
