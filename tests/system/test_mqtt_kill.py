"""kill -9 at every acknowledge point between the broker and the journal: each order once, none lost."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from sms_bridge.core.lanes import ANY
from sms_bridge.core.ports import Reader
from sms_bridge.store.journal import Journal
from tests.support.mqttlab import Peer, PlainBroker, core, eventually, room
from tests.support.stack import Broker

NUMBER = "+36301234567"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    started = PlainBroker(tmp_path / "broker", "allow_anonymous true", "max_queued_messages 100000").start()
    yield started
    started.stop()


class Child:
    """The bridge's MQTT and journal in a process of their own."""

    def __init__(self, data: Path, port: int, mode: str = "run", protocol: str = "5") -> None:
        command = [sys.executable, "-m", "tests.support.mqttchild", str(data), str(port), mode, protocol]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)

    def wait_for(self, word: str) -> None:
        assert self.process.stdout is not None
        while line := self.process.stdout.readline().decode().strip():
            if line == word:
                return
        raise AssertionError(f"the child never said {word}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


async def texts_of_orders(data: Path) -> Counter[str]:
    """How many orders the journal holds for each text."""

    def all_texts(reader: Reader) -> Counter[str]:
        found: Counter[str] = Counter()
        after: tuple[int, int] | None = None
        while orders := reader.ready(ANY, after, 1000):
            found.update(order.text or "" for order in orders)
            after = orders[-1].key
        return found

    journal = await Journal.open(data)
    try:
        return await journal.read(all_texts)
    finally:
        await journal.close()


@pytest.mark.parametrize("protocol", ["5", "311"])
@pytest.mark.parametrize("point", ["before", "after"])
async def test_killed_around_the_commit_each_order_is_taken_once(
    broker: Broker, tmp_path: Path, point: str, protocol: str
) -> None:
    data = tmp_path / "data"
    peer = Peer(broker.port)
    child = Child(data, broker.port, point, protocol)
    try:
        child.wait_for("ready")
        peer.publish("sms/out", {"id": "with-id", "to": NUMBER, "text": "with an id"})
        peer.publish("sms/out", {"to": NUMBER, "text": "without an id"})
        peer.publish("sms/out/36301234567", "plain text")
        child.wait_for(point)
    finally:
        child.kill()
    async with core(data) as heart, room(data, heart, broker.port, protocol=protocol) as mqtt:
        await eventually(lambda: len(heart.taken) == 3 and not mqtt.intake.unacked, "the broker delivers them again")
        assert all(request.redelivered for request in heart.taken[: 1 if point == "after" else 3])
    assert await texts_of_orders(data) == {"with an id": 1, "without an id": 1, "plain text": 1}
    peer.stop()


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("protocol", ["5", "311"])
async def test_killed_again_and_again_under_load_each_order_is_taken_once(
    broker: Broker, tmp_path: Path, protocol: str
) -> None:
    dice = random.Random(5)
    data = tmp_path / "data"
    peer = Peer(broker.port)
    count = 0
    for _ in range(6):
        child = Child(data, broker.port, "run", protocol)
        child.wait_for("ready")
        end = time.monotonic() + dice.uniform(0.05, 0.4)
        while time.monotonic() < end:
            peer.publish("sms/out/36301234567", f"order {count}")
            peer.publish("sms/out", {"id": f"id-{count}", "to": NUMBER, "text": f"order {count + 1}"})
            count += 2
        child.kill()
    async with core(data) as heart, room(data, heart, broker.port, protocol=protocol) as mqtt:
        peer.publish("sms/out", {"id": "the end", "to": NUMBER, "text": f"order {count}"})
        await eventually(lambda: any(r.id == "the end" for r in heart.taken) and not mqtt.intake.unacked, "the end", 30)
        await eventually(lambda: not mqtt.publisher.waiting, "published", 30)
    found = await texts_of_orders(data)
    assert found == {f"order {n}": 1 for n in range(count + 1)}
    heard = {payload["id"] for payload in peer.payloads("sms/status") if payload["state"] == "queued"}
    assert len(heard) == count + 1, "each has been told, under one id"
    peer.stop()
