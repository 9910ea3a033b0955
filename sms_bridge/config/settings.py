"""What the bridge is set to: frozen, complete, with every default. Times are seconds, sizes are bytes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from sms_bridge.config.sections.websettings import WebhookSettings, WebSettings
from sms_bridge.config.smpp import SmppSettings
from sms_bridge.core.choice import Sticky
from sms_bridge.core.commandplan import CommandPlan
from sms_bridge.core.guards import GuardSettings
from sms_bridge.core.people import Contact, Group
from sms_bridge.core.quota import NO_LIMITS, Limits
from sms_bridge.core.routing import RoutingSettings
from sms_bridge.core.settings import ReplySettings, SelfTestSettings, SilenceSettings

DAY = 86_400.0
OFF_TIME = 10.0  # without power, until a modem's capacitors are empty


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """TLS to the broker; without `ca` the system's authorities are trusted."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    insecure: bool = False  # the certificate's name and chain are not checked


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """The broker. `local`: none was named, so one that answers on 127.0.0.1:1883 or a child of ours."""

    host: str = "127.0.0.1"
    port: int = 1883
    local: bool = True
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: TlsSettings | None = None
    base_topic: str = "sms"
    client_id: str | None = None  # None: one is made on the first start and kept in the journal
    protocol: Literal["auto", "5", "311"] = "auto"  # "auto" (5, then 3.1.1), "5", "311"
    keepalive: int = 30
    publish_last: bool = True  # sms/last/in and sms/last/out, retained


@dataclass(frozen=True, slots=True)
class PowerSwitchSettings:
    """A plug that takes a modem's power away and obeys a topic; payloads are sent as they stand."""

    topic: str
    off: str
    on: str
    off_time: float = OFF_TIME


@dataclass(frozen=True, slots=True)
class RecoverySettings:
    """What may be done about a modem that fails, besides what can be done from here."""

    power_switch: PowerSwitchSettings | None = None


@dataclass(frozen=True, slots=True)
class ModemSettings:
    """One modem that is named in the configuration: by exactly one of `imei`, `iccid`, `usb_path` and `port`."""

    name: str
    port: str | None = None
    imei: str | None = None
    iccid: str | None = None
    usb_path: str | None = None
    baudrate: int = 115_200
    pin: str | None = field(default=None, repr=False)
    number: str | None = None  # the SIM's own number, E.164, where the SIM does not know it
    enabled: bool = True
    init_commands: tuple[str, ...] = ()
    quota: Limits = NO_LIMITS  # of the SIM in it; what is not set here is as in `quota` of the whole
    recovery: RecoverySettings | None = None  # None: that of all modems
    roaming: bool = False  # the SIM is meant to be abroad


@dataclass(frozen=True, slots=True)
class UsbSettings:
    """Modems that are found in their plugs."""

    discover: bool = True
    adapters: Literal["auto", "never"] = "auto"  # whether bare serial adapters are asked if a modem is behind them
    sysfs: Path = Path("/sys")  # this and the next are for tests, and no key sets them
    dev: Path = Path("/dev")


@dataclass(frozen=True, slots=True)
class VirtualModemSettings:
    """Emulated modems, started when `modems` is empty and no real modem was ever seen."""

    count: int = 2
    latency: tuple[float, float] = (2.0, 6.0)


@dataclass(frozen=True, slots=True)
class InboundSettings:
    reassembly_timeout: float = 3600.0  # without a further part; then what is there goes out as `partial` (E4.3)
    sweep_interval: float = 45.0  # how often all storages are read, whatever was announced (domain A4.3)
    delete_after_read: bool = True
    dedupe_window: float = 3 * DAY  # the same octets from the same SIM within this are one message (domain E4.1)


@dataclass(frozen=True, slots=True)
class SendingSettings:
    result_timeout: float = 180.0  # from Ctrl-Z to +CMGS; the network may take that long
    prompt_timeout: float = 10.0
    max_attempts: int = 5  # of what was surely not sent
    retry_delay: float = 5.0  # before the second attempt; doubles with each
    sticky: Sticky = Sticky.PREFER  # a conversation keeps to its SIM (domain B6)
    sticky_ttl: float = 8 * DAY  # of silence, after which any SIM may write to a number
    stop_grace: float = 20.0  # at the end, how long the send in flight may take to get its result


@dataclass(frozen=True, slots=True)
class LimitSettings:
    max_parts: int = 255  # per message; a longer text is `rejected`. 255: what the standard can number
    max_recipients: int = 1000  # per order, groups counted in full


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """How long the journal keeps things, from when they were finished."""

    messages: float = 30 * DAY
    raw: float = 90 * DAY  # what could not be decoded
    unpublished: float = 30 * DAY  # what no broker was there to take


