"""One MQTT connection over paho inside asyncio. Use it once: a new connection is a new object."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from sms_bridge.mqtt.client import Delivery, LeanClient
from sms_bridge.mqtt.errors import (
    BrokerRefused,
    BrokerSilent,
    BrokerUnreachable,
    ConnectionCut,
    LinkDown,
    LinkError,
    SessionTaken,
)
from sms_bridge.mqtt.settings import IN_FLIGHT, MqttSettings
from sms_bridge.mqtt.tls import make_context

log = logging.getLogger(__name__)

MISC_PERIOD = 1.0  # s between paho's keep-alive checks
SUBACK_DEADLINE = 10.0  # s; as the CONNACK
READ_BURST = 64  # packets of one read event, so that the modems' events get their turn
RECEIVE_MAXIMUM = 200  # orders that the broker may send unacknowledged (MQTT 5); the managed broker allows as many
MAX_PACKET = 4 * 1024 * 1024  # bytes; larger ones a broker of MQTT 5 must keep from us

Done = Callable[[bool, str], None]
"""Told once for each publish: acknowledged or not, and the reason when not."""


class ConnectionHandler(Protocol):
    """Who is told on the loop what comes over a connection; must not block, may raise (it is logged)."""

    def opened(self, connection: Connection, session: Session) -> None:
        """The CONNACK came; what a resumed session still has for us follows at once."""

    def message(self, connection: Connection, message: Delivery) -> None:
        """One PUBLISH; to be acknowledged with `Connection.ack`."""

    def room(self, connection: Connection) -> None:
        """The in-flight window has room again."""


@dataclass(frozen=True, slots=True)
class Session:
    """What the CONNACK said."""

    present: bool
    version: int  # 5 or 4 (3.1.1)
    max_packet: int | None  # bytes
    window: int  # how many of our publishes may be unacknowledged


class Connection:
    """CONNECT, then publish, ack and subscribe until `lost` resolves; owned by the loop that opened it."""

    def __init__(self, settings: MqttSettings, version: int, will_topic: str, handler: ConnectionHandler) -> None:
        self.settings = settings
        self.version = version
        self.session: Session | None = None
        self.in_flight = 0
        self._will_topic = will_topic
        self._handler = handler
        self._loop: asyncio.AbstractEventLoop
        self._lost: asyncio.Future[LinkError]
        self._connack: asyncio.Future[Session]
        self._client: LeanClient | None = None
        self._sock: socket.socket | None = None
        self._thread = 0
        self._dead = False
        self._leaving = False
        self._paused = False
        self._writing = False
        self._flush_due = False
        self._progress = 0
        self._done: dict[int, Done | None] = {}
        self._idle = asyncio.Event()  # set when nothing is in flight
        self._subacks: dict[int, asyncio.Future[list[ReasonCode]]] = {}
        self._misc: asyncio.TimerHandle | None = None

    @property
    def up(self) -> bool:
        """Whether publishing makes sense."""
        return self.session is not None and not self._dead and not self._leaving

    @property
    def room(self) -> int:
        """How many publishes fit into the in-flight window now."""
        return self.session.window - self.in_flight if self.session is not None and self.up else 0

    async def open(self) -> Session:
        """Connect, and wait for the CONNACK. Raises LinkError; afterwards the object is spent."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._lost = self._loop.create_future()
        self._connack = self._loop.create_future()
        try:
            await self._connect()
            try:
                async with asyncio.timeout(self.settings.connack_deadline):
                    return await self._connack
            except TimeoutError:
                raise BrokerSilent(f"no answer to CONNECT within {self.settings.connack_deadline:g} s") from None
        except BaseException:
            self.abort(LinkDown("not connected"))
            raise

    async def wait_lost(self) -> LinkError:
        """Why the connection ended, once it has."""
        return await asyncio.shield(self._lost)

    def publish(
        self,
        topic: str,
        payload: str | bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        properties: Properties | None = None,
        done: Done | None = None,
    ) -> None:
        """Hand one message to the socket now; raises LinkDown when there is none, ValueError for a bad topic."""
        client = self._client
        if client is None or not self.up:
            raise LinkDown("not connected")
        if qos == 1 and properties is None and "+" not in topic and "#" not in topic:
            octets = payload.encode() if isinstance(payload, str) else payload
            mid = client.say(topic.encode(), octets, retain=retain)
            if mid is not None:
                self.in_flight += 1
                self._done[mid] = done
                self._on_want_write()
                return
        info = client.publish(topic, payload, qos, retain, properties if self.version == 5 else None)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise LinkDown(f"not published: {info.rc!r}")
        if qos:
            self.in_flight += 1
            self._done[info.mid] = done
        elif done is not None:
            done(True, "")

    def ack(self, mid: int, qos: int) -> None:
        """PUBACK what came as `mid` on this connection; nothing happens when the connection is gone."""
        if qos and self._client is not None and self.up and self._client.acknowledge(mid, qos):
            self._on_want_write()

    async def subscribe(self, filters: tuple[str, ...]) -> None:
        """Subscribe at QoS 1, anew or over again. Raises BrokerRefused, BrokerSilent, LinkDown."""
        client = self._client
        if client is None or not self.up:
            raise LinkDown("not connected")
        wanted: Any = [(one, 1) for one in filters]
        if self.version == 5:
            # With retain-as-published a retained command is known as such even when we are listening already;
            # what is kept at the broker is sent for a new subscription only.
            options = SubscribeOptions(1, False, True, SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
            wanted = [(one, options) for one in filters]
        rc, mid = client.subscribe(wanted)
        if rc != MQTTErrorCode.MQTT_ERR_SUCCESS or mid is None:
            raise LinkDown(f"not subscribed: {rc!r}")
        self._subacks[mid] = answer = self._loop.create_future()
        try:
            async with asyncio.timeout(SUBACK_DEADLINE):
                codes = await answer
        except TimeoutError:
            raise BrokerSilent(f"no SUBACK within {SUBACK_DEADLINE:g} s") from None
        finally:
            self._subacks.pop(mid, None)
        refused = [one for one, code in zip(filters, codes, strict=False) if code.is_failure]
        if refused:
            raise BrokerRefused(
                f"the broker does not let us subscribe to {', '.join(refused)}",
                code=0x87,
                slow=True,
                hint=f"give the user {self.settings.username or '(anonymous)'!s} the right to read these topics (ACL)",
            )

    def pause(self) -> None:
        """Stop reading: what the broker still sends waits in the kernel and then at the broker."""
        if not self._paused and self._sock is not None and not self._dead:
            self._paused = True
            self._loop.remove_reader(self._sock)

    def resume(self) -> None:
        if self._paused and self._sock is not None and not self._dead:
            self._paused = False
            self._loop.add_reader(self._sock, self._readable)
            self._loop.call_soon(self._go_on)  # what was heard already, no selector will tell of

    def read_once(self) -> None:
        """Read some although paused, so that a PINGRESP is seen and the connection lives on."""
        for _ in range(4):  # what the broker had on its way when we stopped, see RECEIVE_MAXIMUM
            self._readable()

    async def close(self, deadline: float) -> None:
        """Wait until all publishes are acknowledged, then DISCONNECT (no last will); never longer than `deadline`."""
        if self._client is None or not self.up:
            self.abort(LinkDown("closed"))
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline):
                if self.in_flight:
                    self._idle.clear()
                    await self._idle.wait()
                if self.up:
                    self._leaving = True
                    self._client.disconnect()
                    self._flush()
                    await asyncio.shield(self._lost)
        self.abort(LinkDown("closed"))

    def abort(self, reason: LinkError) -> None:
        """End it now, without a DISCONNECT: the broker sends the last will and later what was not acknowledged."""
        if self._dead:
            return
        self._dead = True
        self._detach()
        self._finish(reason)

    async def _connect(self) -> None:
        executor = ThreadPoolExecutor(1, thread_name_prefix="mqtt-connect")
        try:
            attempt = self._loop.run_in_executor(executor, self._blocking_connect)
            await asyncio.wait({attempt}, timeout=self.settings.connect_deadline)
            if not attempt.done():
                attempt.add_done_callback(_swallow)
                raise BrokerUnreachable(
                    f"{self._where} did not answer within {self.settings.connect_deadline:g} s",
                    hint="is the address right, and no firewall in the way?",
                )
            await attempt
        except (OSError, ssl.CertificateError) as error:
            raise self._unreachable(error) from error
        finally:
            executor.shutdown(wait=False)
        self._attach()

    def _blocking_connect(self) -> None:
        """DNS, TCP and TLS, in a thread; CONNECT itself is only queued."""
        client = self._make_client()
        where = (self.settings.host, self.settings.port, self.settings.keepalive)
        if self.version == 5:
            properties = make_properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = self.settings.session_expiry
            properties.ReceiveMaximum = RECEIVE_MAXIMUM
            properties.MaximumPacketSize = MAX_PACKET
            client.connect(*where, clean_start=False, properties=properties)
        else:
            client.connect(*where)
        self._client = client
        if self._dead:  # given up meanwhile
            self._detach()

    def _make_client(self) -> LeanClient:
        client = LeanClient(
            CallbackAPIVersion.VERSION2,
            client_id=self.settings.client_id,
            clean_session=None if self.version == 5 else False,
            protocol=MQTTProtocolVersion.MQTTv5 if self.version == 5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = self.settings.connect_deadline
        client.max_inflight_messages_set(0)  # we keep to the window ourselves
        client.will_set(self._will_topic, '{"state":"offline"}', qos=1, retain=True)
        if self.settings.username is not None:
            client.username_pw_set(self.settings.username, self.settings.password)
        if self.settings.tls is not None:
            client.tls_set_context(make_context(self.settings.tls))
            if self.settings.tls.insecure:
                client.tls_insecure_set(True)
        client.on_connect = self._guard(self._on_connect)
        client.on_disconnect = self._guard(self._on_disconnect)
        client.listen(self._guard(self._on_delivery))
        client.on_publish = self._guard(self._on_publish)
        client.on_subscribe = self._guard(self._on_subscribe)
        client.on_socket_open = _no_delay
        client.on_socket_close = self._guard(self._on_socket_close)
        client.on_socket_register_write = self._guard(self._on_want_write)
        if self.settings.tls is None:
            client.gather(self._guard(self._on_said))
        return client

    def _attach(self) -> None:
        assert self._client is not None
        sock = self._client.socket()
        if sock is None:
            raise BrokerUnreachable(f"{self._where} closed the connection at once")
        self._sock = sock  # type: ignore[assignment]
        self._loop.add_reader(sock, self._readable)
        self._misc = self._loop.call_later(self._misc_period, self._tick)
        self._flush()

    def _detach(self) -> None:
        """Let go of the socket, whoever holds it."""
        if self._misc is not None:
            self._misc.cancel()
        sock, self._sock = self._sock, None
        if sock is None and self._client is not None:
            sock = self._client.socket()  # type: ignore[assignment]
        if sock is None:
            return
        if threading.get_ident() == self._thread and sock.fileno() >= 0:
            self._loop.remove_reader(sock)
            self._loop.remove_writer(sock)
        with contextlib.suppress(OSError):
            sock.close()

    def _finish(self, reason: LinkError) -> None:
        if not self._lost.done():
            self._lost.set_result(reason)
        if not self._connack.done():
            self._connack.set_exception(reason)
            self._connack.exception()
        for answer in self._subacks.values():
            if not answer.done():
                answer.set_exception(LinkDown("the connection was lost"))
        waiting, self._done = self._done, {}
        self.in_flight = 0
        self._idle.set()
        for done in waiting.values():
            if done is not None:
                self._call(done, False, "the connection was lost")

    def _guard(self, callback: Callable[..., None]) -> Callable[..., None]:
        """`callback` for paho: in the loop's thread only, and no exception gets out (that would end the link)."""

        def guarded(*arguments: Any) -> None:
            if threading.get_ident() == self._thread and not self._dead:
                self._call(callback, *arguments)

        return guarded

    @staticmethod
    def _call(callback: Callable[..., None], *arguments: Any) -> None:
        try:
            callback(*arguments)
        except Exception:
            log.exception("a handler of the MQTT link failed; the link goes on")

    def _go_on(self) -> None:
        if not self._paused:
            self._readable()

    def _readable(self) -> None:
        client, sock = self._client, self._sock
        if client is None or sock is None or self._dead:
            return
        if _QUICKACK:
            # Not sticky. A broker without set_tcp_nodelay holds its next packet back until we acknowledge this one,
            # which the kernel likes to do 40 ms later.
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        paused = self._paused
        try:
            client.fill()
            for _ in range(READ_BURST):
                before = self._progress
                rc = client.read()
                if self._dead or rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                    break
                if self._paused != paused:
                    return  # `resume` goes on with it
                if self._progress == before and not client.unread:
                    return
            else:
                if client.unread:
                    self._loop.call_soon(self._go_on)
                return
        except Exception as error:
            log.warning("cannot read from the broker: %s", error)
            self.abort(LinkDown(f"unreadable octets from the broker: {error}"))
            return
        if not self._dead and client.socket() is None:
            self.abort(LinkDown(f"the connection ended: {rc!r}"))

    def _tick(self) -> None:
        if self._client is None or self._dead:
            return
        self._misc = self._loop.call_later(self._misc_period, self._tick)
        try:
            self._client.loop_misc()
        except Exception as error:
            self.abort(LinkDown(f"keep-alive failed: {error}"))

    def _flush(self) -> None:
        self._flush_due = False
        client, sock = self._client, self._sock
        if client is None or sock is None or self._dead:
            return
        try:
            if not client.unsent:
                client.loop_write()
            client.drain()
        except (OSError, ValueError) as error:
            self.abort(LinkDown(f"cannot write to the broker: {error}"))
            return
        if self._dead or self._sock is None:
            return
        if (client.want_write() or client.unsent) != self._writing:
            self._writing = not self._writing
            if self._writing:
                self._loop.add_writer(sock, self._flush)
            else:
                self._loop.remove_writer(sock)

    def _on_want_write(self, *_: Any) -> None:
        if self._sock is not None and not self._flush_due and not self._writing:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _on_socket_close(self, _client: Client, _data: Any, sock: Any) -> None:
        if self._sock is not None:
            self._loop.remove_reader(sock)
            self._loop.remove_writer(sock)
            self._sock = None

    def _on_connect(self, _client: Client, _data: Any, flags: Any, reason: ReasonCode, properties: Properties) -> None:
        self._progress += 1
        if reason.is_failure:
            if not self._connack.done():
                self._connack.set_exception(_refusal(reason, self.settings))
            return
        said = vars(properties)
        self.session = Session(
            present=bool(flags.session_present),
            version=self.version,
            max_packet=said.get("MaximumPacketSize"),
            window=min(IN_FLIGHT, said.get("ReceiveMaximum", 65_535)),
        )
        self._handler.opened(self, self.session)
        if not self._connack.done():
            self._connack.set_result(self.session)

    def _on_disconnect(self, _client: Client, _data: Any, flags: Any, reason: ReasonCode, _properties: Any) -> None:
        self._dead = True
        self._detach()
        if reason.value == 0x8E:
            lost: LinkError = SessionTaken("another client logged in with our client id", hint=_TAKEN_HINT)
        elif self.session is None:
            lost = BrokerSilent("the broker closed the connection instead of answering CONNECT")
        elif flags.is_disconnect_packet_from_server:
            lost = LinkDown(f"the broker said goodbye: {reason}")
        else:
            lost = ConnectionCut("the connection was lost")
        self._finish(lost)

    def _on_delivery(self, message: Delivery) -> None:
        self._progress += 1
        self._handler.message(self, message)

    def _on_publish(self, _client: Client, _data: Any, mid: int, reason: ReasonCode, _properties: Any) -> None:
        self._on_said(mid, str(reason) if reason.value >= 0x80 else "")

    def _on_said(self, mid: int, refusal: str) -> None:
        self._progress += 1
        if mid not in self._done:
            return
        done = self._done.pop(mid)
        self.in_flight -= 1
        if not self.in_flight:
            self._idle.set()
        if done is not None:
            done(not refusal, refusal)
        self._handler.room(self)

    def _on_subscribe(self, _client: Client, _data: Any, mid: int, codes: list[ReasonCode], _properties: Any) -> None:
        self._progress += 1
        answer = self._subacks.get(mid)
        if answer is not None and not answer.done():
            answer.set_result(codes)

    @property
    def _misc_period(self) -> float:
        return min(MISC_PERIOD, self.settings.keepalive / 4)

    @property
    def _where(self) -> str:
        return f"{self.settings.host}:{self.settings.port}"

    def _unreachable(self, error: Exception) -> LinkError:
        if isinstance(error, ssl.SSLCertVerificationError):
            hint = "set `ca` to the certificate that signed the broker's, or `server_name` to the name in it"
            why = error.verify_message
            return BrokerUnreachable(f"the certificate of {self._where} is not trusted: {why}", hint=hint)
        if isinstance(error, ssl.SSLError):
            hint = f"does the broker speak TLS on port {self.settings.port} (8883 by custom)?"
            return BrokerUnreachable(f"no TLS with {self._where}: {error.reason or error}", hint=hint)
        if isinstance(error, socket.gaierror):
            name = self.settings.host
            return BrokerUnreachable(f"the name {name} is not known: {error.strerror}", hint="check `host`")
        hint = "is the broker running, and listening on this address?"
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return BrokerUnreachable(f"{self._where} does not answer: {why}", hint=hint)


_QUICKACK: int = getattr(socket, "TCP_QUICKACK", 0)  # Linux
_TAKEN_HINT = "give each bridge a `client_id` of its own, or stop the other one"


def make_properties(packet: int) -> Properties:
    """Empty MQTT 5 properties for one kind of packet (`PacketTypes`)."""
    return Properties(packet)  # type: ignore[no-untyped-call]


def _refusal(reason: ReasonCode, settings: MqttSettings) -> BrokerRefused:
    hint, slow = "", False
    if reason.value in (0x86, 0x87):
        who = f"user {settings.username}" if settings.username else "no user"
        hint = f"we log in with {who}: check `username` and `password` under `mqtt:`, and the broker's password file"
        slow = True
    elif reason.value == 0x85:
        hint, slow = "give the bridge another `client_id`", True
    elif reason.value == 0x8A:
        hint, slow = "the broker has banned this client: see its log", True
    return BrokerRefused(f"the broker refused: {reason}", code=reason.value, hint=hint, slow=slow)


def _no_delay(_client: Client, _data: Any, sock: Any) -> None:
    # Without it each round trip costs 44 ms (Nagle against delayed acknowledgements).
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _swallow(attempt: asyncio.Future[None]) -> None:
    if not attempt.cancelled():
        attempt.exception()
