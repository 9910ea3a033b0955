"""The MQTT room on a real mosquitto, and the real core behind it, with a gate before its commits."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from sms_bridge.core.dispatcher import Dispatcher
from sms_bridge.core.errors import StoreError
from sms_bridge.core.model import Accepted, OutboxRow, Rejected, Rejection, SendRequest
from sms_bridge.core.ports import Transaction
from sms_bridge.core.service import Service
from sms_bridge.core.settings import CoreSettings
from sms_bridge.mqtt.front import Mqtt
from sms_bridge.mqtt.requests import Handler
from sms_bridge.mqtt.settings import MqttSettings
from sms_bridge.store.journal import Journal
from tests.support.stack import START_DEADLINE, Broker, free_port, wait_until

DEADLINE = 15.0
SETTINGS = CoreSettings(default_region="HU", contacts={"anna": "+36301112233"})


class Core:
    """The real service on a real journal, with a gate before its commits so that a test may hold or fail them."""

    def __init__(self, journal: Journal, dispatcher: Dispatcher) -> None:
        self.journal = journal
        self.dispatcher = dispatcher
        self.service = Service(journal, dispatcher, SETTINGS)
        self.begun = 0  # requests whose commit was begun
        self.taken: list[SendRequest] = []  # committed, in order
        self.batches: list[int] = []
        self.rejected: list[Rejection] = []
        self.failing = 0  # so many submits fail
        self.bug: str | None = None  # a request with this text makes submit raise what it must not
        self.gate: asyncio.Event | None = None  # commits wait for it

    async def submit(self, batch: list[SendRequest]) -> list[Accepted | Rejected]:
        self.begun += len(batch)
        if self.gate is not None:
            await self.gate.wait()
        if self.failing:
            self.failing -= 1
            raise StoreError("the disk is full")
        if self.bug is not None and any(request.text == self.bug for request in batch):
            raise KeyError("a mistake of ours")
        answers = await self.service.submit(batch)
        self.batches.append(len(batch))
        self.taken += batch
        return answers

    async def reject(self, rejection: Rejection) -> None:
        await self.service.reject(rejection)
        self.rejected.append(rejection)

    async def emit(self, *messages: tuple[str, Any]) -> None:
        """Put messages into the outbox, in one commit."""

        def work(tx: Transaction) -> None:
            for kind, payload in messages:
                tx.emit(kind, json.dumps(payload, ensure_ascii=False))

        await self.journal.write(work)

    async def unpublished(self) -> list[OutboxRow]:
        """What the journal would publish after a restart, once the lazy marks of two seconds have settled."""
        for _ in range(20):
            rows = await self.journal.outbox_after(0, 100_000)
            if not rows:
                break
            await asyncio.sleep(0.1)
        return rows


@asynccontextmanager
async def core(directory: Path) -> AsyncIterator[Core]:
    """An open journal and the service on it."""
    journal = await Journal.open(directory)
    dispatcher = Dispatcher(journal, SETTINGS)
    found = Core(journal, dispatcher)
    try:
        await found.service.start()
        yield found
    finally:
        await dispatcher.stop()
        await journal.close()


class Peer:
    """Somebody else on the broker: keeps what it hears, publishes, all from a thread of its own."""

    def __init__(self, port: int, *filters: str, version: int = 5, client_id: str | None = None) -> None:
        self.heard: list[paho.MQTTMessage] = []
        self._ready = threading.Event()
        self._filters = filters or ("#",)
        protocol = MQTTProtocolVersion.MQTTv5 if version == 5 else MQTTProtocolVersion.MQTTv311
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id or f"peer-{id(self)}", protocol=protocol)
        self.client.max_inflight_messages_set(20)
        self.client.on_connect = self._subscribe
        self.client.on_subscribe = lambda *_: self._ready.set()
        self.client.on_message = self._hear
        self.client.on_socket_open = _no_delay
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self._ready.wait(DEADLINE), "the peer could not subscribe"

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        del self.client  # paho closes its pair of sockets when it is collected, not before

    def publish(self, topic: str, payload: Any, *, retain: bool = False, qos: int = 1, **properties: Any) -> None:
        """Publish and wait for the broker's PUBACK; `properties` of MQTT 5 by paho's names."""
        raw = payload if isinstance(payload, str | bytes) else json.dumps(payload)
        found: Properties | None = None
        if properties:
            found = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            for name, value in properties.items():
                setattr(found, name, value)
        info = self.client.publish(topic, raw, qos, retain, found)
        info.wait_for_publish(DEADLINE)
        assert info.is_published()

    def payloads(self, topic: str) -> list[Any]:
        return [_decoded(message.payload) for message in list(self.heard) if message.topic == topic]

    async def wait(self, topic: str, condition: Callable[[Any], Any] = lambda _: True) -> Any:
        """The first payload on `topic` for which `condition` holds."""
        position = 0
        end = asyncio.get_running_loop().time() + DEADLINE
        while asyncio.get_running_loop().time() < end:
            heard = self.heard
            while position < len(heard):
                message = heard[position]
                position += 1
                if message.topic == topic and condition(payload := _decoded(message.payload)):
                    return payload
            await asyncio.sleep(0.005)
        raise AssertionError(f"nothing fitting on {topic}: {self.payloads(topic)[-3:]}")

    def _subscribe(self, *_: Any) -> None:
        self.client.subscribe([(one, 1) for one in self._filters])

    def _hear(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        self.heard.append(message)


async def eventually(condition: Callable[[], Any], what: str, deadline: float = DEADLINE) -> Any:
    """The first true value of `condition`."""
    end = asyncio.get_running_loop().time() + deadline
    while not (value := condition()):
        if asyncio.get_running_loop().time() > end:
            raise AssertionError(f"not within {deadline:g} s: {what}")
        await asyncio.sleep(0.005)
    return value


@asynccontextmanager
async def room(
    data: Path,
    heart: Core,
    port: int,
    *,
    handlers: Mapping[str, Handler] | None = None,
    connected: bool = True,
    problems: list[tuple[str, str]] | None = None,
    **settings: Any,
) -> AsyncIterator[Mqtt]:
    """A started MQTT room, stopped on the way out."""
    mqtt = Mqtt(
        replace(MqttSettings(port=port), **settings),
        service=heart,
        journal=heart.journal,
        data=data,
        handlers=handlers,
        on_problem=None if problems is None else lambda code, text: problems.append((code, text)),
    )
    await mqtt.start()
    try:
        if connected:
            assert await mqtt.link.wait_connected(DEADLINE), mqtt.link.problem
        yield mqtt
    finally:
        await mqtt.stop()


class PlainBroker(Broker):
    """A mosquitto with lines of its own in the configuration."""

    def __init__(self, directory: Path, *lines: str) -> None:
        super().__init__(directory, free_port())
        self.lines = lines

    def start(self) -> Broker:
        self.directory.mkdir(parents=True, exist_ok=True)
        os.chmod(self.directory, 0o777)
        conf = self.directory / "mosquitto.conf"
        # A stock mosquitto drops what a slow peer has not taken beyond 1000: here that peer is the test itself.
        lines = self.lines or ("allow_anonymous true", "max_queued_messages 100000")
        head = [f"listener {self.port} 127.0.0.1", f"user {getpass.getuser()}", "log_dest none"]
        conf.write_text("\n".join([*head, *lines]) + "\n")
        self.process = subprocess.Popen(["mosquitto", "-c", str(conf)], stderr=subprocess.DEVNULL)
        wait_until(self._answers, START_DEADLINE, "mosquitto listens")
        return self


def _no_delay(_client: paho.Client, _data: Any, sock: Any) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _decoded(payload: bytes | bytearray) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode("utf-8", "replace")
