"""`sms/bridge/logging`: the log on the broker, numbers masked, QoS 0, never more than a trickle."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable

from sms_bridge.core.redaction import redact

RATE, BURST = 5.0, 50.0  # records a second on the long run, and at once
MAX_MESSAGE = 1000  # characters


class MqttLogHandler(logging.Handler):
    """Hands records to `publish` on the loop, from any thread; a handler must never make a log of its own."""

    def __init__(
        self, publish: Callable[[str], object], loop: asyncio.AbstractEventLoop, level: int = logging.INFO
    ) -> None:
        super().__init__(level)
        self._publish = publish
        self._loop = loop
        self._tokens = BURST
        self._at = time.monotonic()
        self._suppressed = 0
        self._busy = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises, never blocks, never nests."""
        if getattr(self._busy, "now", False) or not self._take():
            return
        self._busy.now = True
        try:
            message = redact(record.getMessage())[:MAX_MESSAGE]
            if self._suppressed:
                message += f" ({self._suppressed} earlier records were left out)"
                self._suppressed = 0
            payload = {"level": record.levelname.lower(), "message": message, "namespace": record.name}
            text = json.dumps(payload, ensure_ascii=False).encode("utf-8", "replace").decode()
            self._loop.call_soon_threadsafe(self._send, text)
        except RuntimeError:
            pass  # the loop is closed: there is no broker to tell any more
        except Exception:
            self.handleError(record)
        finally:
            self._busy.now = False

    def _send(self, text: str) -> None:
        self._busy.now = True
        try:
            self._publish(text)
        finally:
            self._busy.now = False

    def _take(self) -> bool:
        now = time.monotonic()
        self._tokens = min(BURST, self._tokens + (now - self._at) * RATE)
        self._at = now
        if self._tokens < 1:
            self._suppressed += 1
            return False
        self._tokens -= 1
        return True
