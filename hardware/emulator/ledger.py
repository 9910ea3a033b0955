"""What crossed the emulated network, one JSON line each, written before anyone is told."""

from __future__ import annotations

import fcntl
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


class Ledger:
    """An append-only file. Each line is one write: a killed reader or writer never leaves half a line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def open(self) -> None:
        """BlockingIOError: another emulator writes there."""
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def write(self, entry: dict[str, Any]) -> None:
        """Append `entry` with the time in front."""
        if self._fd is not None:
            line = {"ts": datetime.now(UTC).isoformat(timespec="microseconds"), **entry}
            os.write(self._fd, json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
