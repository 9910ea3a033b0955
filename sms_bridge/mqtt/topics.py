"""Every topic name of the bridge, from one base topic; no name is ever built from what a stranger sent."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from sms_bridge.payloads.names import NAME

DEFAULT_BASE = "sms"

_BASE = re.compile(r"[^\x00-\x20+#$\x7f/][^\x00-\x1f+#\x7f]{0,127}\Z")
_NUMBER = re.compile(r"[0-9]{7,20}\Z")
_SHORT_CODE = re.compile(r"[0-9]{3,6}\Z")


class Kind(StrEnum):
    """What an incoming topic asks for."""

    OUT = "out"  # sms/out
    RECIPIENT = "recipient"  # sms/out/<recipient>; the argument is `+number`, a short code or `@name`
    MODEM_OUT = "modem_out"  # sms/modem/<name>/out; the argument is the modem's name
    REQUEST = "request"  # sms/bridge/request/<name>; the argument is the request's name
    BAD_RECIPIENT = "bad_recipient"  # sms/out/<neither a number nor a name>
    BAD_MODEM = "bad_modem"  # sms/modem/<not a name>/out
    OTHER = "other"  # nothing of ours: an old subscription of this session


@dataclass(frozen=True, slots=True)
class Incoming:
    """One parsed topic."""

    kind: Kind
    argument: str = ""


class Topics:
    """The names below one base topic. Raises ValueError for a base that cannot be one."""

    def __init__(self, base: str = DEFAULT_BASE) -> None:
        if not _BASE.match(base) or base.endswith("/") or "//" in base:
            raise ValueError(f"{base!r} cannot be a base topic: no wildcards, spaces at the start or empty levels")
        self.base = base
        self.out = f"{base}/out"
        self.incoming = f"{base}/in"
        self.raw = f"{base}/raw"
        self.status = f"{base}/status"
        self.last_in = f"{base}/last/in"
        self.last_out = f"{base}/last/out"
        self.state = f"{base}/bridge/state"
        self.info = f"{base}/bridge/info"
        self.health = f"{base}/bridge/health"
        self.modems = f"{base}/bridge/modems"
        self.event = f"{base}/bridge/event"
        self.logging = f"{base}/bridge/logging"
        self._out_level = f"{base}/out/"
        self._modem_level = f"{base}/modem/"
        self._request_level = f"{base}/bridge/request/"

    def subscriptions(self) -> tuple[str, ...]:
        """The filters of everything that automations publish to us."""
        return (self.out, f"{self.base}/out/+", f"{self.base}/modem/+/out", f"{self.base}/bridge/request/#")

    def modem(self, name: str) -> str:
        """`sms/modem/<name>`; raises ValueError for what is no name."""
        return self._modem_level + _checked(name)

    def availability(self, name: str) -> str:
        """`sms/modem/<name>/availability`; raises ValueError for what is no name."""
        return f"{self._modem_level}{_checked(name)}/availability"

    def call(self, name: str) -> str:
        """`sms/modem/<name>/call`; raises ValueError for what is no name."""
        return f"{self._modem_level}{_checked(name)}/call"

    def request(self, name: str) -> str:
        """`sms/bridge/request/<name>`, for a request of ours."""
        return self._request_level + name

    def response(self, request: str) -> str:
        """`sms/bridge/response/<name>` for a request's name out of a topic that `parse` took apart."""
        return f"{self.base}/bridge/response/{request}"

    def parse(self, topic: str) -> Incoming:
        """What a topic asks for; total: anything that is not ours is `OTHER`."""
        if topic == self.out:
            return _OUT
        if topic.startswith(self._out_level):
            return _recipient(topic[len(self._out_level) :])
        if topic.startswith(self._modem_level) and topic.endswith("/out"):
            name = topic[len(self._modem_level) : -len("/out")]
            return Incoming(Kind.MODEM_OUT, name) if NAME.match(name) else Incoming(Kind.BAD_MODEM, name)
        if topic.startswith(self._request_level) and len(topic) > len(self._request_level):
            return Incoming(Kind.REQUEST, topic[len(self._request_level) :])
        return _OTHER


_OUT = Incoming(Kind.OUT)
_OTHER = Incoming(Kind.OTHER)


def _recipient(level: str) -> Incoming:
    # A name of digits alone would be read as a number: E.164 is what an automation means by digits.
    if _NUMBER.match(level):
        return Incoming(Kind.RECIPIENT, f"+{level}")
    if _SHORT_CODE.match(level):
        return Incoming(Kind.RECIPIENT, level)
    if NAME.match(level):
        return Incoming(Kind.RECIPIENT, f"@{level}")
    return Incoming(Kind.BAD_RECIPIENT, level)


def _checked(name: str) -> str:
    if not NAME.match(name):
        raise ValueError(f"{name!r} is no name: use a-z, 0-9, _ and -")
    return name
