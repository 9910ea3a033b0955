"""SMPP accounts as they are configured: frozen, with every default. Times are seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class SmppTlsSettings:
    """TLS to the message centre; without `ca` the system's authorities are trusted."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class NumberKind:
    """TON and NPI (SMPP 3.4 5.2.5, 5.2.6)."""

    ton: int
    npi: int


@dataclass(frozen=True, slots=True)
class SenderSettings:
    """One number or name that messages go out from."""

    sender: str = ""
    two_way: bool | None = None  # None: a number can be answered, a name cannot
    countries: tuple[str, ...] | None = None  # None: all
    throughput: float | None = None  # messages a second
    ton: int | None = None  # None: by what it looks like; both or neither
    npi: int | None = None


@dataclass(frozen=True, slots=True)
class SmppSettings:
    """One account at a message centre."""

    name: str = ""
    host: str = ""
    port: int = 2775
    system_id: str = ""
    password: str = field(default="", repr=False)
    system_type: str = ""
    tls: SmppTlsSettings | None = None
    enabled: bool = True
    bind: str = "transceiver"  # or "separate"
    binds: int = 1
    window: int = 10
    rate: float | None = None
    long_messages: str = "udh"  # "udh", "sar", "payload"
    charset: str = "gsm7"  # "gsm7", "gsm7_packed", "latin1", "ascii"
    service_type: str = ""
    senders: tuple[SenderSettings, ...] = ()
    destination: NumberKind | None = None
    enquire_link: float = 30.0
    response_timeout: float = 60.0
    vendor_errors: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
