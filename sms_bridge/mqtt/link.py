"""The supervisor of the link to the broker: connects for ever, shares out the in-flight window, says what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from paho.mqtt.properties import Properties

from sms_bridge.mqtt.client import Delivery
from sms_bridge.mqtt.connection import Connection, Done, Session
from sms_bridge.mqtt.errors import BrokerRefused, BrokerSilent, ConnectionCut, LinkDown, LinkError, SessionTaken
from sms_bridge.mqtt.settings import MqttSettings
from sms_bridge.mqtt.topics import Topics

log = logging.getLogger(__name__)

ONLINE, OFFLINE = '{"state":"online"}', '{"state":"offline"}'
FIRST_DELAY, LAST_DELAY = 1.0, 30.0  # s between attempts: soon after a blink, not hammering for days
SLOW_DELAY = 60.0  # s (at least half of it): a wrong password is mended by a person, and brokers ban who hammers
STABLE = 10.0  # s a connection must have lived for the delay to start over
TAKEN_LIMIT, TAKEN_WINDOW = 3, 300.0  # young connections cut within so many seconds: two bridges fight
YOUNG = 40.0  # s; a twin comes back within `LAST_DELAY`
RESUBSCRIBE_DELAY = 60.0  # s until a refused subscription is tried again: an ACL may have been mended
REPEAT_LOG = 600.0  # s until the same trouble is logged again
MAX_WAITING = 2000  # messages that are not in the outbox, held for room
UNSUPPORTED_PROTOCOL = 0x84


class LinkState(StrEnum):
    STOPPED = "stopped"
    CONNECTING = "connecting"
    UP = "up"
    WAITING = "waiting"


class Listener(Protocol):
    """Who lives on the link; called on the loop, must not block."""

    def link_up(self, connection: Connection, session: Session) -> None:
        """A connection stands; publishing works."""

    def link_down(self) -> None:
        """It is gone; nothing that was not acknowledged counts."""


class Source(Protocol):
    """Something that has messages to publish when there is room."""

    def fill(self, connection: Connection) -> None:
        """Publish while `connection.room` is positive."""


@dataclass(slots=True)
class _Waiting:
    topic: str
    payload: str | bytes
    qos: int
    retain: bool
    properties: Properties | None
    done: Done | None


class Link:
    """One logical link for the whole life of the process. `start` does not wait for the broker."""

    def __init__(
        self,
        settings: MqttSettings,
        *,
        on_message: Callable[[Connection, Delivery], None],
        on_problem: Callable[[str, str], None] | None = None,
    ) -> None:
        self.settings = settings
        self.topics = Topics(settings.base)
        self.state = LinkState.STOPPED
        self.problem: str | None = None
        self.connects = 0
        self._on_message = on_message
        self._on_problem = on_problem
        self._listeners: list[Listener] = []
        self._sources: list[Source] = []
        self._connection: Connection | None = None
        self._waiting: deque[_Waiting] = deque()
        self._pump_due = False
        self._pump_timer: asyncio.TimerHandle | None = None
        self._runner: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._up = asyncio.Event()
        self._extra: list[str] = []
        self._extra_refused: set[str] = set()
        self._subscribed = False
        self._old_protocol = False
        self._silent = 0
        self._delay = FIRST_DELAY
        self._taken: deque[float] = deque(maxlen=TAKEN_LIMIT)
        self._logged: tuple[str, float] = ("", 0.0)

    @property
    def connected(self) -> bool:
        return self._connection is not None and self._connection.up

    @property
    def connection(self) -> Connection | None:
        """The connection that stands, if one does."""
        return self._connection if self.connected else None

    def attach(self, listener: Listener) -> None:
        """Register before `start`."""
        self._listeners.append(listener)

    def add_source(self, source: Source) -> None:
        """Register before `start`; earlier sources are served first."""
        self._sources.append(source)

    def hear(self, topic: str) -> None:
        """Subscribe to this topic of somebody else too, where the broker lets us; register before `start`."""
        self._extra.append(topic)

    async def start(self) -> None:
        """Begin to connect, in the background and for ever."""
        if self._runner is None:
            self._runner = asyncio.create_task(self._run(), name="mqtt-link")

    async def stop(self, deadline: float = 5.0) -> None:
        """Say `offline`, wait for what is in flight, disconnect; within `deadline` seconds."""
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await runner
        connection = self._connection
        if connection is not None and connection.up:
            self._pump()
            try:
                connection.publish(self.topics.state, OFFLINE, retain=True)
            except LinkError:
                log.debug("the link went down while it was being stopped")
            await connection.close(deadline)
        self._lost()
        self.state = LinkState.STOPPED

    async def wait_connected(self, deadline: float) -> bool:
        """Whether a connection stands (and is subscribed) within `deadline` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline):
                await self._up.wait()
        return self._up.is_set()

    def wake(self) -> None:
        """Try again now instead of after the delay: the broker is known to be back."""
        self._wake.set()

    def drop(self, reason: str) -> None:
        """End the connection that stands, so that the broker sends again what was not acknowledged."""
        if self._connection is not None:
            self._connection.abort(LinkDown(reason))

    def send(
        self,
        topic: str,
        payload: str | bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        properties: Properties | None = None,
        done: Done | None = None,
    ) -> bool:
        """Publish as soon as there is room, ahead of the outbox; False: there is no link, or too much is waiting."""
        if not self.connected:
            return False
        if len(self._waiting) >= MAX_WAITING:
            log.warning("too much is waiting for the broker: a message on %s was not published", topic)
            return False
        self._waiting.append(_Waiting(topic, payload, qos, retain, properties, done))
        self.kick()
        return True

    def kick(self, after: float = 0.0) -> None:
        """Something is there to be published: let the sources fill the window, within `after` seconds."""
        if self._pump_due or not self.connected:
            return
        loop = asyncio.get_running_loop()
        if not after:
            self._pump_due = True
            loop.call_soon(self._pump)
        elif self._pump_timer is None or self._pump_timer.when() > loop.time() + after:
            if self._pump_timer is not None:
                self._pump_timer.cancel()
            self._pump_timer = loop.call_later(after, self._pump)

    def opened(self, connection: Connection, session: Session) -> None:
        """From the connection."""
        self._connection = connection
        self._silent = 0
        self.connects += 1
        for listener in self._listeners:
            listener.link_up(connection, session)
        self.kick()

    def message(self, connection: Connection, message: Delivery) -> None:
        """From the connection."""
        self._on_message(connection, message)

    def room(self, connection: Connection) -> None:
        """From the connection."""
        if connection is self._connection:
            self.kick()

    def _pump(self) -> None:
        self._pump_due = False
        if self._pump_timer is not None:
            self._pump_timer.cancel()
            self._pump_timer = None
        connection = self._connection
        if connection is None or not connection.up:
            return
        try:
            while self._waiting and (connection.room > 0 or not self._waiting[0].qos):
                item = self._waiting.popleft()
                self._publish(connection, item)
            for source in self._sources:
                if connection.room <= 0:
                    return
                source.fill(connection)
        except LinkError as error:
            log.debug("publishing stopped: %s", error)

    @staticmethod
    def _publish(connection: Connection, item: _Waiting) -> None:
        try:
            connection.publish(
                item.topic,
                item.payload,
                qos=item.qos,
                retain=item.retain,
                properties=item.properties,
                done=item.done,
            )
        except ValueError as error:
            log.warning("a message was not published: %s", error)

    async def _run(self) -> None:
        while True:
            self.state = LinkState.CONNECTING
            began = time.monotonic()
            try:
                await self._live()
            except LinkError as error:
                self._report(error)
                delay = self._next_delay(error, time.monotonic() - began)
            except Exception as error:  # the link must outlive a mistake of ours
                log.exception("the MQTT link failed; it is built anew")
                delay = self._next_delay(LinkDown(str(error)), 0.0)
            finally:
                if self._runner is not None:  # else `stop` says good-bye in order
                    self._lost()
            self.state = LinkState.WAITING
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._wake.wait()

    async def _live(self) -> None:
        """One connection, from CONNECT to its end; always raises."""
        connection = Connection(self.settings, self._version(), self.topics.state, self)
        try:
            session = await connection.open()
            lost = asyncio.create_task(connection.wait_lost())
            try:
                await self._settle(connection, session, lost)
                raise await lost
            finally:
                lost.cancel()
        finally:
            if self._runner is not None or self._connection is not connection:
                connection.abort(LinkDown("the link is rebuilt"))

    async def _settle(self, connection: Connection, session: Session, lost: asyncio.Task[LinkError]) -> None:
        """Subscribe and announce us, however often an ACL says no; returns when that is done or the link is lost."""
        # A 3.1.1 broker repeats what is retained on each SUBSCRIBE, so only where it must be; the first one of a
        # process renews what an older version of ours, or another base topic, has left in the session.
        needed = session.version == 5 or not session.present or not self._subscribed
        while needed and not lost.done():
            try:
                await connection.subscribe(self.topics.subscriptions())
                self._subscribed, needed = True, False
            except BrokerRefused as error:
                self._report(error)
                await asyncio.wait({lost}, timeout=RESUBSCRIBE_DELAY)
        if lost.done():
            return
        connection.publish(self.topics.state, ONLINE, retain=True)
        self.state, self.problem = LinkState.UP, None
        self._logged = ("", 0.0)
        self._up.set()
        log.info(
            "connected to the broker at %s:%d (MQTT %s, %s session)",
            self.settings.host,
            self.settings.port,
            "5" if session.version == 5 else "3.1.1",
            "resumed" if session.present else "new",
        )
        await self._subscribe_extra(connection)

    async def _subscribe_extra(self, connection: Connection) -> None:
        for topic in self._extra:
            try:
                await connection.subscribe((topic,))
            except BrokerRefused as error:
                if topic not in self._extra_refused:
                    self._extra_refused.add(topic)
                    log.warning("%s; the bridge works without", error)

    def _lost(self) -> None:
        connection, self._connection = self._connection, None
        self._up.clear()
        if connection is None:
            return
        connection.abort(LinkDown("closed"))
        self._waiting.clear()
        for listener in self._listeners:
            listener.link_down()

    def _version(self) -> int:
        if self.settings.protocol == "311":
            return 4
        if self.settings.protocol == "5":
            return 5
        # A broker that knows no MQTT 5 may also hang up or keep silent: every third attempt is made in 3.1.1.
        return 4 if self._old_protocol or self._silent % 3 == 2 else 5

    def _next_delay(self, error: LinkError, lived: float) -> float:
        if lived >= STABLE:
            self._delay = FIRST_DELAY
        if isinstance(error, BrokerSilent):
            self._silent += 1
        if isinstance(error, BrokerRefused) and error.code == UNSUPPORTED_PROTOCOL:
            if self.settings.protocol == "auto" and not self._old_protocol:
                self._old_protocol = True
                return 0.0
            return random.uniform(SLOW_DELAY / 2, SLOW_DELAY)
        # Not every broker says 0x8E (mosquitto 2.0.11 just closes), so a cut soon after the CONNACK counts as well.
        taken = isinstance(error, SessionTaken) or (isinstance(error, ConnectionCut) and lived < YOUNG)
        if error.slow or (taken and self._fights()):
            return random.uniform(SLOW_DELAY / 2, SLOW_DELAY)
        delay = self._delay * random.uniform(0.5, 1.0)
        self._delay = min(LAST_DELAY, self._delay * 2)
        return delay

    def _fights(self) -> bool:
        """Whether the same client id was taken from us too often lately (domain E5.7)."""
        now = time.monotonic()
        self._taken.append(now)
        if len(self._taken) < TAKEN_LIMIT or now - self._taken[0] > TAKEN_WINDOW:
            return False
        self._taken.clear()
        self._alert(
            "client_id_conflict",
            "the broker cuts the connection again and again: is another client logged in as "
            f"{self.settings.client_id}? Stop it, or give each a `client_id` of its own",
        )
        return True

    def _report(self, error: LinkError) -> None:
        text = f"{error}{f'; {error.hint}' if error.hint else ''}"
        self.problem = text
        before, at = self._logged
        now = time.monotonic()
        if text != before or now - at > REPEAT_LOG:
            self._logged = (text, now)
            if error.slow:
                self._alert("broker_refused", text)
            else:
                log.warning("no link to the broker: %s", text)

    def _alert(self, code: str, text: str) -> None:
        log.error("%s", text)
        if self._on_problem is not None:
            self._on_problem(code, text)