@dataclass(frozen=True, slots=True)
class UssdSettings:
    allow: tuple[str, ...] = ()  # codes besides short ones such as *100#; {digits} stands for digits


@dataclass(frozen=True, slots=True)
class AtConsoleSettings:
    enabled: bool = False  # the request modem/at


@dataclass(frozen=True, slots=True)
class CallSettings:
    hang_up: bool = False  # incoming ones


@dataclass(frozen=True, slots=True)
class BalanceSmsSettings:
    """A balance that is asked for by message."""

    to: str
    text: str
    senders: tuple[str, ...] = ()  # who answers; (): `to`
    per_month: int = 40


@dataclass(frozen=True, slots=True)
class BalanceSettings:
    """How the balance of some SIMs is had: by `ussd` or by `sms`."""

    pattern: str = ""
    modem: str | None = None
    sim: str | None = None  # how its ICCID begins
    ussd: str | None = None
    replies: tuple[str, ...] = ()
    sms: BalanceSmsSettings | None = None
    currency: str | None = None
    month_first: bool = False
    every: float = DAY
    low: float | None = None
    expires_soon: float | None = None


@dataclass(frozen=True, slots=True)
class LoggingSettings:
    level: str = "info"
    json: bool = False
    mqtt: bool = True  # warnings and errors on <base>/bridge/logging


@dataclass(frozen=True, slots=True)
class HomeAssistantSettings:
    """What Home Assistant is told of. `notify`: contacts and groups that are entities of their own; None: all."""

    discovery: bool = True
    prefix: str = "homeassistant"
    notify: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    mqtt: MqttSettings = field(default_factory=MqttSettings)
    modems: tuple[ModemSettings, ...] = ()
    usb: UsbSettings = field(default_factory=UsbSettings)
    virtual_modems: VirtualModemSettings = field(default_factory=VirtualModemSettings)
    default_region: str | None = None  # ISO 3166 code that completes national numbers
    data_dir: Path = field(default_factory=lambda: default_data_dir())
    inbound: InboundSettings = field(default_factory=InboundSettings)
    sending: SendingSettings = field(default_factory=SendingSettings)
    quota: Limits = NO_LIMITS  # of each SIM
    limits: LimitSettings = field(default_factory=LimitSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    ussd: UssdSettings = field(default_factory=UssdSettings)
    at_console: AtConsoleSettings = field(default_factory=AtConsoleSettings)
    calls: CallSettings = field(default_factory=CallSettings)
    balance: tuple[BalanceSettings, ...] = ()
    logging: LoggingSettings = field(default_factory=LoggingSettings)
    recovery: RecoverySettings = field(default_factory=RecoverySettings)
    self_test: SelfTestSettings = field(default_factory=SelfTestSettings)
    health: SilenceSettings = field(default_factory=SilenceSettings)
    replies: ReplySettings = field(default_factory=ReplySettings)
    home_assistant: HomeAssistantSettings = field(default_factory=HomeAssistantSettings)
    commands: tuple[CommandPlan, ...] = ()
    contacts: Mapping[str, str | Contact] = field(default_factory=lambda: MappingProxyType({}))  # by alias
    groups: Mapping[str, tuple[str, ...] | Group] = field(default_factory=lambda: MappingProxyType({}))
    web: WebSettings | None = None  # None: no HTTP interface
    webhooks: tuple[WebhookSettings, ...] = ()
    guards: GuardSettings = field(default_factory=GuardSettings)
    smpp: Mapping[str, SmppSettings] = field(default_factory=lambda: MappingProxyType({}))  # accounts by name
    routing: RoutingSettings = field(default_factory=RoutingSettings)
    source: Path | None = None  # the file this came from

    def power_switch_of(self, modem: str) -> PowerSwitchSettings | None:
        """The plug that feeds the modem of that name: its own, else that of all."""
        own = next((entry.recovery for entry in self.modems if entry.name == modem), None)
        return (own or self.recovery).power_switch


def default_data_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the journal lives if nothing names a place: the service's own folder, else the user's state folder."""
    service = environ.get("STATE_DIRECTORY")  # set by systemd for StateDirectory=, colon-separated
    if service:
        return Path(service.split(":", 1)[0])
    state = environ.get("XDG_STATE_HOME", "")
    base = Path(state) if state.startswith("/") else Path(environ.get("HOME") or "~").expanduser() / ".local/state"
    return base / "sms-bridge"
