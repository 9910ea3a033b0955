"""What the bridge publishes besides statuses and messages, for the published schemas. More fields may come."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class Told(BaseModel):
    """Null is what is not known."""

    model_config = ConfigDict(extra="allow")


class Raw(Told):
    """`sms/raw`: what could not be decoded."""

    event_type: Literal["raw"]
    id: str
    pdu: str = Field(description="hex")
    reason: str
    modem: str
    sim: str | None
    storage: str
    received_at: AwareDatetime


class Sim(Told):
    """The SIM in a modem."""

    state: str
    pin_attempts_left: int | None


class Storage(Told):
    """Where it keeps messages."""

    used: int | None
    total: int | None
    percent: int | None


class Balance(Told):
    """The SIM's account."""

    amount: float | None
    currency: str | None
    expires: str | None
    checked_at: AwareDatetime | None


class Modem(Told):
    """`sms/modem/<name>`, retained."""

    name: str
    state: Literal["detected", "interviewing", "registering", "ready", "degraded", "recovering", "blocked", "offline"]
    health: Literal["pass", "warn", "fail"]
    health_reason: str | None
    imei: str | None
    iccid: str | None
    imsi: str | None = Field(description="masked")
    number: str | None
    manufacturer: str | None
    model: str | None
    firmware: str | None
    port: str | None
    usb_path: str | None
    vid_pid: str | None
    operator: str | None
    registration: Literal["home", "roaming", "searching", "denied", "not_registered", "sms_only", "unknown"]
    access: Literal["gsm", "umts", "lte", "nr"] | None
    signal_dbm: int | None
    sim: Sim
    storage: Storage
    smsc: str | None
    queue: int | None
    sent: int
    received: int
    failures: int
    utilisation: float
    balance: Balance
    last_ok: AwareDatetime | None


class Listed(Told):
    """One line of `sms/bridge/modems`; `name` is null for what cannot be used."""

    name: str | None
    state: str
    model: str | None
    imei: str | None
    iccid: str | None
    port: str | None
    usb_path: str | None
    vid_pid: str | None
    virtual: bool
    problem: str | None
    fix: str | None
    capabilities: dict[str, Any]
    quota: dict[str, Any]
    findings: list[dict[str, Any]]


class Info(Told):
    """`sms/bridge/info`, retained: version and configuration, without secrets."""

    version: str
    started_at: AwareDatetime
    host: str
    restart_required: bool
    config: dict[str, Any]


class Health(Told):
    """`sms/bridge/health`, retained; once a minute, and when `status` changes."""

    status: Literal["pass", "warn", "fail"]
    warnings: list[str]
    queue: int
    sending: int
    modems: dict[str, int]
    sent: int
    received: int
    failures: int
    mqtt: dict[str, Any]
    journal: dict[str, Any]
    self_test: dict[str, Any]
    process: dict[str, Any]


class Event(Told):
    """`sms/bridge/event`."""

    event_type: str
    ts: AwareDatetime


class LogLine(Told):
    """`sms/bridge/logging`, QoS 0: warnings and errors, numbers masked."""

    level: str
    message: str
    namespace: str
