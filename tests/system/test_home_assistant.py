"""The devices that Home Assistant finds at the broker: there, repeated on its birth, renamed, taken away."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.ha_facts import complaints
from tests.support.plug_stack import plugging
from tests.support.stack import Stack, running, wait_until

PEOPLE = "contacts:\n  anna: '+36301234567'\n  bela: '+36209876543'\ngroups:\n  family: [anna, bela]\n"
DEADLINE = 15.0


class House:
    """Home Assistant's end: what is retained for it, and every payload in the order it came."""

    def __init__(self, port: int, prefix: str) -> None:
        self.kept: dict[str, dict[str, Any]] = {}
        self.heard: list[tuple[str, bytes]] = []
        self._prefix = prefix
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id="house")
        self.client.on_message = self._remember
        subscribed = threading.Event()
        self.client.on_subscribe = lambda *_: subscribed.set()
        self.client.connect("127.0.0.1", port)
        self.client.subscribe(f"{prefix}/device/+/config", qos=1)
        self.client.loop_start()
        assert subscribed.wait(DEADLINE)

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        del self.client

    def birth(self) -> None:
        self.client.publish(f"{self._prefix}/status", "online")

    def named(self, name: str) -> dict[str, Any] | None:
        return next((one for one in list(self.kept.values()) if one["device"]["name"] == name), None)

    def wait_named(self, *names: str) -> None:
        wait_until(lambda: sorted(names) == sorted(self.names()), DEADLINE, f"{names}, and now {self.names()}")

    def names(self) -> list[str]:
        return [one["device"]["name"] for one in list(self.kept.values())]

    def _remember(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        self.heard.append((message.topic, bytes(message.payload)))
        if message.payload:
            self.kept[message.topic] = json.loads(message.payload)
        else:
            self.kept.pop(message.topic, None)


@contextmanager
def listening(stack: Stack, prefix: str = "homeassistant") -> Iterator[House]:
    house = House(stack.broker.port, prefix)
    try:
        yield house
    finally:
        house.stop()


def ids(payload: dict[str, Any] | None) -> set[str]:
    assert payload is not None
    return {one["unique_id"] for one in payload["components"].values()}


def test_devices_come_follow_a_name_and_go(tmp_path: Path) -> None:
    with running(tmp_path, modems=1, extra=PEOPLE) as stack, listening(stack) as house:
        house.wait_named("SMS bridge", "Modem modem0")
        bridge = house.named("SMS bridge")
        assert bridge is not None
        assert {"notify_contact_anna", "notify_contact_bela", "notify_group_family"} <= bridge["components"].keys()
        wait_until(lambda: (house.named("Modem modem0") or {})["device"].get("model"), DEADLINE, "the model is known")
        for payload in list(house.kept.values()):
            assert complaints(payload) == []
        for _, raw in house.heard:
            assert not re.search(rb"\+?[0-9]{9,}", raw), "a number is retained at the broker"

        published_of_each_component(stack, house)
        before = len(house.heard)
        stack.observer.request("inbox/list")  # something else happens
        assert len(house.heard) == before, "published again although nothing changed"
        house.birth()
        wait_until(lambda: {topic for topic, _ in house.heard[before:]} == house.kept.keys(), DEADLINE, "repeated")

        old = house.named("Modem modem0")
        stack.bridge.stop()
        stack.bridge.start()
        stack.wait_ready(since=len(stack.observer.seen))
        assert ids(house.named("Modem modem0")) == ids(old)
        assert ids(house.named("SMS bridge")) == ids(bridge)


def published_of_each_component(stack: Stack, house: House) -> None:
    """Whatever a component listens to is published: a topic with a slip would be an entity that is unknown for ever."""
    number = "+36301234567"
    stack.observer.publish("out", {"id": "one", "to": "@anna", "text": "hello"})
    stack.emulation.do("deliver", modem=0, **{"from": number, "text": "hello"})
    stack.observer.wait_state("one", "sent")
    stack.observer.wait_for("last/in", lambda p: p["from"] == number)
    stack.observer.wait_for("last/out", lambda p: p["id"] == "one")
    stack.observer.wait_for("bridge/health", lambda p: p["sent"] == 1 and p["reason"] is None)
    heard = {item.topic for item in stack.observer.seen} | {"sms/modem/modem0/call"}
    for payload in house.kept.values():
        for key, one in payload["components"].items():
            assert {
                value for name, value in one.items() if name in ("state_topic", "json_attributes_topic")
            } <= heard, key


def test_a_renamed_modem_keeps_its_entities_and_what_is_removed_is_gone(tmp_path: Path) -> None:
    config = "virtual_modems: {count: 1, latency: 0}\nhome_assistant: {prefix: house/ha, notify: []}\n" + PEOPLE
    with plugging(tmp_path, 1, config=config) as stack, listening(stack, "house/ha") as house:
        house.wait_named("SMS bridge", "Modem virtual-1")
        stack.put(0, "1-1")
        stack.wait_modem("quectel-1", "ready")
        house.wait_named("SMS bridge", "Modem quectel-1")
        assert "notify" not in {one["platform"] for one in (house.named("SMS bridge") or {})["components"].values()}
        before = house.named("Modem quectel-1")
        stack.observer.request("modem/rename", **{"from": "quectel-1", "to": "alarm"})
        house.wait_named("SMS bridge", "Modem alarm")
        assert ids(house.named("Modem alarm")) == ids(before)
        emptied = [topic for topic, payload in house.heard if not payload]
        assert len(emptied) == 1, "only the virtual modem was taken away"

        stack.pull(0, "1-1")
        stack.wait_modem("alarm", "offline")
        assert house.named("Modem alarm") is not None, "a modem that is unplugged is unavailable, not gone"
        assert stack.observer.request("modem/remove", modem="alarm")["status"] == "ok"
        house.wait_named("SMS bridge")

        stack.bridge.stop()
        file = stack.bridge.config
        file.write_text(file.read_text().replace("{prefix: house/ha, notify: []}", "{discovery: false}"))
        stack.bridge.start()
        house.wait_named()
