"""The whole MQTT room as one object for the composition root: built, started and stopped in the right order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from hardware.types import ModemStatus
from sms_bridge.mqtt.client import Delivery
from sms_bridge.mqtt.connection import Connection
from sms_bridge.mqtt.intake import Intake, SubmitPort
from sms_bridge.mqtt.link import ONLINE, Link
from sms_bridge.mqtt.logtopic import MqttLogHandler
from sms_bridge.mqtt.publisher import OutboxPort, Publisher
from sms_bridge.mqtt.requests import Handler, Requests
from sms_bridge.mqtt.settings import MqttSettings
from sms_bridge.mqtt.states import UNKNOWN_BALANCE, StateTopics
from sms_bridge.mqtt.topics import Kind

log = logging.getLogger(__name__)

EPOCH_FILE = "mqtt-session"
ORDER_DEADLINE = 10.0  # s for the broker to acknowledge an order to a device of the house


class Mqtt:
    """Orders in, statuses and messages out, retained states, requests: over one persistent session."""

    def __init__(
        self,
        settings: MqttSettings,
        *,
        service: SubmitPort,
        journal: OutboxPort,
        data: Path,
        handlers: Mapping[str, Handler] | None = None,
        queue_of: Callable[[str], int | None] = lambda _: None,
        balance_of: Callable[[ModemStatus], Mapping[str, Any]] = lambda _: UNKNOWN_BALANCE,
        on_problem: Callable[[str, str], None] | None = None,
    ) -> None:
        self.settings = settings
        self.link = Link(settings, on_message=self._message, on_problem=on_problem)
        self.topics = self.link.topics
        self.intake = Intake(
            service, self.topics, epoch_file=data / EPOCH_FILE, drop=self.link.drop, respond=self._respond
        )
        self.publisher = Publisher(
            journal,
            self.topics,
            kick=self.link.kick,
            flooded=lambda: self.intake.flooded,
            publish_last=settings.publish_last,
        )
        self.states = StateTopics(self.topics, kick=self.link.kick, queue_of=queue_of, balance_of=balance_of)
        self.requests = Requests(self.topics, handlers or {}, self._respond)
        for listener in (self.intake, self.publisher, self.states):
            self.link.attach(listener)
        self.link.add_source(self.states)
        self.link.add_source(self.publisher)
        self._log_handler: MqttLogHandler | None = None
        self._heard: dict[bytes, Callable[[bytes], None]] = {}

    def hear(self, topic: str, heard: Callable[[bytes], None]) -> None:
        """Call `heard` with each payload on somebody else's topic that is not a retained one; before `start`."""
        self.link.hear(topic)
        self._heard[topic.encode()] = heard

    async def start(self) -> None:
        """Begin; does not wait for the broker. The journal must be open."""
        await self.publisher.start()
        await self.intake.start()
        await self.link.start()

    async def stop_intake(self) -> None:
        """First step of an orderly end: no further order is taken; those not acknowledged come again next time."""
        await self.intake.stop()
        await self.requests.stop()

    async def stop(self, deadline: float = 5.0) -> None:
        """Last step: publish what is left, as far as `deadline` seconds allow, then say good-bye."""
        await self.stop_intake()
        self.detach_log()
        self.states.close()
        if self.link.connected:
            await self.publisher.stop(deadline * 0.7)
        else:
            await self.publisher.stop()
        await self.link.stop(deadline * 0.3)

    def repeat(self) -> None:
        """All retained states once more, for a reader that has just started."""
        self.link.send(self.topics.state, ONLINE, retain=True)
        self.states.repeat()

    def call(self, modem: str, payload: str) -> bool:
        """`sms/modem/<name>/call`; an event of the moment, not kept for a broker that is away."""
        return self.link.send(self.topics.call(modem), payload)

    async def order(self, topic: str, payload: str, expires: float | None = None) -> bool:
        """To a device of the house, QoS 1 and not retained: True once the broker has it.

        Under MQTT 5 the broker gives it to nobody after `expires` seconds.
        """
        properties = None
        if expires is not None:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.MessageExpiryInterval = max(1, int(expires))
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def acknowledged(ok: bool, _reason: str) -> None:
            if not done.done():
                done.set_result(ok)

        if not self.link.send(topic, payload, properties=properties, done=acknowledged):
            return False
        try:
            async with asyncio.timeout(ORDER_DEADLINE):
                return await done
        except TimeoutError:
            return False

    def show_log(self, wanted: bool) -> None:
        """Warnings and errors of the whole program on `sms/bridge/logging`, or no longer; call it on the loop."""
        if wanted:
            self.attach_log(logging.getLogger(), logging.WARNING)
        else:
            self.detach_log()

    def attach_log(self, logger: logging.Logger, level: int = logging.INFO) -> None:
        """Publish what `logger` says on `sms/bridge/logging`; call it on the loop."""
        if self._log_handler is None:
            self._log_handler = MqttLogHandler(self._publish_log, asyncio.get_running_loop(), level)
            logger.addHandler(self._log_handler)
            self._logger = logger

    def detach_log(self) -> None:
        if self._log_handler is not None:
            self._logger.removeHandler(self._log_handler)
            self._log_handler = None

    def _message(self, connection: Connection, message: Delivery) -> None:
        if message.topic in self._heard:
            heard = _nothing if message.retain else partial(self._heard[message.topic], message.payload)
            self.intake.passing(connection, message, heard)
            return
        try:
            parsed = self.topics.parse(message.topic.decode())
        except UnicodeDecodeError:
            connection.ack(message.mid, message.qos)
            log.warning("a message on a topic that is not UTF-8 was dropped")
            return
        if parsed.kind is not Kind.REQUEST:
            self.intake.message(connection, message, parsed)
            return
        then = self.requests.accept(parsed.argument, message)
        self.intake.passing(connection, message, then or _nothing)

    def _respond(self, topic: str, payload: bytes, properties: Properties | None) -> None:
        self.link.send(topic, payload, properties=properties)

    def _publish_log(self, text: str) -> None:
        self.link.send(self.topics.logging, text, qos=0)


def _nothing() -> None:
    """What is retained is acknowledged, and that is all."""
