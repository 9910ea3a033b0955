"""Why there is no link to the broker, in words that say what to do."""

from __future__ import annotations


class LinkError(Exception):
    """No link, or it was lost. `hint` is a sentence for a person, may be empty."""

    slow: bool = False  # True: only a person can mend it, so do not hammer the broker

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class LinkDown(LinkError):
    """Something was to be published or acknowledged on a connection that is gone."""


class BrokerUnreachable(LinkError):
    """Nobody answers at that address, its name is unknown, or TLS could not be agreed on."""


class BrokerSilent(LinkError):
    """TCP stands, but no CONNACK came; `version` may be why: old brokers drop what they do not know."""


class BrokerRefused(LinkError):
    """The broker said no. `code` is the MQTT 5 reason code."""

    def __init__(self, message: str, *, code: int, hint: str = "", slow: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.slow = slow


class ConnectionCut(LinkDown):
    """The broker, or something on the way, closed a connection that stood."""


class SessionTaken(LinkError):
    """Another client logged in with our client id (reason code 0x8E)."""


class TlsSettingsError(LinkError):
    """A certificate or key file cannot be used."""

    slow = True


class BrokerNotInstalled(LinkError):
    """There is no mosquitto program to start."""

    slow = True


class BrokerFailed(LinkError):
    """The managed broker did not come up."""
