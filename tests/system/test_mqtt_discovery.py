"""What Home Assistant is told after a restart of the bridge or its own, and with a disk that is full."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hardware.types import ModemStatus
from sms_bridge.config.settings import HomeAssistantSettings
from sms_bridge.core.errors import StoreError
from sms_bridge.mqtt.front import Mqtt
from sms_bridge.mqtt.settings import MqttSettings
from sms_bridge.parts import home_assistant
from sms_bridge.parts.home_assistant import ROW, HomeAssistant, Known
from sms_bridge.store.registry import Registry
from tests.support.mqttlab import DEADLINE, Core, Peer, core, eventually
from tests.support.stack import Broker

CONFIG = "homeassistant/device/+/config"
STICK = ModemStatus("modem-1", imei="860461024123456", model="E3372")


@pytest.fixture
def broker(tmp_path: Path) -> Any:
    found = Broker(tmp_path / "broker").start()
    yield found
    found.stop()


@asynccontextmanager
async def telling(
    data: Path, heart: Core, port: int, *modems: ModemStatus, settings: HomeAssistantSettings | None = None
) -> AsyncIterator[tuple[Mqtt, HomeAssistant]]:
    mqtt = Mqtt(MqttSettings(port=port), service=heart, journal=heart.journal, data=data)
    house = HomeAssistant(
        settings or HomeAssistantSettings(), heart.journal, mqtt, "0.1.0", contacts=lambda: ["anna"], groups=tuple
    )
    await house.start()
    await mqtt.start()
    try:
        assert await mqtt.link.wait_connected(DEADLINE)
        for modem in modems:
            mqtt.states.modem_changed(modem)
        yield mqtt, house
    finally:
        await house.stop()
        await mqtt.stop()


@asynccontextmanager
async def listening(port: int, *filters: str) -> AsyncIterator[Peer]:
    peer = await asyncio.to_thread(Peer, port, *(filters or (CONFIG,)))
    try:
        yield peer
    finally:
        await asyncio.to_thread(peer.stop)


def kept(peer: Peer) -> dict[str, str]:
    """Name of the device by topic, as it stands now."""
    found = {}
    for message in list(peer.heard):
        if message.payload:
            found[message.topic] = json.loads(message.payload)["device"]["name"]
        else:
            found.pop(message.topic, None)
    return found


def named(peer: Peer) -> set[str]:
    return set(kept(peer).values())


async def test_what_an_earlier_run_left_is_taken_away_but_not_at_once(
    tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home_assistant, "LEFT_OVER", 0.5)
    monkeypatch.setattr(home_assistant, "CHECK", 0.1)
    async with core(tmp_path) as heart, listening(broker.port) as peer:
        async with telling(tmp_path, heart, broker.port, STICK, ModemStatus("virtual-1")):
            await eventually(lambda: named(peer) == {"SMS bridge", "Modem modem-1", "Modem virtual-1"}, "three devices")
        before = kept(peer)
        # The virtual one is there no more, and the stick has got a name in the configuration.
        stick = ModemStatus("alarm", imei=STICK.imei)
        async with telling(tmp_path, heart, broker.port, stick):
            await eventually(lambda: "Modem alarm" in named(peer), "the new name")
            assert "Modem virtual-1" in named(peer)
            await eventually(lambda: named(peer) == {"SMS bridge", "Modem alarm"}, "the virtual one is gone")
            after = kept(peer)
            assert {topic for topic in before if before[topic] == "Modem modem-1"} < after.keys()
        known = Known.read(await Registry(heart.journal, ROW).load())
        assert after.keys() <= set(known.topics)
        off = HomeAssistantSettings(discovery=False)
        async with telling(tmp_path, heart, broker.port, stick, settings=off):
            await eventually(lambda: not kept(peer), "all is gone")


async def test_a_birth_that_is_retained_is_an_old_one(
    tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home_assistant, "BIRTH_DELAY", (0.0, 0.0))
    async with core(tmp_path) as heart, listening(broker.port, CONFIG, "sms/bridge/#") as peer:
        peer.publish("homeassistant/status", "online", retain=True)
        async with telling(tmp_path, heart, broker.port, STICK):
            await eventually(lambda: len(kept_raw(peer)) == 2, "two devices")
            peer.publish("homeassistant/status", "offline")
            peer.publish("sms/bridge/request/message/get", "{}")
            await peer.wait("sms/bridge/response/message/get")
            assert len(kept_raw(peer)) == 2
            online = len(peer.payloads("sms/bridge/state"))
            peer.publish("homeassistant/status", "online")
            await eventually(lambda: len(kept_raw(peer)) == 4, "both again")
            await eventually(lambda: len(peer.payloads("sms/bridge/state")) == online + 1, "and the state")


def kept_raw(peer: Peer) -> list[str]:
    return [message.topic for message in list(peer.heard) if message.topic.startswith("homeassistant/device/")]


async def test_a_disk_that_refuses_delays_it_and_nothing_is_published_that_is_not_kept(
    tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home_assistant, "STORE_RETRY", 0.05)
    save = Registry.save
    refused: list[str] = []

    async def full(self: Registry, text: str) -> None:
        if len(refused) < 3:
            refused.append(text)
            raise StoreError("the disk is full")
        await save(self, text)

    monkeypatch.setattr(Registry, "save", full)
    async with core(tmp_path) as heart, listening(broker.port) as peer:
        async with telling(tmp_path, heart, broker.port, STICK):
            await eventually(lambda: named(peer) == {"SMS bridge", "Modem modem-1"}, "published after all")
        known = Known.read(await Registry(heart.journal, ROW).load())
        assert set(known.topics) == kept(peer).keys()
        assert {json.loads(text)["bridge"] for text in refused} == {known.bridge}


async def test_a_broker_that_takes_small_packets_only_is_not_offered_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Broker(tmp_path / "small", extra="max_packet_size 3000\n").start()
    try:
        async with core(tmp_path) as heart, listening(broker.port, "sms/#", CONFIG) as peer:
            async with telling(tmp_path, heart, broker.port, STICK) as (mqtt, _):
                await peer.wait("sms/modem/modem-1", lambda p: p["name"] == "modem-1")
                await eventually(lambda: "larger than the broker takes" in caplog.text, "said")
                mqtt.states.retain("sms/after", "this goes out")
                await peer.wait("sms/after", lambda p: True)
                assert mqtt.link.connects == 1
            assert not kept_raw(peer)
    finally:
        broker.stop()
