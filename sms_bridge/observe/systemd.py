"""What systemd is told: that we are ready, what we do, that we are alive (sd_notify(3)); nothing without it."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping

MOST_STATUS = 200  # characters of a status line


class Notifier:
    """`NOTIFY_SOCKET` and `WATCHDOG_USEC` of the environment decide; every call is cheap and never raises."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        usec = environ.get("WATCHDOG_USEC", "")
        ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._period = int(usec) / 1e6 / 3 if usec.isdigit() and ours else 0.0  # seconds; systemd waits for three
        self._fed = 0.0
        self._status = ""

    def ready(self) -> None:
        """The start is over."""
        self._send("READY=1")

    def stopping(self) -> None:
        """The end has begun; it takes as long as a send may take."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        line = " ".join(text.split())[:MOST_STATUS]
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def alive(self) -> None:
        """Work goes on: call it at least once a second from what must never stand still."""
        now = time.monotonic()
        if self._period and now - self._fed >= self._period:
            self._fed = now
            self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
            to.setblocking(False)
            to.sendto(message.encode(), self._address)
