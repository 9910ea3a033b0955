"""Orders from a real broker to a real journal: persist, then PUBACK; nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sms_bridge.mqtt import intake as intake_module
from sms_bridge.mqtt.intake import HIGH
from sms_bridge.mqtt.settings import IN_FLIGHT
from tests.support.mqttlab import Peer, PlainBroker, core, eventually, room
from tests.support.stack import Broker

NUMBER = "+36301234567"
VERSIONS = pytest.mark.parametrize("protocol", ["5", "311"])


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    # Without a snapshot for each message, so that floods are the bridge's problem and not the broker's.
    lines = ("allow_anonymous true", "max_queued_messages 100000")
    started = PlainBroker(tmp_path_factory.mktemp("broker"), *lines).start()
    yield started
    started.stop()


@pytest.fixture
def peer(broker: Broker, request: pytest.FixtureRequest) -> Iterator[Peer]:
    found = Peer(broker.port)
    yield found
    for message in found.heard:
        if message.retain:
            found.publish(message.topic, b"", retain=True)
    found.stop()


@pytest.fixture
def client_id(request: pytest.FixtureRequest) -> str:
    return f"bridge-{abs(hash(request.node.nodeid))}"


@VERSIONS
async def test_orders_of_all_three_topics_are_taken_and_their_statuses_published(
    broker: Broker, peer: Peer, tmp_path: Path, protocol: str, client_id: str
) -> None:
    async with core(tmp_path) as heart, room(tmp_path, heart, broker.port, protocol=protocol, client_id=client_id):
        peer.publish("sms/out", {"id": "a", "to": NUMBER, "text": "one", "transaction": 23})
        peer.publish("sms/out/36301234567", "plain text, no JSON")
        peer.publish("sms/out/anna", {"id": "b", "text": "by alias"})
        peer.publish("sms/modem/stick-1/out", {"id": "c", "to": [NUMBER], "text": "bound"})
        status = await peer.wait("sms/status", lambda p: p["id"] == "a")
        assert (status["state"], status["to"], status["transaction"]) == ("queued", NUMBER, 23)
        await peer.wait("sms/status", lambda p: p["id"] == "b" and p["to"] == "+36301112233")
        await peer.wait("sms/status", lambda p: p["id"] == "c" and p["state"] == "queued")
        texts = {request.text: request for request in heart.taken}
        assert texts["plain text, no JSON"].to == (NUMBER,)
        assert texts["bound"].modem == "stick-1"


@VERSIONS
async def test_nothing_is_acknowledged_before_the_commit(
    broker: Broker, peer: Peer, tmp_path: Path, protocol: str, client_id: str
) -> None:
    async with core(tmp_path) as heart:
        async with room(tmp_path, heart, broker.port, protocol=protocol, client_id=client_id) as mqtt:
            heart.gate = asyncio.Event()
            for number in range(5):
                peer.publish("sms/out", {"to": NUMBER, "text": f"held {number}"})
            await eventually(lambda: heart.begun and mqtt.intake.unacked == 5, "all five have come")
            first = heart.begun
            mqtt.link.drop("cut by the test")  # before the commit: the broker still has them
            heart.gate.set()
            heart.gate = None
            await eventually(lambda: len(heart.taken) >= first + 5 and not mqtt.intake.unacked, "all five came again")
        # Some were committed twice over, as the first commit ended after the cut; recognised by the broker's packet id.
        statuses = [row for row in await heart.unpublished() if row.kind == "status"]
        seen = {json.loads(row.payload)["id"] for row in statuses}
        seen |= {payload["id"] for payload in peer.payloads("sms/status")}
        assert len(seen) == 5
        assert all(request.redelivered for request in heart.taken[first:])


async def test_a_commit_that_fails_is_asked_for_again_and_taken_once(
    broker: Broker, peer: Peer, tmp_path: Path, client_id: str
) -> None:
    async with core(tmp_path) as heart, room(tmp_path, heart, broker.port, client_id=client_id) as mqtt:
        heart.failing = 2
        for number in range(3):
            peer.publish("sms/out", {"id": f"again-{number}", "to": NUMBER, "text": "x"})
        await eventually(lambda: len(heart.taken) == 3 and not mqtt.intake.unacked, "taken after the disk is back")
        assert [request.id for request in heart.taken] == ["again-0", "again-1", "again-2"]
        assert mqtt.link.connects >= 2


async def test_a_commit_that_fails_after_a_reconnection_costs_the_new_connection_nothing(
    broker: Broker, peer: Peer, tmp_path: Path, client_id: str
) -> None:
    async with core(tmp_path) as heart, room(tmp_path, heart, broker.port, client_id=client_id) as mqtt:
        heart.failing, heart.gate = 1, asyncio.Event()
        peer.publish("sms/out", {"id": "before", "to": NUMBER, "text": "x"})
        await eventually(lambda: heart.begun == 1, "its commit has begun")
        mqtt.link.drop("cut by the test")
        await eventually(lambda: mqtt.link.connects == 2 and mqtt.intake.unacked == 1, "it came again")
        peer.publish("sms/out", {"id": "after", "to": NUMBER, "text": "x"})
        await eventually(lambda: mqtt.intake.unacked == 2, "and one more")
        heart.gate.set()
        await eventually(lambda: len(heart.taken) == 2 and not mqtt.intake.unacked, "both are taken")
        assert mqtt.link.connects == 2


async def test_an_order_that_we_cannot_digest_does_not_hold_up_the_others(
    broker: Broker, peer: Peer, tmp_path: Path, client_id: str
) -> None:
    async with core(tmp_path) as heart, room(tmp_path, heart, broker.port, client_id=client_id):
        heart.bug = "poison"
        heart.gate = asyncio.Event()
        for text in ("before", "poison", "after"):
            peer.publish("sms/out", {"id": text, "to": NUMBER, "text": text})
        heart.gate.set()
        rejected = await peer.wait("sms/status", lambda p: p["state"] == "rejected")
        assert (rejected["id"], rejected["error"]["code"]) == ("poison", "internal")
        await peer.wait("sms/status", lambda p: p["id"] == "before" and p["state"] == "queued")
        await peer.wait("sms/status", lambda p: p["id"] == "after" and p["state"] == "queued")


async def test_a_burst_is_bounded_and_none_is_lost(broker: Broker, peer: Peer, tmp_path: Path, client_id: str) -> None:
    count, highest = 5000, 0
    async with core(tmp_path) as heart, room(tmp_path, heart, broker.port, client_id=client_id) as mqtt:
        infos = [
            peer.client.publish("sms/out", json.dumps({"id": f"b{n}", "to": NUMBER, "text": f"burst {n}"}), qos=1)
            for n in range(count)
        ]
        while len(heart.taken) < count or mqtt.intake.unacked:
            highest = max(highest, mqtt.intake.unacked)
            await asyncio.sleep(0.001)
        await eventually(lambda: all(info.is_published() for info in infos), "the peer has its PUBACKs")
        assert [request.id for request in heart.taken] == [f"b{n}" for n in range(count)], "in the order of arrival"
        assert highest <= HIGH + IN_FLIGHT  # paho reads so many packets in one go
        assert mqtt.link.connects == 1
        await eventually(lambda: len(peer.payloads("sms/status")) >= count, "every status is published", 30)
        assert max(heart.batches) > 1, "orders share commits"


async def test_reading_stops_while_too_much_is_unacknowledged_and_the_link_lives(
    broker: Broker, peer: Peer, tmp_path: Path, client_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "HIGH", 30)
    monkeypatch.setattr(intake_module, "LOW", 10)
    async with (
        core(tmp_path) as heart,
        room(tmp_path, heart, broker.port, client_id=client_id, keepalive=3, protocol="5") as mqtt,
    ):
        heart.gate = asyncio.Event()
        for number in range(1500):
            peer.client.publish("sms/out", json.dumps({"id": f"w{number}", "to": NUMBER, "text": "x"}), qos=1)
        await eventually(lambda: mqtt.intake.unacked >= 30, "the mark is reached")
        await asyncio.sleep(0.2)
        assert mqtt.intake.unacked == 30, "not one more is read"
        await asyncio.sleep(7)  # more than two keep-alives without a commit
        assert mqtt.link.connected
        assert mqtt.link.connects == 1
        heart.gate.set()
        await eventually(lambda: len(heart.taken) == 1500, "all taken once the disk goes on")
        await eventually(lambda: not mqtt.intake.unacked, "and acknowledged")
        assert mqtt.link.connects == 1


@VERSIONS
async def test_a_retained_order_found_at_subscription_is_rejected_and_not_obeyed(
    broker: Broker, peer: Peer, tmp_path: Path, protocol: str, client_id: str
) -> None:
    peer.publish("sms/out", {"id": "kept", "to": NUMBER, "text": "x"}, retain=True)
    try:
        async with core(tmp_path) as heart, room(tmp_path, heart, broker.port, protocol=protocol, client_id=client_id):
            rejected = await peer.wait("sms/status", lambda p: p["id"] == "kept")
            assert rejected["state"] == "rejected"
            assert rejected["error"]["code"] == "retained"
            peer.publish("sms/out", {"id": "next", "to": NUMBER, "text": "x"})
            await peer.wait("sms/status", lambda p: p["id"] == "next" and p["state"] == "queued")
            assert [request.id for request in heart.taken] == ["next"]
    finally:
        peer.publish("sms/out", b"", retain=True)


async def test_mqtt_5_tells_of_the_retain_flag_to_a_listener_too(
    broker: Broker, peer: Peer, tmp_path: Path, client_id: str
) -> None:
    async with core(tmp_path) as heart, room(tmp_path, heart, broker.port, protocol="5", client_id=client_id):
        try:
            peer.publish("sms/out/36301234567", "retained while we listen", retain=True)
            assert (await peer.wait("sms/status", lambda p: p["state"] == "rejected"))["error"]["code"] == "retained"
        finally:
            peer.publish("sms/out/36301234567", b"", retain=True)
        peer.publish("sms/out", {"id": "clean", "to": NUMBER, "text": "x"})
        await peer.wait("sms/status", lambda p: p["id"] == "clean")
        assert [request.id for request in heart.taken] == ["clean"]
        assert len(heart.rejected) == 1, "clearing the topic is no order"


BAD = [
    ("{", "invalid_json"),
    (b"\xff\xfe", "invalid_json"),
    ("", "invalid_json"),
    ("[" * 50_000, "invalid_json"),
    ('{"to":"1","to":"2","text":"x"}', "invalid_json"),
    ({"id": "x1", "to": NUMBER, "text": "x", "txt": 1}, "unknown_field"),
    ({"id": "x2", "text": "x"}, "no_recipient"),
    ({"id": "x3", "to": "+36\r301234567", "text": "x"}, "invalid_number"),
    ({"id": "x4", "to": NUMBER, "text": ""}, "empty_text"),
    ({"id": "x5", "to": NUMBER}, "no_text"),
    ({"id": "x6", "to": NUMBER, "text": "x" * 262_144}, "too_long"),
    ("x" * (1024 * 1024 + 1), "payload_too_large"),
    ({"id": "x7", "to": 36301234567, "text": "x"}, "invalid_field"),
    ({"id": "x8", "to": NUMBER, "text": "x", "sender": "ME"}, "invalid_sender"),
]


@VERSIONS
async def test_bad_input_is_rejected_in_words_and_the_next_order_goes_through(
    broker: Broker, peer: Peer, tmp_path: Path, protocol: str, client_id: str
) -> None:
    async with core(tmp_path) as heart, room(tmp_path, heart, broker.port, protocol=protocol, client_id=client_id):
        for payload, code in BAD:
            before = len(peer.payloads("sms/status"))
            peer.publish("sms/out", payload)
            await eventually(lambda n=before: len(peer.payloads("sms/status")) > n, f"an answer to {code}")  # type: ignore[misc]
            status = peer.payloads("sms/status")[-1]
            assert (status["state"], status["error"]["code"]) == ("rejected", code)
            assert len(status["error"]["text"]) > 10
            if isinstance(payload, dict):
                assert status["id"] == payload.get("id")
        peer.publish("sms/out", {"id": "good", "to": NUMBER, "text": "x"})
        await peer.wait("sms/status", lambda p: p["id"] == "good" and p["state"] == "queued")
        assert [p["id"] for p in peer.payloads("sms/status") if p["state"] != "rejected"] == ["good"]


async def test_response_topic_and_correlation_data_are_honoured(
    broker: Broker, peer: Peer, tmp_path: Path, client_id: str
) -> None:
    async with core(tmp_path) as heart, room(tmp_path, heart, broker.port, client_id=client_id):
        peer.publish(
            "sms/out",
            {"id": "asked", "to": NUMBER, "text": "x", "transaction": "t"},
            ResponseTopic="house/answers",
            CorrelationData=b"\x00\x01",
        )
        answer = await peer.wait("house/answers")
        assert answer == {"status": "ok", "data": {"id": "asked", "orders": 1, "repeated": False}, "transaction": "t"}
        message = next(m for m in peer.heard if m.topic == "house/answers")
        assert message.properties is not None
        assert vars(message.properties)["CorrelationData"] == b"\x00\x01"
        peer.publish("sms/out", {"id": "bad", "text": "x"}, ResponseTopic="house/answers")
        refused = await peer.wait("house/answers", lambda p: p["status"] == "error")
        assert refused["data"] == {"id": "bad", "code": "no_recipient"}
        for topic in ("sms/out", "sms/bridge/request/restart", "$SYS/x"):
            peer.publish("sms/out", {"id": f"to {topic}", "to": NUMBER, "text": "x"}, ResponseTopic=topic)
            await peer.wait("sms/status", lambda p, t=topic: p["id"] == f"to {t}")  # type: ignore[misc]
        assert len(peer.payloads("sms/out")) == 5
        assert len(heart.taken) == 4


async def test_message_expiry_becomes_the_deadline(broker: Broker, peer: Peer, tmp_path: Path, client_id: str) -> None:
    async with core(tmp_path) as heart, room(tmp_path, heart, broker.port, client_id=client_id):
        peer.publish("sms/out", {"id": "e1", "to": NUMBER, "text": "x"}, MessageExpiryInterval=600)
        peer.publish(
            "sms/out",
            {"id": "e2", "to": NUMBER, "text": "x", "deadline": "2020-01-01T00:00:00+00:00"},
            MessageExpiryInterval=600,
        )
        peer.publish("sms/out", {"id": "e3", "to": NUMBER, "text": "x"}, MessageExpiryInterval=2**32 - 1)
        await eventually(lambda: len(heart.taken) == 3, "all three are taken")
        now = datetime.now(UTC).timestamp()
        first, second, third = [
            order.deadline / 1000
            for id in ("e1", "e2", "e3")
            for order in await heart.journal.read(lambda reader, id=id: reader.orders_of(id))
            if order.deadline is not None
        ]
        assert 590 < first - now < 601
        assert second == datetime(2020, 1, 1, tzinfo=UTC).timestamp()
        assert third - now > 99 * 365 * 86_400
        await peer.wait("sms/status", lambda p: p["id"] == "e2" and p["state"] == "expired")
        heart.gate = asyncio.Event()  # a slow disk keeps an order before it busy: the time is counted from the arrival
        peer.publish("sms/out", {"id": "slow", "to": NUMBER, "text": "x"})
        await asyncio.sleep(0.1)
        peer.publish("sms/out", {"id": "e4", "to": NUMBER, "text": "x"}, MessageExpiryInterval=1)
        await asyncio.sleep(1.2)
        heart.gate.set()
        await peer.wait("sms/status", lambda p: p["id"] == "e4" and p["state"] == "expired")


async def test_orders_sent_while_we_are_away_are_taken_in_their_order(
    broker: Broker, peer: Peer, tmp_path: Path, client_id: str
) -> None:
    async with core(tmp_path) as heart:
        async with room(tmp_path, heart, broker.port, client_id=client_id):
            pass
        for number in range(50):
            peer.publish("sms/out", {"id": f"away-{number}", "to": NUMBER, "text": "x"})
        async with room(tmp_path, heart, broker.port, client_id=client_id):
            await eventually(lambda: len(heart.taken) == 50, "all 50 are taken")
        assert [request.id for request in heart.taken] == [f"away-{number}" for number in range(50)]


async def test_after_stop_intake_nothing_more_is_taken_and_it_comes_again(
    broker: Broker, peer: Peer, tmp_path: Path, client_id: str
) -> None:
    async with core(tmp_path) as heart:
        async with room(tmp_path, heart, broker.port, client_id=client_id) as mqtt:
            await mqtt.stop_intake()
            peer.publish("sms/out", {"id": "late", "to": NUMBER, "text": "x"})
            await heart.emit(("event", {"event_type": "recovery"}))
            await peer.wait("sms/bridge/event")  # the way out is still open
            assert not heart.taken
        async with room(tmp_path, heart, broker.port, client_id=client_id):
            await eventually(lambda: [request.id for request in heart.taken] == ["late"], "it came again")


async def test_the_same_text_without_an_id_twice_is_two_orders(
    broker: Broker, peer: Peer, tmp_path: Path, client_id: str
) -> None:
    async with core(tmp_path) as heart, room(tmp_path, heart, broker.port, client_id=client_id):
        for _ in range(2):
            peer.publish("sms/out/36301234567", "ring ring")
        await eventually(lambda: len({p["id"] for p in peer.payloads("sms/status")}) == 2, "two orders")
        keys = {request.delivery_key for request in heart.taken}
        assert len(keys) == 2


async def test_an_order_is_acknowledged_within_milliseconds(
    broker: Broker, peer: Peer, tmp_path: Path, client_id: str
) -> None:
    took = []
    async with core(tmp_path) as heart, room(tmp_path, heart, broker.port, client_id=client_id):
        for number in range(30):
            began = time.monotonic()
            peer.publish("sms/out", {"id": f"q{number}", "to": NUMBER, "text": "x"})
            await eventually(lambda n=number: len(heart.taken) > n, "taken")  # type: ignore[misc]
            took.append(time.monotonic() - began)
            await asyncio.sleep(0.002)
    assert sorted(took)[15] < 0.02, took  # this broker has no set_tcp_nodelay: 40 ms would be a delayed ACK
