"""What the running bridge says of itself and its modems: its retained topics, read once or followed."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

import click

from sms_bridge.cli.broker import STATE_DEADLINE, Client, Event, Lost, Message, Refused, connected
from sms_bridge.config import MqttSettings


@dataclass(slots=True)
class Live:
    """What it said last. `reason`: why it is not asked; `modems`: as on `sms/modem/<name>`, with what the list has."""

    base: str
    online: bool = False
    reason: str = "it has not answered yet"
    connected: bool = False  # to the broker
    info: dict[str, Any] = field(default_factory=dict)
    health: dict[str, Any] = field(default_factory=dict)
    _states: dict[str, dict[str, Any]] = field(default_factory=dict)
    _listed: list[dict[str, Any]] | None = None

    @property
    def topics(self) -> list[str]:
        """What it is made from; the bridge's state last, as most brokers answer in this order."""
        return [f"{self.base}/{end}" for end in ("modem/+", "bridge/modems", "bridge/health", "bridge/info", STATE)]

    @property
    def whole(self) -> bool:
        """All that an online bridge has retained is here."""
        names = [str(row["name"]) for row in self._listed or [] if row.get("name")]
        return self.online and self._listed is not None and all(name in self._states for name in names)

    @property
    def modems(self) -> dict[str, dict[str, Any]]:
        """By name; a device that the bridge does not use is by its plug. Empty while no bridge is online."""
        if not self.online:
            return {}
        found = {}
        for row in self._listed or []:
            key = row.get("name") or f"at {row.get('usb_path')}"
            found[str(key)] = {**row, **self._states.get(str(row.get("name")), {})}
        return found

    def take(self, event: Event) -> None:
        """One thing that happened at the broker."""
        if isinstance(event, Lost | Refused):
            self.online, self.connected, self.reason = False, False, f"the broker is away: {event.reason}"
        elif isinstance(event, Message):
            self._read(event.topic.removeprefix(f"{self.base}/"), _json(event.payload))

    def _read(self, topic: str, payload: Any) -> None:
        if topic == STATE:
            self.online = isinstance(payload, dict) and payload.get("state") == "online"
            self.reason = NOT_ONLINE
        elif topic == "bridge/modems":
            self._listed = [row for row in payload if isinstance(row, dict)] if isinstance(payload, list) else []
        elif topic == "bridge/health":
            self.health = payload if isinstance(payload, dict) else {}
        elif topic == "bridge/info":
            self.info = payload if isinstance(payload, dict) else {}
        elif topic.startswith("modem/"):
            self._states[topic.removeprefix("modem/")] = payload if isinstance(payload, dict) else {}


STATE = "bridge/state"
NOT_ONLINE = "no bridge is online at the broker. Start it with `sms-bridge run`."


def ask_bridge(settings: MqttSettings) -> Live:
    """What the bridge has said last; without one the reason, never an exception."""
    live = Live(settings.base_topic)
    try:
        with connected(settings, live.topics) as client:
            live.connected, live.reason = True, NOT_ONLINE
            follow(client, live, STATE_DEADLINE)
    except click.ClickException as error:
        live.online, live.reason = False, error.message
    return live


def follow(client: Client, live: Live, seconds: float) -> None:
    """Take what comes, until all of it is here or `seconds` have passed."""
    end = time.monotonic() + seconds
    while not live.whole and (left := end - time.monotonic()) > 0:
        event = client.next(left)
        if event is not None:
            live.take(event)


def _json(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return None
