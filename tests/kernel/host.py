"""The guest's line to the machine that runs it: what only QEMU can do is asked for here."""

from __future__ import annotations

import functools
import json
import os
import threading
from pathlib import Path
from typing import Any

PORTS = Path("/sys/class/virtio-ports")


class HostError(RuntimeError):
    """The machine refused; its words."""


class Host:
    """One request at a time, from any thread; each is answered."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        fd = os.open(self.device("host"), os.O_RDWR | os.O_CLOEXEC)
        self._lines = os.fdopen(fd, "r+b", buffering=0)

    @staticmethod
    def device(name: str) -> str:
        """The device file of the virtio port `name`; LookupError."""
        for port in PORTS.iterdir():
            if (port / "name").read_text().strip() == name:
                return f"/dev/{port.name}"
        raise LookupError(f"QEMU has no port {name}")

    def ask(self, verb: str, **fields: Any) -> dict[str, Any]:
        """HostError when it cannot be done."""
        with self._lock:
            self._lines.write(json.dumps({"do": verb, **fields}).encode() + b"\n")
            answer: dict[str, Any] = json.loads(self._lines.readline())
        if not answer.pop("ok"):
            raise HostError(answer["error"])
        return answer


@functools.cache
def host() -> Host:
    """The one there is: a virtio port is opened once."""
    return Host()
