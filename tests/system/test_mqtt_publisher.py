"""The journal's outbox on a real broker: at least once, in order, whatever happens to the link."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sms_bridge.core.model import OutboxRow
from sms_bridge.mqtt import link as link_module
from sms_bridge.mqtt import publisher as publisher_module
from sms_bridge.store import Journal
from tests.support.mqttlab import Peer, PlainBroker, core, eventually, room
from tests.support.stack import Broker

VERSIONS = pytest.mark.parametrize("protocol", ["5", "311"])


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    started = PlainBroker(tmp_path / "broker", "allow_anonymous true", "max_queued_messages 100000").start()
    yield started
    started.stop()


@pytest.fixture
def peer(broker: Broker) -> Iterator[Peer]:
    found = Peer(broker.port)
    yield found
    found.stop()


@VERSIONS
async def test_each_kind_goes_to_its_topic_and_is_marked_published(
    broker: Broker, peer: Peer, tmp_path: Path, protocol: str
) -> None:
    async with core(tmp_path) as heart, room(tmp_path, heart, broker.port, protocol=protocol) as mqtt:
        kinds = {"status": "sms/status", "in": "sms/in", "raw": "sms/raw", "event": "sms/bridge/event"}
        await heart.emit(*((kind, {"kind": kind, "text": "árvíztűrő 👍"}) for kind in kinds))
        for kind, topic in kinds.items():
            assert (await peer.wait(topic))["kind"] == kind
        await eventually(lambda: not mqtt.publisher.waiting, "all are acknowledged")
        assert not await heart.unpublished()
        assert not any(message.retain for message in peer.heard if message.topic in kinds.values())


async def test_what_is_left_from_the_last_process_goes_out_first_and_in_order(
    broker: Broker, peer: Peer, tmp_path: Path
) -> None:
    async with core(tmp_path) as heart:
        for first in range(0, 3000, 500):
            await heart.emit(*(("status", {"n": n}) for n in range(first, first + 500)))
        async with room(tmp_path, heart, broker.port) as mqtt:
            await heart.emit(*(("status", {"n": n}) for n in range(3000, 3100)))
            await eventually(lambda: mqtt.publisher.published >= 3100, "all are published")
            await eventually(lambda: len(peer.payloads("sms/status")) >= 3100, "all are heard")
        assert [payload["n"] for payload in peer.payloads("sms/status")] == list(range(3100))
        assert not await heart.unpublished()


async def test_more_than_memory_holds_comes_in_order_while_received_messages_overtake(
    broker: Broker, peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "HELD", 100)
    monkeypatch.setattr(publisher_module, "CHUNK", 40)
    async with core(tmp_path) as heart, room(tmp_path, heart, broker.port) as mqtt:
        for first in range(0, 2000, 200):
            await heart.emit(*(("status", {"n": n}) for n in range(first, first + 200)), ("in", {"n": first}))
        await eventually(lambda: not mqtt.publisher.waiting and mqtt.publisher.published >= 2010, "all are published")
        await eventually(lambda: len(peer.payloads("sms/status")) >= 2000, "all are heard")
        assert [payload["n"] for payload in peer.payloads("sms/status")] == list(range(2000))
        assert [payload["n"] for payload in peer.payloads("sms/in")] == list(range(0, 2000, 200))
        assert await mqtt.publisher.stop(5)
        assert not await heart.unpublished()


@VERSIONS
async def test_nothing_is_lost_when_the_link_is_cut_again_and_again(
    broker: Broker, peer: Peer, tmp_path: Path, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(link_module, "LAST_DELAY", 0.02)
    async with core(tmp_path) as heart, room(tmp_path, heart, broker.port, protocol=protocol) as mqtt:
        for round_ in range(20):
            await heart.emit(
                *(("status", {"n": n}) for n in range(round_ * 50, round_ * 50 + 50)), ("in", {"n": round_})
            )
            await asyncio.sleep(0.002 * (round_ % 5))
            mqtt.link.drop("cut by the test")
        await eventually(lambda: not mqtt.publisher.waiting, "all are acknowledged")
        await eventually(lambda: {p["n"] for p in peer.payloads("sms/status")} == set(range(1000)), "all are heard")
        assert {payload["n"] for payload in peer.payloads("sms/in")} == set(range(20))
        firsts = list(dict.fromkeys(payload["n"] for payload in peer.payloads("sms/status")))
        assert firsts == sorted(firsts), "first deliveries keep their order"
        assert not await heart.unpublished()


async def test_a_received_message_leaves_within_milliseconds_though_statuses_are_piled_up(
    broker: Broker, tmp_path: Path
) -> None:
    peer = Peer(broker.port, "sms/in")
    async with core(tmp_path) as heart, room(tmp_path, heart, broker.port) as mqtt:
        await heart.emit(*(("status", {"n": n, "filler": "x" * 300}) for n in range(3000)))
        began = time.monotonic()
        await heart.emit(("in", {"text": "urgent"}))
        await peer.wait("sms/in")
        took = time.monotonic() - began
        assert mqtt.publisher.waiting > 100, "the statuses are still on their way"
        assert took < 0.25, took
        await eventually(lambda: not mqtt.publisher.waiting, "all are published")
    peer.stop()


@VERSIONS
async def test_time_from_commit_to_subscriber(broker: Broker, peer: Peer, tmp_path: Path, protocol: str) -> None:
    took = []
    async with core(tmp_path) as heart, room(tmp_path, heart, broker.port, protocol=protocol):
        for number in range(40):
            began = time.monotonic()
            await heart.emit(("in", {"n": number}))
            await eventually(lambda n=number: len(peer.payloads("sms/in")) > n, "heard")  # type: ignore[misc]
            took.append(time.monotonic() - began)
            await asyncio.sleep(0.002)
    # The peer is looked at each 5 ms only; 44 ms would be Nagle.
    assert sorted(took)[20] < 0.02, took


async def test_the_last_messages_are_retained(broker: Broker, peer: Peer, tmp_path: Path) -> None:
    async with core(tmp_path) as heart, room(tmp_path, heart, broker.port):
        await heart.emit(*(("in", {"n": n, "text": "x"}) for n in range(20)))
        await heart.emit(
            ("status", {"id": "a", "state": "sent", "n": 1}),
            ("status", {"id": "a", "state": "delivered", "n": 2, "transaction": {"state": "sent"}}),
        )
        await peer.wait("sms/status", lambda p: p["n"] == 2)
        await peer.wait("sms/last/in", lambda p: p["n"] == 19)
        await peer.wait("sms/last/out", lambda p: p["n"] == 1)
        late = Peer(broker.port, "sms/last/#")
        assert (await late.wait("sms/last/in"))["n"] == 19
        assert (await late.wait("sms/last/out"))["n"] == 1
        assert all(message.retain for message in late.heard)
        late.stop()


async def test_the_last_messages_can_be_switched_off(broker: Broker, peer: Peer, tmp_path: Path) -> None:
    async with core(tmp_path) as heart, room(tmp_path, heart, broker.port, publish_last=False):
        await heart.emit(("in", {"n": 1}), ("status", {"state": "sent"}))
        await peer.wait("sms/status")
        await asyncio.sleep(0.1)
    assert not [message for message in peer.heard if "last" in message.topic]


async def test_what_is_too_large_for_the_broker_does_not_block_the_queue(tmp_path: Path) -> None:
    broker = PlainBroker(tmp_path / "small", "allow_anonymous true", "max_packet_size 3000").start()
    peer = Peer(broker.port)
    try:
        async with core(tmp_path) as heart, room(tmp_path, heart, broker.port, protocol="5") as mqtt:
            await heart.emit(("in", {"n": 1}), ("in", {"n": 2, "text": "é" * 1600}), ("in", {"n": 3}))
            await peer.wait("sms/in", lambda p: p["n"] == 3)
            await eventually(lambda: not mqtt.publisher.waiting, "nothing waits")
            assert mqtt.link.connects == 1
            assert [payload["n"] for payload in peer.payloads("sms/in")] == [1, 3]
    finally:
        peer.stop()
        broker.stop()


async def test_what_an_acl_forbids_is_kept_and_offered_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher_module, "RETRY_REFUSED", 0.3)
    rules = tmp_path / "rules"
    rules.write_text("topic readwrite sms/#\ntopic deny sms/in\n")
    broker = PlainBroker(tmp_path / "strict", "allow_anonymous true", f"acl_file {rules}").start()
    try:
        async with core(tmp_path) as heart, room(tmp_path, heart, broker.port, protocol="5") as mqtt:
            await heart.emit(("in", {"n": 1}), ("status", {"n": 2}))
            await eventually(lambda: mqtt.publisher.published == 1, "the status goes through")
            await asyncio.sleep(0.5)
            assert [json.loads(row.payload)["n"] for row in await heart.unpublished()] == [1]
            rules.write_text("topic readwrite sms/#\n")
            assert broker.process is not None
            broker.process.send_signal(1)  # SIGHUP: read the rules anew
            await eventually(lambda: mqtt.publisher.published == 2, "it went out in the end")
            assert not await heart.unpublished()
    finally:
        broker.stop()


class _SlowToTell:
    """A journal whose loop is busy: what is committed can be read some time before it is announced."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def on_outbox(self, callback: Callable[[list[OutboxRow]], None]) -> None:
        def tell(rows: list[OutboxRow]) -> None:
            asyncio.get_running_loop().call_later(0.05, callback, rows)

        self._journal.on_outbox(tell)


async def test_rows_that_are_read_before_they_are_announced_go_out_once(
    broker: Broker, peer: Peer, tmp_path: Path
) -> None:
    async with core(tmp_path) as heart:
        for first in range(0, 2000, 500):
            await heart.emit(*(("status", {"n": n}) for n in range(first, first + 500)))
        heart.journal = _SlowToTell(heart.journal)  # type: ignore[assignment]
        async with room(tmp_path, heart, broker.port) as mqtt:
            for n in range(2000, 2200):
                await heart.emit(("status", {"n": n}))
            await eventually(lambda: mqtt.publisher.published >= 2200, "all are published")
            await asyncio.sleep(0.2)
            await eventually(lambda: not mqtt.publisher.waiting, "nothing is left")
        # The broker may still be handing them on.
        await eventually(lambda: len(peer.payloads("sms/status")) >= 2200, "the peer has them")
        assert sorted(payload["n"] for payload in peer.payloads("sms/status")) == list(range(2200))
