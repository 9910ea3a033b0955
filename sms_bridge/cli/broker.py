"""One MQTT client for one command: connects, subscribes, publishes; says in sentences what went wrong."""

from __future__ import annotations

import json
import queue
import socket
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from sms_bridge.config import MqttSettings

CONNECT_DEADLINE = 10.0  # seconds for TCP and TLS to a broker across a slow line
STATE_DEADLINE = 2.0  # seconds for the retained bridge state to come after the subscription
ANSWER_DEADLINE = 10.0  # seconds for CONNACK, SUBACK, PUBACK each
RECONNECT = (1, 30)  # seconds, doubling


@dataclass(frozen=True, slots=True)
class Message:
    topic: str
    payload: bytes
    retain: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection broke; paho tries again by itself."""

    reason: str


@dataclass(frozen=True, slots=True)
class Back:
    """Connected and subscribed (again)."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The broker does not let us in, or not at these topics."""

    reason: str


Event = Message | Lost | Back | Refused


@contextmanager
def connected(settings: MqttSettings, topics: Sequence[str]) -> Iterator[Client]:
    """A client that is subscribed to `topics`; ClickException with the way out if that cannot be had."""
    client = Client(settings, topics)
    try:
        client.start()
        yield client
    finally:
        client.stop()


class Client:
    """Owned by the thread of the command; paho's own thread puts events into a queue."""

    def __init__(self, settings: MqttSettings, topics: Sequence[str]) -> None:
        self._settings = settings
        self._topics = list(topics)
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._paho = self._make()
        self._running = False

    @property
    def address(self) -> str:
        return f"{self._settings.host}:{self._settings.port}"

    def start(self) -> None:
        """Connects and waits until all is subscribed."""
        try:
            self._paho.connect(self._settings.host, self._settings.port, keepalive=self._settings.keepalive)
        except (OSError, ValueError) as error:
            raise click.ClickException(self._unreachable(error)) from None
        self._paho.loop_start()
        self._running = True
        event = self.next(ANSWER_DEADLINE)
        if isinstance(event, Refused):
            raise click.ClickException(f"the broker at {self.address} refuses: {event.reason}.")
        if not isinstance(event, Back):
            raise click.ClickException(f"what answers at {self.address} does not speak MQTT as asked: check the port.")

    def stop(self) -> None:
        if self._running:
            self._paho.disconnect()
            self._paho.loop_stop()
            self._running = False

    def next(self, timeout: float | None) -> Event | None:
        """The next thing that happened, or None after `timeout` seconds."""
        try:
            return self._events.get(timeout=timeout)
        except queue.Empty:
            return None

    def publish(self, topic: str, payload: str) -> None:
        """QoS 1; returns once the broker has it."""
        info = self._paho.publish(topic, payload.encode(), qos=1)
        end = time.monotonic() + ANSWER_DEADLINE
        while not info.is_published() and time.monotonic() < end:
            info.wait_for_publish(0.1)
        if not info.is_published():
            raise click.ClickException(f"the broker at {self.address} did not take the order. It may have been sent.")

    def require_bridge(self, topic: str) -> None:
        """ClickException unless the retained state on `topic`, one that we subscribed to, says online."""
        end = time.monotonic() + STATE_DEADLINE
        state = None
        while state is None and time.monotonic() < end:
            event = self.next(STATE_DEADLINE)
            if isinstance(event, Message) and event.topic == topic:
                state = fields_of(event.payload).get("state")
        if state != "online":
            raise click.ClickException(
                f"no bridge is online at the broker {self.address}. Start it with `sms-bridge run`."
            )

    def _make(self) -> paho.Client:
        settings = self._settings
        protocol = MQTTProtocolVersion.MQTTv5 if settings.protocol == "5" else MQTTProtocolVersion.MQTTv311
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=f"sms-bridge-cli-{uuid.uuid4().hex[:8]}", protocol=protocol
        )
        if settings.username is not None:
            client.username_pw_set(settings.username, settings.password)
        if settings.tls is not None:
            client.tls_set_context(self._context())
        client.connect_timeout = CONNECT_DEADLINE
        client.reconnect_delay_set(*RECONNECT)
        client.on_socket_open = _no_delay
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _context(self) -> Any:
        from sms_bridge.mqtt.errors import TlsSettingsError
        from sms_bridge.mqtt.settings import TlsSettings
        from sms_bridge.mqtt.tls import make_context

        tls = self._settings.tls
        assert tls is not None
        try:
            return make_context(TlsSettings(ca=tls.ca, certificate=tls.cert, key=tls.key, insecure=tls.insecure))
        except TlsSettingsError as error:
            raise click.ClickException(f"{error}.") from None

    def _unreachable(self, error: Exception) -> str:
        if isinstance(error, socket.gaierror):
            return f"there is no host called {self._settings.host}: correct mqtt.host in the configuration."
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        what = "Is the bridge running? `sms-bridge run` starts a broker where there is none."
        if not self._settings.local:
            what = "Check mqtt.host, mqtt.port and mqtt.tls in the configuration."
        return f"no broker answers at {self.address} ({why}). {what}"

    def _on_connect(self, client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._events.put(Refused(f"{reason}; check mqtt.username and mqtt.password in the configuration"))
            client.disconnect()
            return
        code, _ = client.subscribe([(topic, 1) for topic in self._topics])
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            client.disconnect()

    def _on_subscribe(self, _client: Any, _data: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        refused = [topic for topic, reason in zip(self._topics, reasons, strict=False) if reason.is_failure]
        self._events.put(Refused(f"no right to read {', '.join(refused)}") if refused else Back())

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._events.put(Lost(str(reason)))

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return  # never one that we subscribed to by name
        self._events.put(Message(topic, bytes(message.payload), bool(message.retain)))


def fields_of(payload: bytes) -> dict[str, Any]:
    """A payload's JSON object; empty for anything else."""
    try:
        found = json.loads(payload)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _no_delay(_client: Any, _data: Any, sock: Any) -> None:
    """Without it each QoS 1 exchange waits 40 ms for a delayed ACK."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
