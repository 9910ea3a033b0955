"""The bridge, its broker and an observer in the guest: what a user would start, on the sticks of the lab."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.kernel.lab import Plugged
from tests.support.stack import ROOT, Bridge, Broker, Observer

READY = 60.0  # seconds; four at once on an emulated processor of a busy machine
COMMAND = 60.0  # seconds for one command line; its imports alone take some
FINAL = {"sent", "delivered", "failed", "expired", "cancelled", "rejected", "unknown"}

CONFIG = """\
mqtt: {{host: 127.0.0.1, port: {port}}}
default_region: HU
virtual_modems: {{count: 0}}
"""


@dataclass
class House:
    """A running bridge; modems are spoken of by the stick that is one."""

    config: Path
    bridge: Bridge
    observer: Observer

    def name_of(self, stick: Plugged, since: int = 0) -> str:
        """What the bridge calls it, once it is ready by a message at `since` or later."""
        return str(self.ready(stick, since)[0])

    def ready(self, stick: Plugged, since: int = 0) -> tuple[str, float]:
        """Its name, and when (CLOCK_MONOTONIC) it was told to be ready in the plug that it is in."""
        return self._state(stick, "ready", since, READY)

    def offline(self, stick: Plugged, since: int) -> float:
        return self._state(stick, "offline", since, READY)[1]

    def order(self, order: str, **fields: Any) -> None:
        self.observer.publish("out", {"id": order, "to": "+36301234567", "text": order, **fields})

    def final(self, order: str) -> str:
        """The final state of an order; it must not have two."""
        self.observer.wait_for("status", lambda p: p["id"] == order and p["state"] in FINAL, READY)
        states = [state for state in self.observer.states(order) if state in FINAL - {"delivered"}]
        assert len(states) == 1, states
        return str(states[0])

    def event(self, name: str, since: int = 0, **fields: Any) -> dict[str, Any]:
        """The first such event with these fields."""

        def fits(payload: dict[str, Any]) -> bool:
            return payload["event_type"] == name and all(payload.get(key) == value for key, value in fields.items())

        found: dict[str, Any] = self.observer.wait_for("bridge/event", fits, READY, since).payload
        return found

    def command(self, *words: str) -> str:
        """What `sms-bridge ...` prints."""
        return subprocess.run(
            [sys.executable, "-m", "sms_bridge", *words],
            cwd=ROOT,
            timeout=COMMAND,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def held(self) -> tuple[int, int]:
        """How many descriptors and threads the bridge has."""
        folder = Path("/proc") / str(self.bridge.pid)
        return len(list((folder / "fd").iterdir())), len(list((folder / "task").iterdir()))

    def _state(self, stick: Plugged, state: str, since: int, deadline: float) -> tuple[str, float]:
        """Any modem's topic: which of them it is, is what is asked."""
        end = time.monotonic() + deadline
        imei, position = stick.phone.imei, since
        while time.monotonic() < end:
            seen = self.observer.seen
            while position < len(seen):
                item = seen[position]
                position += 1
                words = item.topic.split("/")
                if words[1] != "modem" or len(words) != 3 or not item.payload:
                    continue
                if (item.payload["imei"], item.payload["state"]) == (imei, state):
                    return words[2], item.at
            time.sleep(0.01)
        raise AssertionError(f"{stick.name} ({imei}) is not {state} within {deadline:g} s")


@contextmanager
def living(directory: Path, extra: str = "") -> Iterator[House]:
    """A started bridge without any modem; `extra` lines for its configuration."""
    broker = Broker(directory / "broker").start()
    with ExitStack() as ending:
        ending.callback(broker.stop)
        observer = Observer(broker.port)
        ending.callback(observer.stop)
        config = directory / "config.yaml"
        config.write_text(CONFIG.format(port=broker.port) + extra)
        bridge = Bridge(config, directory / "data").start()
        ending.callback(bridge.stop)
        try:
            observer.wait_for("bridge/state", lambda p: p["state"] == "online", READY)
            yield House(config, bridge, observer)
        except BaseException:
            assert bridge.log is not None
            print("--- the bridge's log", bridge.log.read_text(), sep="\n")
            raise
