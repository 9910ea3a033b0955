"""The configuration: YAML in, frozen settings out."""

from __future__ import annotations

from sms_bridge.config.errors import ConfigError, Problem
from sms_bridge.config.loader import find, load
from sms_bridge.config.settings import (
    InboundSettings,
    LimitSettings,
    LoggingSettings,
    ModemSettings,
    MqttSettings,
    RetentionSettings,
    SendingSettings,
    Settings,
    TlsSettings,
    VirtualModemSettings,
)

__all__ = [
    "ConfigError",
    "InboundSettings",
    "LimitSettings",
    "LoggingSettings",
    "ModemSettings",
    "MqttSettings",
    "Problem",
    "RetentionSettings",
    "SendingSettings",
    "Settings",
    "TlsSettings",
    "VirtualModemSettings",
    "find",
    "load",
]
