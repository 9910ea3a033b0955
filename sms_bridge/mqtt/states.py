"""The retained topics: the bridge's and each modem's latest state, repeated after each reconnection."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Protocol

from hardware.types import ModemState, ModemStatus
from sms_bridge.core.redaction import mask
from sms_bridge.mqtt.connection import Connection, Session
from sms_bridge.mqtt.link import OFFLINE, ONLINE
from sms_bridge.mqtt.publisher import OVERHEAD
from sms_bridge.mqtt.topics import Topics

log = logging.getLogger(__name__)

PERIOD = 1.0  # s between two payloads of one modem that differ in figures only

UNKNOWN_BALANCE: Mapping[str, Any] = MappingProxyType(
    {"amount": None, "currency": None, "expires": None, "checked_at": None}
)

_ABSENT = frozenset({ModemState.OFFLINE, ModemState.DETECTED})


class ModemWatcher(Protocol):
    """Told, on the loop and without waiting, of which modems states are published."""

    def modem_shown(self, status: ModemStatus) -> None:
        """Its state goes out now."""

    def modem_renamed(self, old: str, new: str) -> None:
        """The same modem, by another name; `modem_shown` of the new one may have come before, `modem_gone` of the
        old one comes after."""

    def modem_gone(self, name: str) -> None:
        """It is forgotten for good."""


class StateTopics:
    """A source of the link: holds the latest payload of each retained topic and publishes what changed."""

    def __init__(
        self,
        topics: Topics,
        *,
        kick: Callable[[], None],
        queue_of: Callable[[str], int | None] = lambda _: None,
        balance_of: Callable[[ModemStatus], Mapping[str, Any]] = lambda _: UNKNOWN_BALANCE,
    ) -> None:
        self._topics = topics
        self._kick = kick
        self._queue_of = queue_of
        self._balance_of = balance_of
        self._latest: dict[str, str] = {}
        self._dirty: dict[str, None] = {}  # in order of the change
        self._modems: dict[str, ModemStatus] = {}
        self._shown: dict[str, tuple[object, ...]] = {}
        self._due: dict[str, asyncio.TimerHandle] = {}
        self._published_at: dict[str, float] = {}
        self._queues: dict[str, int | None] = {}  # as they are shown
        self.on_modem: Callable[[str], None] | None = None  # told each payload of `sms/modem/<name>`
        self._too_large: set[str] = set()  # which was said
        self._watcher: ModemWatcher | None = None

    def watch(self, watcher: ModemWatcher) -> None:
        """From now on `watcher` is told; before the first modem is shown."""
        self._watcher = watcher

    def retain(self, topic: str, payload: str) -> None:
        """Any other retained topic, repeated like the rest; an empty payload takes it away at the broker."""
        self._set(topic, payload)

    def forget(self, topic: str) -> None:
        """Repeat it no more; what the broker has stays."""
        self._latest.pop(topic, None)
        self._dirty.pop(topic, None)

    def repeat(self) -> None:
        """All of it once more, for a reader that has forgotten."""
        self._dirty = dict.fromkeys(self._latest)
        self._kick()

    def info(self, payload: Mapping[str, Any]) -> None:
        """`sms/bridge/info`: version and configuration, without secrets."""
        self._set(self._topics.info, _json(payload))

    def health(self, payload: Mapping[str, Any]) -> None:
        """`sms/bridge/health`."""
        self._set(self._topics.health, _json(payload))

    def modems(self, payload: Sequence[Mapping[str, Any]]) -> None:
        """`sms/bridge/modems`: the list with capabilities."""
        self._set(self._topics.modems, _json(payload))

    def modem_changed(self, status: ModemStatus) -> None:
        """`sms/modem/<name>` and its availability: a change of state at once, mere figures once a second."""
        name = status.name
        self._modems[name] = status
        decisive = _decisive(status)
        loop = asyncio.get_running_loop()
        wait = self._published_at.get(name, -PERIOD) + PERIOD - loop.time()
        if decisive != self._shown.get(name) or wait <= 0:
            self._show(name)
        elif name not in self._due:
            self._due[name] = loop.call_later(wait, self._show, name)

    def modem_renamed(self, old: str, new: str) -> None:
        """Before `modem_gone` of the old name."""
        if self._watcher is not None:
            self._watcher.modem_renamed(old, new)

    def modem_gone(self, name: str) -> None:
        """Forget a modem for good, at the broker too."""
        if self._watcher is not None:
            self._watcher.modem_gone(name)
        self._modems.pop(name, None)
        self._shown.pop(name, None)
        if (timer := self._due.pop(name, None)) is not None:
            timer.cancel()
        self._set(self._topics.modem(name), "")
        self._set(self._topics.availability(name), "")

    def close(self) -> None:
        """All modems offline; to be published before the link says good-bye."""
        for timer in self._due.values():
            timer.cancel()
        self._due.clear()
        for name in self._modems:
            self._set(self._topics.availability(name), OFFLINE)

    @property
    def pending(self) -> int:
        """Topics whose latest payload is not published yet."""
        return len(self._dirty)

    def link_up(self, connection: Connection, session: Session) -> None:
        """A broker without persistence has forgotten all of it."""
        self.repeat()

    def link_down(self) -> None:
        """Nothing to do: all of it goes out again."""

    def fill(self, connection: Connection) -> None:
        """From the link: there is room."""
        limit = connection.session.max_packet if connection.session is not None else None
        while self._dirty and connection.room > 0:
            topic = next(iter(self._dirty))
            payload = self._latest[topic]
            # A broker ends the connection over a packet that is too large, and would do so again and again.
            if limit is None or len(payload.encode()) + len(topic) + OVERHEAD <= limit:
                connection.publish(topic, payload, retain=True)
            elif topic not in self._too_large:
                self._too_large.add(topic)
                log.error("%s is not published: it is larger than the broker takes (%d bytes)", topic, limit)
            del self._dirty[topic]

    def _show(self, name: str) -> None:
        if (timer := self._due.pop(name, None)) is not None:
            timer.cancel()
        status = self._modems[name]
        self._shown[name] = _decisive(status)
        self._published_at[name] = asyncio.get_running_loop().time()
        self._set(self._topics.availability(name), OFFLINE if status.state in _ABSENT else ONLINE)
        queue = self._queues[name] = self._queue_of(name)
        payload = modem_payload(status, queue, balance=self._balance_of(status))
        text = _json(payload)
        self._set(self._topics.modem(name), text)
        if self.on_modem is not None:
            self.on_modem(text)
        if self._watcher is not None:
            self._watcher.modem_shown(status)

    def _set(self, topic: str, payload: str) -> None:
        if self._latest.get(topic) != payload:
            self._latest[topic] = payload
            self._dirty.pop(topic, None)
            self._dirty[topic] = None
            self._kick()


def modem_payload(
    status: ModemStatus,
    queue: int | None = None,
    now: datetime | None = None,
    balance: Mapping[str, Any] = UNKNOWN_BALANCE,
) -> dict[str, Any]:
    """The payload of `sms/modem/<name>`; null is what is not known."""
    used, total = status.storage.used, status.storage.total
    return {
        "name": status.name,
        "state": status.state,
        "health": status.health,
        "health_reason": status.health_reason,
        "imei": status.imei,
        "iccid": status.iccid,
        "imsi": mask(status.imsi),
        "number": status.number,
        "manufacturer": status.manufacturer,
        "model": status.model,
        "firmware": status.firmware,
        "port": status.port,
        "usb_path": status.usb_path,
        "vid_pid": status.vid_pid,
        "operator": status.operator,
        "registration": status.registration,
        "access": status.access,
        "signal_dbm": status.signal_dbm,
        "sim": {"state": status.sim.state, "pin_attempts_left": status.sim.pin_attempts_left},
        "storage": {
            "used": used,
            "total": total,
            "percent": round(100 * used / total) if used is not None and total else None,
        },
        "smsc": status.smsc,
        "queue": queue,
        "sent": status.sent,
        "received": status.received,
        "failures": status.failures,
        "utilisation": _utilisation(status, now or datetime.now(UTC)),
        "balance": dict(balance),
        "last_ok": status.last_ok.isoformat(timespec="seconds") if status.last_ok else None,
    }


def _utilisation(status: ModemStatus, now: datetime) -> float | None:
    """Busy time over wall time since the modem's start, 0 to 1."""
    if status.started_at is None:
        return None
    wall = (now - status.started_at).total_seconds()
    return round(min(1.0, status.busy_seconds / wall), 3) if wall > 0 else None


def _decisive(status: ModemStatus) -> tuple[object, ...]:
    return (
        status.state,
        status.health,
        status.health_reason,
        status.registration,
        status.sim.state,
        status.imei,
        status.iccid,
        status.port,
    )


def _json(payload: object) -> str:
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
