"""What the MQTT room has to be told: plain frozen data, filled in by the configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sms_bridge.mqtt.topics import DEFAULT_BASE

KEEPALIVE = 30  # s; a broker that hangs is noticed within two of these
SESSION_EXPIRY = 7 * 86_400  # s; how long the broker keeps orders for us while we are away (MQTT 5)
CONNECT_DEADLINE = 15.0  # s for DNS, TCP and TLS together; a slow DSL line and a Pi's first handshake take about 5
CONNACK_DEADLINE = 10.0  # s; a broker under load has been seen to take 3
IN_FLIGHT = 100  # our publishes without a PUBACK; more gains nothing on a LAN

Protocol = Literal["auto", "5", "311"]


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """How the broker proves who it is, and we who we are. Paths of PEM files."""

    ca: Path | None = None  # None: the system's certificate authorities
    certificate: Path | None = None
    key: Path | None = None
    insecure: bool = False  # True: any certificate is taken; for a first try only
    server_name: str | None = None  # None: `host`


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """One broker and one persistent session on it."""

    host: str = "127.0.0.1"
    port: int = 1883
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    client_id: str = "sms-bridge"
    base: str = DEFAULT_BASE
    protocol: Protocol = "auto"
    keepalive: int = KEEPALIVE
    session_expiry: int = SESSION_EXPIRY
    connect_deadline: float = CONNECT_DEADLINE
    connack_deadline: float = CONNACK_DEADLINE
    tls: TlsSettings | None = None
    publish_last: bool = True  # sms/last/in and sms/last/out
